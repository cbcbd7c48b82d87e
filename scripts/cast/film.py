"""Makes a recording fit a time: cuts what waits, and says which row is shown when. Draws nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from rich.text import Text
from scripts.cast.recording import Frame

LONGEST_PAUSE: Final = 2.0
LAST_SECONDS: Final = 5.0  # the last screen stays
SPINNER: Final = re.compile("[⠀-⣿]")


@dataclass(frozen=True, slots=True)
class Piece:
    """One row's text, and when it is shown."""

    row: int
    text: Text
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Film:
    """Pieces, and how many rows there are from each moment on."""

    pieces: tuple[Piece, ...]
    heights: tuple[tuple[float, int], ...]


def cut(frames: Sequence[Frame], seconds: float) -> Film:
    """The frames as a film of this length."""
    calm = _calm(frames)
    times = _times(calm, seconds)
    heights = tuple((time, len(frame.rows)) for time, frame in zip(times, calm, strict=True))
    return Film(tuple(_pieces(calm, times, seconds)), heights)


def _calm(frames: Sequence[Frame]) -> list[Frame]:
    """Without the turning of spinners, which would be most of the file."""
    calm: list[Frame] = []
    for frame in frames:
        rows = tuple(_without_spinner(row) for row in frame.rows)
        if not calm or calm[-1].rows != rows:
            calm.append(replace(frame, rows=rows))
    return calm


def _without_spinner(row: Text) -> Text:
    calm = row.copy()
    calm.plain = SPINNER.sub("⠿", row.plain)
    calm.rstrip()
    return calm


def _times(frames: Sequence[Frame], seconds: float) -> list[float]:
    """When each frame begins: no pause is longer than LONGEST_PAUSE, and all of it fits."""
    times = [0.0]
    for before, after in pairwise(frames):
        times.append(times[-1] + min(after.seconds - before.seconds, LONGEST_PAUSE))
    factor = (seconds - LAST_SECONDS) / (times[-1] or 1.0)
    return [time * factor for time in times]


def _pieces(frames: Sequence[Frame], times: Sequence[float], seconds: float) -> list[Piece]:
    found: list[Piece] = []
    for row in range(max(len(frame.rows) for frame in frames)):
        shown, since = Text(), 0.0
        for frame, time in zip(frames, times, strict=True):
            text = frame.rows[row] if row < len(frame.rows) else Text()
            if text != shown:
                found += [Piece(row, shown, since, time)] if shown else []
                shown, since = text, time
        found += [Piece(row, shown, since, seconds)] if shown else []
    return found
