"""The turns of a conversation, as chat templates know them. Owns their shape; renders nothing.

Templates take a call's arguments as an object (Hermes, Llama, Qwen), OpenAI sends them as a string of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from remora.errors import InvalidInput
from remora.server.wire.plain_json import check_plain

Turn = Mapping[str, Any]


def tool_turn(call_id: str, result: str) -> Turn:
    """What a tool answered."""
    return {"role": "tool", "tool_call_id": call_id, "content": result}


def assistant_turn(text: str, calls: Iterable[tuple[str, str, str]], *, param: str) -> Turn:
    """An answer with calls, each an id, a function's name and its arguments as JSON.

    Raises InvalidInput, naming `param`, where the arguments are no JSON object.
    """
    tool_calls = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": _object(text, param)}}
        for call_id, name, text in calls
    ]
    turn: dict[str, Any] = {"role": "assistant", "content": text}
    return turn | {"tool_calls": tool_calls} if tool_calls else turn


def character_count(turn: Turn) -> int:
    """How much text a turn is, its calls included."""
    calls = turn.get("tool_calls")
    told = len(turn["content"]) + len(turn.get("name", "")) + len(turn.get("reasoning_content", ""))
    return told + (len(json.dumps(calls)) if calls else 0)


def given_arguments(text: str) -> dict[str, Any] | None:
    """The arguments of a call that a model wrote; None if they are no object of plain JSON, or cut off."""
    try:
        return _object(text, param="arguments")
    except InvalidInput:
        return None


def _object(text: str, param: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the arguments of a call are not JSON: {error}", param=param) from error
    if not isinstance(arguments, dict):
        raise InvalidInput("the arguments of a call are not a JSON object", param=param)
    check_plain(arguments, param)
    return arguments
