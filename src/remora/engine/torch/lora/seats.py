"""Which adapters lie in the banks, and in which seats. Owns the numbers; holds no weights.

An adapter keeps its seat after its last request, for the next one; it makes room when another needs one,
least recently used first.
"""

from __future__ import annotations

from collections.abc import Collection

from remora.adapters.adapter import Digest

WASTEFUL_STEPS = 64  # the banks shrink after so many steps in which they were far too large


class Seats:
    """Seats for adapters of one width, as many as a step has needed at once, or a little more."""

    def __init__(self) -> None:
        self.count = 0
        self._seats: dict[Digest, int] = {}  # least recently used first
        self._wasteful_steps = 0

    def __getitem__(self, adapter: Digest) -> int:
        return self._seats[adapter]

    def leave(self, adapter: Digest) -> None:
        """Free an adapter's seat; one without is a no-op."""
        self._seats.pop(adapter, None)

    def take(self, wanted: Collection[Digest]) -> list[Digest]:
        """Seat all of these at once; those who were not in their seat before. `count` may have changed."""
        if self._is_too_large(len(wanted)):
            self._seats, self.count, self._wasteful_steps = {}, 0, 0
        missing = sorted(adapter for adapter in wanted if adapter not in self._seats)
        for adapter in wanted:
            if adapter in self._seats:
                self._seats[adapter] = self._seats.pop(adapter)
        for adapter in missing:
            self._seats[adapter] = self._find(wanted)
        return missing

    def _is_too_large(self, needed: int) -> bool:
        wasteful = self.count > 2 * _rounded(needed)
        self._wasteful_steps = self._wasteful_steps + 1 if wasteful else 0
        return self._wasteful_steps > WASTEFUL_STEPS

    def _find(self, wanted: Collection[Digest]) -> int:
        """The first free seat, else that of who was not used for longest, else a new one."""
        taken = set(self._seats.values())
        free = next((seat for seat in range(self.count) if seat not in taken), None)
        if free is not None:
            return free
        idle = next((adapter for adapter in self._seats if adapter not in wanted), None)
        if idle is not None:
            return self._seats.pop(idle)
        self.count = max(_rounded(len(wanted)), _rounded(self.count + 1))
        return len(taken)


def _rounded(count: int) -> int:
    """Up to a power of two, or to one and a half of it: so a growing number seldom moves everybody."""
    power = 1 << max(0, count - 1).bit_length()
    return power * 3 // 4 if power >= 4 and power * 3 // 4 >= count else power
