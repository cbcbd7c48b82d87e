"""Allocates runs of neighbouring rows. Owns which rows are free, not their contents."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slot:
    """A run of rows."""

    first_row: int
    row_count: int

    @property
    def stop_row(self) -> int:
        return self.first_row + self.row_count


class SlotAllocator:
    """First-fit reservation of contiguous rows, which may grow where they lie and be cut."""

    def __init__(self, row_count: int) -> None:
        self.row_count = row_count
        self._free = [Slot(0, row_count)]  # in rising order, never two that touch

    @property
    def free_row_count(self) -> int:
        """Rows that nobody has."""
        return sum(hole.row_count for hole in self._free)

    def reserve(self, least: int, most: int | None = None) -> Slot | None:
        """The first hole that has room for `most`, else the largest if that has room for `least`."""
        most = least if most is None else most
        hole = next((hole for hole in self._free if hole.row_count >= most), None)
        hole = hole or max(self._free, key=lambda hole: hole.row_count, default=None)
        if hole is None or hole.row_count < least:
            return None
        return self._take(hole, min(most, hole.row_count))

    def extend(self, slot: Slot, least: int, most: int) -> Slot | None:
        """The slot with `least` to `most` rows, where those behind it are free."""
        behind = next((hole for hole in self._free if hole.first_row == slot.stop_row), None)
        row_count = min(most, slot.row_count + (behind.row_count if behind else 0))
        if behind is None or row_count < least:
            return None
        self._take(behind, row_count - slot.row_count)
        return Slot(slot.first_row, row_count)

    def cut(self, slot: Slot, row_count: int) -> Slot:
        """The first rows of a slot; the others are free."""
        if row_count < slot.row_count:
            self.release(Slot(slot.first_row + row_count, slot.row_count - row_count))
        return Slot(slot.first_row, min(row_count, slot.row_count))

    def release(self, slot: Slot) -> None:
        """Give a run back; holes that now touch become one."""
        merged: list[Slot] = []
        for hole in sorted([*self._free, slot], key=lambda hole: hole.first_row):
            if not hole.row_count:
                continue
            if merged and merged[-1].stop_row == hole.first_row:
                merged[-1] = Slot(merged[-1].first_row, merged[-1].row_count + hole.row_count)
            else:
                merged.append(hole)
        self._free = merged

    def _take(self, hole: Slot, row_count: int) -> Slot:
        rest = Slot(hole.first_row + row_count, hole.row_count - row_count)
        index = self._free.index(hole)
        self._free[index : index + 1] = [rest] if rest.row_count else []
        return Slot(hole.first_row, row_count)
