"""Ollama's messages as turns of a conversation. Owns that translation; checks no fields."""

from __future__ import annotations

import json
from collections.abc import Sequence

from remora.errors import InvalidInput
from remora.server.api.schema.ollama import OllamaMessage
from remora.server.generation.turns import Turn, assistant_turn, tool_turn


def turns_of(messages: Sequence[OllamaMessage]) -> list[Turn]:
    """The conversation. Calls without an id are numbered, and results take theirs in order.

    Raises InvalidInput for a result of no call.
    """
    turns: list[Turn] = []
    waiting: list[tuple[str, str]] = []  # id and name of calls without a result
    for place, message in enumerate(messages):
        if message.role == "tool":
            turns.append(tool_turn(_taken(message, waiting, place), message.content))
        elif message.role == "assistant":
            calls = [
                (call.id or f"call_{place}_{number}", call.function)
                for number, call in enumerate(message.tool_calls or ())
            ]
            waiting = [(call_id, function.name) for call_id, function in calls]
            named = ((call_id, each.name, json.dumps(each.arguments)) for call_id, each in calls)
            thought = {"reasoning_content": message.thinking} if message.thinking else {}
            turns.append({**assistant_turn(message.content, named, param="messages"), **thought})
        else:
            turns.append({"role": message.role, "content": message.content})
    return turns


def _taken(message: OllamaMessage, waiting: list[tuple[str, str]], place: int) -> str:
    """The id of the call that this is the result of."""
    for number, (call_id, name) in enumerate(waiting):
        if message.tool_call_id == call_id or (
            message.tool_call_id is None and message.tool_name in (None, name)
        ):
            del waiting[number]
            return call_id
    raise InvalidInput(
        f"'messages[{place}]' is the result of a call that no message before it makes",
        param=f"messages[{place}]",
    )
