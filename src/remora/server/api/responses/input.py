"""The items of a response's input: as turns of the conversation, and as they are listed. Stores nothing."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from remora.errors import NotFound
from remora.server.api.schema.response_items import InputItem, ItemPart
from remora.server.generation.turns import Turn, assistant_turn, tool_turn

Item = dict[str, Any]
MOST_LISTED, USUALLY_LISTED = 100, 20  # OpenAI's
ID_PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}


def resolved(items: Sequence[InputItem], find: Callable[[str], Item]) -> list[InputItem]:
    """The items with those in the place of references that `find` has. Raises what `find` raises."""
    return [_again(find(item.id or "")) if item.type == "item_reference" else item for item in items]


def turns_of(items: Sequence[InputItem]) -> list[Turn]:
    """The conversation. What the assistant thinks, says and calls, one after the other, is one turn."""
    turns: list[Turn] = []
    said = _Said()
    for item in items:
        if item.type == "reasoning":
            turns += said.turns(before_text=True)
            said.thoughts += _text(item.content or item.summary)
        elif item.type == "function_call":
            said.calls.append((item.call_id or "", item.name or "", item.arguments or ""))
        elif item.role == "assistant":
            turns += said.turns(before_text=True)
            said.text, said.has_text = _text(item.content), True
        else:
            turns += [*said.turns(), _turn(item)]
    return [*turns, *said.turns()]


def told(item: InputItem) -> Item:
    """The item as a response's list of its input shows it."""
    shown: Item = {"id": item.id or f"{ID_PREFIXES[item.type]}_{uuid.uuid4().hex}", "type": item.type}
    if item.type == "reasoning":
        content = [{"type": "reasoning_text", "text": part.text} for part in item.content or ()]
        summary = [{"type": "summary_text", "text": part.text} for part in item.summary or ()]
        return shown | {"summary": summary, "content": content}
    shown["status"] = "completed"
    if item.type == "message":
        kind = "output_text" if item.role == "assistant" else "input_text"
        beside: Item = {"annotations": [], "logprobs": []} if item.role == "assistant" else {}
        content = [{"type": kind, "text": part.text, **beside} for part in item.content or ()]
        return shown | {"role": item.role, "content": content}
    if item.type == "function_call":
        return shown | {"call_id": item.call_id, "name": item.name, "arguments": item.arguments}
    return shown | {"call_id": item.call_id, "output": _text(item.output)}


def listed_items(items: Sequence[Item], limit: int, order: str, after: str | None) -> Item:
    """A page of them in OpenAI's shape. Raises NotFound where `after` is none of them."""
    ordered = list(items) if order == "asc" else list(reversed(items))
    if after is not None:
        places = [place for place, item in enumerate(ordered) if item["id"] == after]
        if not places:
            raise NotFound(f"there is no item {after!r} in this response's input", param="after")
        ordered = ordered[places[0] + 1 :]
    page = ordered[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(ordered) > limit,
    }


class _Said:
    """What the assistant thought, said and called, until somebody else comes."""

    def __init__(self) -> None:
        self.thoughts = self.text = ""
        self.has_text = False
        self.calls: list[tuple[str, str, str]] = []

    def turns(self, *, before_text: bool = False) -> Iterator[Turn]:
        """The turn, where there is one. Then nothing is said; thoughts alone wait for the text after them."""
        if self.has_text or self.calls:
            turn = assistant_turn(self.text, self.calls, param="input")
            yield {**turn, "reasoning_content": self.thoughts} if self.thoughts else turn
        elif before_text:
            return
        self.thoughts, self.text, self.has_text, self.calls = "", "", False, []


def _turn(item: InputItem) -> Turn:
    if item.type == "function_call_output":
        return tool_turn(item.call_id or "", _text(item.output))
    role = "system" if item.role == "developer" else item.role
    return {"role": role, "content": _text(item.content)}


def _text(parts: Sequence[ItemPart] | None) -> str:
    return "".join(part.text for part in parts or ())


def _again(item: Item) -> InputItem:
    """An item that was listed or answered before, as input."""
    parts = {
        name: [{"type": part["type"], "text": part["text"]} for part in item[name]]
        for name in ("content", "summary")
        if name in item
    }
    kept = {name: value for name, value in item.items() if name in InputItem.model_fields and name != "phase"}
    return InputItem.model_validate({**kept, **parts})
