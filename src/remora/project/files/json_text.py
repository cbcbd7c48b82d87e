"""The text of a JSON file that a user wrote: changes single values, and leaves the rest as it is.

Comments (`//` and `/* */`, as editors and ARM allow), order, spacing, line ends and a byte order mark are
kept. Reads and writes no files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

JsonPath = tuple[str, ...]
"""The keys that lead to a value, from the outermost object inwards."""

_STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\r\n]*|/\*.*?\*/', re.DOTALL)
_NOT_A_LINE_END = re.compile(r"[^\r\n]")
_DECODER = json.JSONDecoder()
_END_OF_LINE = re.compile(r"[ \t]*(?=\r?\n)")
_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class _Member:
    """A member of an object: where its key begins, where its value begins and ends."""

    key: str
    at: int
    begin: int
    end: int


def without_comments(text: str) -> str:
    """The text with comments replaced by spaces, so that every other character keeps its line and column."""
    return _STRING_OR_COMMENT.sub(_blanked, text)


def changed_text(text: str, changes: Mapping[JsonPath, object]) -> str:
    """The text with these values changed, or added to the end of their object; equal values stay as written.

    Raises ValueError if `text` is not an object, or if a path leads through another kind of value.
    """
    for path, value in changes.items():
        text = _changed(text, path, value)
    return text


def _blanked(match: re.Match[str]) -> str:
    found = match[0]
    return found if found.startswith('"') else _NOT_A_LINE_END.sub(" ", found)


def _changed(text: str, path: JsonPath, value: object) -> str:
    plain = without_comments(text)
    start = _skip(plain, len(_MARK) if plain.startswith(_MARK) else 0)
    for depth, key in enumerate(path):
        if plain[start] != "{":
            raise ValueError(f"{'.'.join(path[:depth]) or 'the document'} is not an object")
        members = list(_members(plain, start))
        found = next((member for member in members if member.key == key), None)
        if found is None:
            return _with_member(text, plain, start, members, (key, _nested(path[depth + 1 :], value)))
        start = found.begin
    now, end = _DECODER.raw_decode(plain, start)
    if _canonical(now) == _canonical(value):
        return text
    return text[:start] + _dumped(value, text, _indentation(text, start)) + text[end:]


def _canonical(value: object) -> str:
    """A text to compare values by: in Python 1, 1.0 and True are equal, in JSON they are not."""
    return json.dumps(value, sort_keys=True)


def _nested(path: JsonPath, value: object) -> object:
    for key in reversed(path):
        value = {key: value}
    return value


def _members(plain: str, start: int) -> Iterator[_Member]:
    """The members of the object at `start`."""
    at = _skip(plain, start + 1)
    while plain[at] != "}":
        key, after = _DECODER.raw_decode(plain, at)
        begin = _skip(plain, _skip(plain, after) + 1)
        _, end = _DECODER.raw_decode(plain, begin)
        yield _Member(key, at, begin, end)
        at = _skip(plain, end)
        if plain[at] == ",":
            at = _skip(plain, at + 1)


def _with_member(
    text: str, plain: str, start: int, members: Sequence[_Member], new: tuple[str, object]
) -> str:
    """The text with one more member after the last one, on a separate line if the last one has its own."""
    key, value = new
    name = f"{json.dumps(key, ensure_ascii=False)}: "
    if not members:
        outer = _indentation(text, start)
        inner, newline = outer + _unit(text), _newline(text)
        rest = text[start + 1 :]
        close = f"{newline}{outer}" if rest.lstrip(" \t").startswith("}") else ""
        member = name + _dumped(value, text, inner)
        return f"{text[: start + 1]}{newline}{inner}{member}{close}{rest.lstrip(' ') if close else rest}"
    last = members[-1]
    line_end = _END_OF_LINE.match(plain, last.end)
    if line_end is None:
        return f"{text[: last.end]}, {name}{json.dumps(value, ensure_ascii=False)}{text[last.end :]}"
    at, inner = line_end.end(), _indentation(text, last.at)
    member = f"{_newline(text)}{inner}{name}{_dumped(value, text, inner)}"
    return f"{text[: last.end]},{text[last.end : at]}{member}{text[at:]}"


def _dumped(value: object, text: str, indentation: str) -> str:
    """A value formatted in the style of the text; `indentation` is that of the line where it begins."""
    lines = json.dumps(value, indent=_unit(text), ensure_ascii=False).split("\n")
    return f"{_newline(text)}{indentation}".join(lines)


def _indentation(text: str, at: int) -> str:
    """The white space at the start of the line of `at`."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(text: str) -> str:
    """The indentation of one level: the white space at the start of the first indented line."""
    found = re.search(r"\n([ \t]+)\S", text)
    return found[1] if found else "  "


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _skip(plain: str, at: int) -> int:
    """The position of the next character that is not white space."""
    while plain[at].isspace():
        at += 1
    return at
