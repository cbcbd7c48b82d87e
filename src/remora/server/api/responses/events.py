"""The life of one response: its items as they grow, an event for every step. Owns their order and numbers.

    created → in_progress → each item: added → (part added →) deltas → done → completed | incomplete | failed

An answer that is not streamed goes through the same steps; its last event holds the whole response.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from remora.server.generation.tool_calls import CallArguments, CallBegin, CallEnd, Content, Piece, Thought
from remora.server.wire.encoding import Chunk

Item = dict[str, Any]


class ResponseEvents:
    """Feed it pieces of the answer, and it gives events. `resource` is the response without its output.

    `namespaces` are those of the functions that have one.
    """

    def __init__(self, resource: Item, namespaces: Mapping[str, str] = MappingProxyType({})) -> None:
        self.output: list[Item] = []
        self._resource = resource
        self._namespaces = namespaces
        self._next_number = 0

    @property
    def response(self) -> Item:
        """The response as it is now."""
        return {**self._resource, "output": [_copy(item) for item in self.output]}

    def begin(self) -> Iterator[Chunk]:
        yield self._event("response.created", response=self.response)
        yield self._event("response.in_progress", response=self.response)

    def feed(self, pieces: Iterable[Piece], logprobs: Sequence[Item] = ()) -> Iterator[Chunk]:
        """`logprobs` belong to the first piece of text."""
        for piece in pieces:
            match piece:
                case Thought(text):
                    yield from self._thought(text)
                case Content(text):
                    yield from self._text(text, list(logprobs))
                    logprobs = ()
                case CallBegin(_, call_id, name):
                    yield from self._close("completed")
                    yield from self._open(_call(call_id, name, self._namespaces.get(name)))
                case CallArguments(_, text):
                    self.output[-1]["arguments"] += text
                    yield self._event("response.function_call_arguments.delta", **self._place(), delta=text)
                case CallEnd():
                    yield from self._close("completed")

    def end(self, status: str, **fields: Any) -> Iterator[Chunk]:
        """The last event. `status` completed, incomplete or failed; `fields` change the response."""
        if not self.output or (status == "completed" and self.output[-1]["type"] == "reasoning"):
            yield from self._close("completed")
            yield from self._open(_message())
        yield from self._close("completed" if status == "completed" else "incomplete")
        self._resource |= {"status": status, **fields}
        yield self._event(f"response.{status}", response=self.response)

    def _thought(self, text: str) -> Iterator[Chunk]:
        if not self.output:
            yield from self._open(_thoughts())
        self.output[-1]["content"][0]["text"] += text
        yield self._event("response.reasoning_text.delta", **self._place(), content_index=0, delta=text)

    def _text(self, text: str, logprobs: list[Item]) -> Iterator[Chunk]:
        if not self.output or self.output[-1]["type"] != "message":
            yield from self._close("completed")
            yield from self._open(_message())
        part = self.output[-1]["content"][0]
        part["text"] += text
        part["logprobs"] += logprobs
        place = self._place() | {"content_index": 0}
        yield self._event("response.output_text.delta", **place, delta=text, logprobs=logprobs)

    def _open(self, item: Item) -> Iterator[Chunk]:
        self.output.append(item)
        shown = {**item, "content": []} if "content" in item else dict(item)
        yield self._event("response.output_item.added", output_index=len(self.output) - 1, item=shown)
        if "content" in item:
            place = self._place() | {"content_index": 0}
            yield self._event("response.content_part.added", **place, part=_copy(item)["content"][0])

    def _close(self, status: str) -> Iterator[Chunk]:
        """Close the last item, where one is open."""
        if not self.output or self.output[-1]["status"] != "in_progress":
            return
        item, place = self.output[-1], self._place()
        item["status"] = status
        if item["type"] == "message":
            part, place = _copy(item)["content"][0], place | {"content_index": 0}
            yield self._event(
                "response.output_text.done", **place, text=part["text"], logprobs=part["logprobs"]
            )
            yield self._event("response.content_part.done", **place, part=part)
        elif item["type"] == "reasoning":
            part, place = _copy(item)["content"][0], place | {"content_index": 0}
            yield self._event("response.reasoning_text.done", **place, text=part["text"])
            yield self._event("response.content_part.done", **place, part=part)
        else:
            yield self._event(
                "response.function_call_arguments.done",
                **place,
                name=item["name"],
                arguments=item["arguments"],
            )
        yield self._event("response.output_item.done", output_index=len(self.output) - 1, item=_copy(item))

    def _place(self) -> Item:
        return {"item_id": self.output[-1]["id"], "output_index": len(self.output) - 1}

    def _event(self, kind: str, **fields: Any) -> Chunk:
        number, self._next_number = self._next_number, self._next_number + 1
        return {"type": kind, "sequence_number": number, **fields}


def _message() -> Item:
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    return {
        "type": "message",
        "id": f"msg_{uuid.uuid4().hex}",
        "status": "in_progress",
        "role": "assistant",
        "content": [part],
    }


def _thoughts() -> Item:
    return {
        "type": "reasoning",
        "id": f"rs_{uuid.uuid4().hex}",
        "status": "in_progress",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": ""}],
    }


def _call(call_id: str, name: str, namespace: str | None) -> Item:
    placed = {} if namespace is None else {"namespace": namespace}
    return {
        **placed,
        "type": "function_call",
        "id": f"fc_{uuid.uuid4().hex}",
        "call_id": call_id,
        "name": name,
        "arguments": "",
        "status": "in_progress",
    }


def _copy(item: Item) -> Item:
    """As it is now: what is shown in an event must not grow with the next."""
    if "content" not in item:
        return dict(item)
    content = [
        {**part, "logprobs": list(part["logprobs"])} if "logprobs" in part else dict(part)
        for part in item["content"]
    ]
    return {**item, "content": content}
