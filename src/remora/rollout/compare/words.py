"""Which words two texts do not have in common. Owns the comparison; knows neither models nor HTML."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

_PARTS = re.compile(r"\s+|\w+|[^\w\s]")
_MOST_PARTS = 4000  # the time grows with the square of it


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text, and whether the other text has it too."""

    text: str
    shared: bool


def word_differences(text: str, other: str) -> tuple[Piece, ...]:
    """The first text in pieces; those that are not in the second, in this order, are not shared."""
    ours, theirs = _PARTS.findall(text), _PARTS.findall(other)
    if text == other:
        return (Piece(text, shared=True),) if text else ()
    if max(len(ours), len(theirs)) > _MOST_PARTS:
        return (Piece(text, shared=False),)
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    shared = [False] * len(ours)
    for start, _, length in matcher.get_matching_blocks():
        shared[start : start + length] = [True] * length
    for index, part in enumerate(ours):
        if part.isspace():  # belongs to the words around it
            around = shared[max(0, index - 1) : index] + shared[index + 1 : index + 2]
            shared[index] = any(around)
    runs = groupby(zip(ours, shared, strict=True), key=itemgetter(1))
    return tuple(Piece("".join(part for part, _ in run), is_shared) for is_shared, run in runs)
