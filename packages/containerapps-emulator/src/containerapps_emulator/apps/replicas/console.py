"""The lines that a container prints: a file with timestamps, the last of them in memory, and followers."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from containerapps_emulator.apps.clock import Clock

KEPT_LINES: Final = 2000
MOST_TAIL_LINES: Final = 300


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    time: str
    text: str


class LineLog:
    """Appended to from the event loop. A follower that falls behind by KEPT_LINES loses the oldest.

    A disk that takes nothing costs the file its lines, not the container its output, nor those who follow.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._clock = clock
        self._lines: deque[Line] = deque(_read(path), maxlen=KEPT_LINES)
        self._next = self._lines[-1].number + 1 if self._lines else 0
        self._file = _open_private(path)
        self._changed = asyncio.Event()
        self._closed = False

    def append(self, text: str) -> None:
        if self._closed:
            return
        line = Line(self._next, timestamp(self._clock.utc_now()), text)
        self._next += 1
        self._lines.append(line)
        with contextlib.suppress(OSError):
            os.write(self._file, f"{line.time} {text}\n".encode())
        self._wake()

    def tail(self, count: int) -> list[Line]:
        """The last lines, at most `count` and never more than Azure gives."""
        count = min(count, MOST_TAIL_LINES)
        return list(self._lines)[-count:] if count > 0 else []

    async def follow(self, count: int) -> AsyncIterator[Line]:
        """The last `count` lines, then each new one until the log is closed."""
        position = self._next
        for line in self.tail(count):
            yield line
        while True:
            changed = self._changed
            for line in [line for line in self._lines if line.number >= position]:
                position = line.number + 1
                yield line
            if self._closed and position >= self._next:
                return
            if position >= self._next:
                await changed.wait()

    def close(self) -> None:
        """End all followers; what was written stays readable."""
        if self._closed:
            return
        self._closed = True
        os.close(self._file)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def timestamp(time: datetime) -> str:
    """As log streams write it: UTC without saying so, five digits after the point."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-1]


def _read(path: Path) -> list[Line]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", errors="replace") as file:
        last = deque(file, maxlen=KEPT_LINES)
    split = (line.rstrip("\n").partition(" ") for line in last)
    return [Line(number, time, text) for number, (time, _, text) in enumerate(split)]


def _open_private(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
