"""The tensors of keys and values of everything in flight. Knows rows, not who has them.

A sequence's rows are neighbours, so attention reads views of them and nothing is put together again for each
token. On a CPU a row costs memory only once it is written.

A view may show rows of others behind a mask, and what is masked must still be a number: an adapter that makes
others of its keys may spoil nobody's answers but its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from remora.engine.torch.cache.pages import reserved

LARGEST_VALUE = 1e15  # far beyond any model's; sums of products with it are finite in float32


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

    @property
    def is_empty(self) -> bool:
        """Whether no layer has written anything yet."""
        return not self._layers

    def write(
        self, layer: int, rows: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store new keys and values (heads, new rows, head size) and return all of the layer."""
        if layer not in self._layers:
            self._layers[layer] = (self._zeros_like(keys), self._zeros_like(values))
        all_keys, all_values = self._layers[layer]
        all_keys.index_copy_(1, rows, _finite(keys))
        all_values.index_copy_(1, rows, _finite(values))
        return all_keys, all_values

    def layer(
        self, layer: int, heads: int, head_size: int, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and values of a layer on the CPU, for who writes them itself: finite numbers only."""
        if layer not in self._layers:
            like = torch.empty((heads, 0, head_size), dtype=dtype)
            self._layers[layer] = (self._zeros_like(like), self._zeros_like(like))
        return self._layers[layer]

    def copy(self, copies: Iterable[RowCopy]) -> None:
        """Copy rows in all layers, one copy after the other."""
        for copy in copies:
            for part in (part for layer in self._layers.values() for part in layer):
                part[:, copy.to_row : copy.to_row + copy.count] = part[
                    :, copy.from_row : copy.from_row + copy.count
                ]

    def _zeros_like(self, part: torch.Tensor) -> torch.Tensor:
        shape = (part.shape[0], self._row_count, part.shape[2])
        if part.device.type != "cpu":
            return part.new_zeros(shape)
        byte_count = math.prod(shape) * part.element_size()
        return reserved(byte_count)[:byte_count].view(part.dtype).view(shape)


def _finite(part: torch.Tensor) -> torch.Tensor:
    bound = min(LARGEST_VALUE, torch.finfo(part.dtype).max)
    return part.clamp(-bound, bound).nan_to_num_(nan=0.0)
