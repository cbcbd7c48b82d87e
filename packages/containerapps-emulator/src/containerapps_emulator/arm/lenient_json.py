"""Parses JSON as Azure does: strict JSON, and the variants that people and `az deployment` send.

The variants: a byte order mark, comments, names without quotes or in single quotes, line breaks in strings,
a trailing comma. Refuses numbers that JSON cannot write (NaN, 1e999) and broken surrogate pairs, so that
every parsed value can be serialized again.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

MAX_DEPTH = 150
_BLANK = re.compile(r"(?:[\s\ufeff]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_DOUBLE_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SINGLE_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_BARE_NAME = re.compile(r"[A-Za-z_$][\w$.-]*")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_REQUOTED = {"\\'": "'", '"': '\\"'}


@dataclass(frozen=True, slots=True)
class Position:
    """Line and column of a value's first character, both counted from 1."""

    line: int
    column: int


def read(data: bytes) -> Any:
    """The value. Raises ValueError with a message for the client."""
    try:
        value = json.loads(data, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        value = _Reader(data.decode("utf-8-sig")).read()
    if b"\\u" in data:  # only an escape can produce half of a surrogate pair
        _refuse_half_characters(value)
    return value


def locate(text: str, *keys: str) -> Position | None:
    """Where the value under nested object keys starts; None if there is none or the text is invalid."""
    reader = _Reader(text, wanted=keys)
    try:
        reader.read()
    except ValueError:
        return None
    if reader.found is None:
        return None
    at = reader.found
    return Position(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"'{name}' is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number '{text}' is too large")
    return number


def _refuse_half_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a string contains half of a surrogate pair") from None


class _Reader:
    """A recursive descent parser. Records the position of the value under the `wanted` keys."""

    def __init__(self, text: str, wanted: Sequence[str] = ()) -> None:
        self._text = text
        self._wanted = tuple(wanted)
        self._path: list[str] = []
        self._at = 0
        self.found: int | None = None

    def read(self) -> Any:
        value = self._value()
        self._skip()
        if self._at < len(self._text):
            raise self._unexpected()
        return value

    def _value(self) -> Any:
        if len(self._path) > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
        self._skip()
        if self._wanted and tuple(self._path) == self._wanted:
            self.found = self._at
        match self._text[self._at : self._at + 1]:
            case "{":
                return self._object()
            case "[":
                return self._array()
            case '"' | "'":
                return self._string()
        return self._scalar()

    def _object(self) -> dict[str, Any]:
        members: dict[str, Any] = {}
        self._at += 1
        while not self._closed("}"):
            name = self._name()
            self._expect(":")
            self._path.append(name)
            members[name] = self._value()
            self._path.pop()
            self._separator("}")
        return members

    def _array(self) -> list[Any]:
        items: list[Any] = []
        self._at += 1
        while not self._closed("]"):
            self._path.append(str(len(items)))
            items.append(self._value())
            self._path.pop()
            self._separator("]")
        return items

    def _name(self) -> str:
        if self._text[self._at : self._at + 1] in ('"', "'"):
            return self._string()
        return self._take(_BARE_NAME)

    def _string(self) -> str:
        single = self._text[self._at] == "'"
        raw = self._take(_SINGLE_QUOTED if single else _DOUBLE_QUOTED)[1:-1]
        if single:
            raw = re.sub(r'\\.|"', lambda found: _REQUOTED.get(found[0], found[0]), raw, flags=re.DOTALL)
        raw = re.sub(r"[\x00-\x1f]", lambda found: f"\\u{ord(found[0]):04x}", raw)
        return str(json.loads(f'"{raw}"'))

    def _scalar(self) -> Any:
        number = _NUMBER.match(self._text, self._at)
        if number is not None:
            self._at = number.end()
            return json.loads(number[0], parse_float=_finite)
        start = self._at
        word = self._take(_BARE_NAME)
        if word not in _WORDS:
            self._at = start
            raise self._unexpected()
        return _WORDS[word]

    def _closed(self, mark: str) -> bool:
        self._skip()
        if not self._text.startswith(mark, self._at):
            return False
        self._at += 1
        return True

    def _separator(self, closing: str) -> None:
        """Consume a comma, unless the list ends here."""
        self._skip()
        if not self._text.startswith(closing, self._at):
            self._expect(",")

    def _expect(self, mark: str) -> None:
        self._skip()
        if not self._text.startswith(mark, self._at):
            raise self._unexpected()
        self._at += 1

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise self._unexpected()
        self._at = found.end()
        return found[0]

    def _skip(self) -> None:
        blank = _BLANK.match(self._text, self._at)
        self._at = blank.end() if blank else self._at

    def _unexpected(self) -> ValueError:
        path = ".".join(self._path)
        line = self._text.count("\n", 0, self._at) + 1
        column = self._at - self._text.rfind("\n", 0, self._at)
        found = self._text[self._at : self._at + 1] or "the end"
        return ValueError(f"unexpected {found!r}. Path '{path}', line {line}, position {column}")
