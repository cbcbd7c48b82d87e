"""Where a value stands in JSON text: line and column, as Azure reports them in template errors."""

from __future__ import annotations

import json
from dataclasses import dataclass

_DECODER = json.JSONDecoder()
_SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Position:
    """Line and column of a value's first character, both counted from 1."""

    line: int
    column: int


def locate(text: str, *keys: str) -> Position | None:
    """The value under nested object keys, in valid JSON; None where there is none."""
    at = _skip_space(text, 0)
    for key in keys:
        found = _member(text, at, key)
        if found is None:
            return None
        at = found
    return Position(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))


def _member(text: str, at: int, wanted: str) -> int | None:
    """Where the value of an object's member starts; `at` is the object's brace."""
    if not text.startswith("{", at):
        return None
    at = _skip_space(text, at + 1)
    while text[at] == '"':
        key, at = _DECODER.raw_decode(text, at)
        value_at = _skip_space(text, _skip_space(text, at) + 1)
        if key == wanted:
            return value_at
        _, end = _DECODER.raw_decode(text, value_at)
        at = _skip_space(text, end)
        if text[at] == ",":
            at = _skip_space(text, at + 1)
    return None


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at
