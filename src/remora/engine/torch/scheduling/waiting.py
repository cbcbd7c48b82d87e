"""Who waits, and whose turn it is. Owns the order of admission; knows no rows.

Requests of one adapter are served first come, first served; the adapters take turns, so that many requests
with one of them keep nobody else waiting. Who had to step aside goes before all, the oldest first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from remora.adapters.adapter import Digest
from remora.engine.torch.scheduling.sequence import Sequence


class WaitingLine:
    """A line for each adapter (None is the base model), in the order of their turns."""

    def __init__(self) -> None:
        self._stepped_aside: list[Sequence] = []  # in the order of arrival
        self._lines: dict[Digest | None, deque[Sequence]] = {}

    def __iter__(self) -> Iterator[Sequence]:
        yield from self._stepped_aside
        for line in self._lines.values():
            yield from line

    def __bool__(self) -> bool:
        return bool(self._stepped_aside or self._lines)

    def add(self, sequence: Sequence) -> None:
        """Queue a newcomer; an adapter that had no one waiting gets the last turn."""
        self._lines.setdefault(sequence.request.adapter, deque()).append(sequence)

    def put_first(self, sequence: Sequence) -> None:
        """Queue one that was running."""
        self._stepped_aside.append(sequence)
        self._stepped_aside.sort(key=lambda other: other.arrival)

    def first(self) -> Sequence:
        """Whose turn it is. Raises StopIteration where nobody waits."""
        return next(iter(self))

    def take_first(self) -> Sequence:
        """Take out whose turn it is; its adapter's next turn is after all others'."""
        sequence = self.first()
        self.remove(sequence)
        adapter = sequence.request.adapter
        if adapter in self._lines:
            self._lines[adapter] = self._lines.pop(adapter)
        return sequence

    def remove(self, sequence: Sequence) -> None:
        """Take out one that waits."""
        if sequence in self._stepped_aside:
            self._stepped_aside.remove(sequence)
            return
        adapter = sequence.request.adapter
        self._lines[adapter].remove(sequence)
        if not self._lines[adapter]:
            del self._lines[adapter]
