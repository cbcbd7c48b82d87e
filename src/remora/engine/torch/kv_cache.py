"""Keys and values of everything in flight. Owns rows and who has them; knows no attention.

A sequence gets one contiguous run of rows for as long as it can grow, so attention reads plain views, no
sequence is ever pushed out half-way, and one that fits is sure to finish. On a CPU a row costs memory only
once it is written.
"""

from __future__ import annotations

import torch

from remora.engine.torch.sequence import Slot


class SlotAllocator:
    """First-fit reservation of contiguous rows."""

    def __init__(self, row_count: int) -> None:
        self.row_count = row_count
        self._free = [Slot(0, row_count)]  # in rising order, never two that touch

    @property
    def free_row_count(self) -> int:
        """Rows that nobody has."""
        return sum(hole.row_count for hole in self._free)

    def reserve(self, row_count: int) -> Slot | None:
        """A run of rows, or None where no hole is large enough now."""
        for index, hole in enumerate(self._free):
            if hole.row_count < row_count:
                continue
            rest = Slot(hole.first_row + row_count, hole.row_count - row_count)
            self._free[index : index + 1] = [rest] if rest.row_count else []
            return Slot(hole.first_row, row_count)
        return None

    def release(self, slot: Slot) -> None:
        """Give a run back; holes that now touch become one."""
        merged: list[Slot] = []
        for hole in sorted([*self._free, slot], key=lambda hole: hole.first_row):
            if merged and merged[-1].first_row + merged[-1].row_count == hole.first_row:
                merged[-1] = Slot(merged[-1].first_row, merged[-1].row_count + hole.row_count)
            else:
                merged.append(hole)
        self._free = merged


class KvCache:
    """The tensors behind the rows: for each layer, keys and values of shape (heads, rows, head size).

    Layers may differ in shape, so each is made at its first write.
    """

    def __init__(self, row_count: int) -> None:
        self._row_count = row_count
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def write(
        self, layer: int, rows: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store new keys and values (heads, new rows, head size) and return all of the layer."""
        if layer not in self._layers:
            self._layers[layer] = (self._empty_like(keys), self._empty_like(values))
        all_keys, all_values = self._layers[layer]
        all_keys.index_copy_(1, rows, keys)
        all_values.index_copy_(1, rows, values)
        return all_keys, all_values

    def _empty_like(self, part: torch.Tensor) -> torch.Tensor:
        return part.new_empty((part.shape[0], self._row_count, part.shape[2]))
