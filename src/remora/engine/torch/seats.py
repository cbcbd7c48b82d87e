"""Which adapters lie in the stacks, and in which columns. Owns columns; holds no weights.

An adapter keeps its seat after its last request, for the next one; it makes room when another needs the
columns, least recently used first. So a step pays for those in use, and at most as much again for others.
"""

from __future__ import annotations

from collections.abc import Mapping

from remora.adapters.adapter import Digest
from remora.engine.torch.slots import Slot, SlotAllocator

WASTEFUL_STEPS = 64  # the stacks shrink after so many steps in which they were far too wide


class Seats:
    """Runs of columns, each as wide as an adapter's highest rank."""

    def __init__(self) -> None:
        self._columns = SlotAllocator(0)
        self._seats: dict[Digest, Slot] = {}  # least recently used first
        self._wasteful_steps = 0

    @property
    def column_count(self) -> int:
        """The width of the stacks."""
        return self._columns.row_count

    def __getitem__(self, adapter: Digest) -> Slot:
        return self._seats[adapter]

    def leave(self, adapter: Digest) -> None:
        """Free an adapter's columns; one without a seat is a no-op."""
        slot = self._seats.pop(adapter, None)
        if slot is not None:
            self._columns.release(slot)

    def take(self, ranks: Mapping[Digest, int]) -> list[Digest] | None:
        """Seat all of these at once; the newly seated, or None where all had to be seated anew."""
        if not self._is_too_wide(sum(ranks.values())):
            for adapter in ranks.keys() & self._seats.keys():
                self._seats[adapter] = self._seats.pop(adapter)
            missing = [adapter for adapter in ranks if adapter not in self._seats]
            if all(self._seat(adapter, ranks) for adapter in missing):
                return missing
        self._seat_anew(ranks)
        return None

    def _is_too_wide(self, needed: int) -> bool:
        wasteful = self.column_count > 2 * _rounded(needed)
        self._wasteful_steps = self._wasteful_steps + 1 if wasteful else 0
        return self._wasteful_steps > WASTEFUL_STEPS

    def _seat(self, adapter: Digest, wanted: Mapping[Digest, int]) -> bool:
        slot = self._columns.reserve(wanted[adapter])
        while slot is None:
            idle = next((seated for seated in self._seats if seated not in wanted), None)
            if idle is None:
                return False
            self.leave(idle)
            slot = self._columns.reserve(wanted[adapter])
        self._seats[adapter] = slot
        return True

    def _seat_anew(self, ranks: Mapping[Digest, int]) -> None:
        self._columns = SlotAllocator(_rounded(sum(ranks.values())))
        self._seats = {}
        self._wasteful_steps = 0
        for adapter in ranks:
            self._seat(adapter, ranks)


def _rounded(column_count: int) -> int:
    """Up to a power of two, or to one and a half of it: so a growing number seldom moves everybody."""
    power = 1 << max(0, column_count - 1).bit_length()
    return power * 3 // 4 if power >= 4 and power * 3 // 4 >= column_count else power
