"""Writes `golden.toml`: adds recordings to existing entries, and leaves everything else as it was written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

import tomlkit
from tomlkit.items import Array, Table

from remora.rollout.golden.prompts import GoldenPrompt
from remora.rollout.golden.recorded import Position, Stack

RECORDED_POSITIONS = 32
"""Log-probabilities of more tokens would make the file long and add no information."""

RECORDED_ALTERNATIVES = 5
_DECIMALS = 4
_ENTRY = "[[prompt]]"
_HEADER = (
    "Golden prompts: the greedy answers of each model. `remora golden record` fills in the answers of the",
    "models on this machine; `remora deploy` gives no traffic to a revision with other answers. Edit freely.",
)


def with_recordings(text: str, recordings: Mapping[int, GoldenPrompt], stack: Stack) -> str:
    """The file's text with these entries (by number, from 0) recorded; new ones are added at the end."""
    document = tomlkit.parse(_with_table(text))
    table = cast("Table", document["recording"])
    table.update(asdict(stack))
    entries = document.setdefault("prompt", tomlkit.aot())
    for number, prompt in sorted(recordings.items()):
        if number >= len(entries):
            entries.append(_new_entry(prompt))
        _fill(entries[number], prompt)
    return tomlkit.dumps(document)


def _with_table(text: str) -> str:
    """The text with a table [recording] above all entries, because users add entries at the end."""
    if "recording" in tomlkit.parse(text):
        return text
    lines = text.splitlines(keepends=True) or [f"# {line}\n" for line in _HEADER] + ["\n"]
    first = next((n for n, line in enumerate(lines) if line.startswith(_ENTRY)), len(lines))
    while first and lines[first - 1].startswith("#"):  # comments above the first entry stay with it
        first -= 1
    return "".join([*lines[:first], "[recording]\n\n", *lines[first:]])


def _new_entry(prompt: GoldenPrompt) -> Table:
    entry = tomlkit.table()
    entry.update({"model": prompt.model, "user": prompt.user})
    return entry


def _fill(entry: Table, prompt: GoldenPrompt) -> None:
    values: dict[str, Any] = {
        "answer": prompt.answer,
        "max_tokens": prompt.max_tokens,
        "finish": prompt.finish_reason,
        "digest": prompt.digest,
        "tokens": _array(prompt.tokens),
        "top": _lines(prompt.top[:RECORDED_POSITIONS]),
    }
    below = _taken_off(entry)
    for name, value in values.items():
        if name not in entry or entry[name] != value:
            entry[name] = value
    entry.value.body.extend(below)


def _taken_off(entry: Table) -> list[Any]:
    """Blank lines and comments below an entry: they belong to the next one, so new keys go above them."""
    body = entry.value.body
    below: list[Any] = []
    while body and body[-1][0] is None:
        below.insert(0, body.pop())
    return below


def _lines(positions: Sequence[Position]) -> Array:
    lines = tomlkit.array()
    for position in positions:
        pairs = position.top[:RECORDED_ALTERNATIVES]
        lines.append(_array(part for token, number in pairs for part in (token, round(number, _DECIMALS))))
    return lines.multiline(True)


def _array(values: Iterable[str | float]) -> Array:
    array = tomlkit.array()
    array.extend(list(values))
    return array
