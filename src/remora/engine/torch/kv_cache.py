"""The tensors of keys and values of everything in flight. Knows rows, not who has them.

A sequence's rows are neighbours, so attention reads plain views of them and nothing is put together again for
each token. On a CPU a row costs memory only once it is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class RowCopy:
    """Rows to be taken over from one place to another; the two do not overlap."""

    from_row: int
    to_row: int
    count: int


class KvCache:
    """For each layer, keys and values of shape (heads, rows, head size).

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

    def copy(self, copies: Iterable[RowCopy]) -> None:
        """Copy rows in all layers, one copy after the other."""
        for copy in copies:
            for part in (part for layer in self._layers.values() for part in layer):
                part[:, copy.to_row : copy.to_row + copy.count] = part[
                    :, copy.from_row : copy.from_row + copy.count
                ]

    def _empty_like(self, part: torch.Tensor) -> torch.Tensor:
        return part.new_empty((part.shape[0], self._row_count, part.shape[2]))
