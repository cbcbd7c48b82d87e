"""What adapters add to one projection, for many adapters at once. Owns the stacked A and B; no requests.

The adapters in use sit side by side in columns, so that two multiplications serve all of them:

    low = x A_all^T      (rows, columns)    every row meets every adapter that is seated
    low = low * mask     its own adapter's columns at the request's scale, 0 elsewhere
    out += low B_all

Arithmetic for the others' columns is wasted; at the few rows of a decode step it costs less than one small
multiplication for each adapter. The idea of a stack is that of S-LoRA and Punica, without their kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import linear

from remora.engine.torch.slots import Slot


@dataclass(frozen=True, slots=True)
class LoraPair:
    """A (rank, in) and B^T (rank, out) of one linear layer; B carries the adapter's own scaling."""

    a: torch.Tensor
    b: torch.Tensor

    @property
    def rank(self) -> int:
        return int(self.a.shape[0])

    @property
    def parameter_count(self) -> int:
        return self.a.numel() + self.b.numel()


class LoraStack:
    """The seated adapters of one projection, whose outputs lie in `parts` of its columns."""

    def __init__(self, parts: Sequence[slice]) -> None:
        self._parts = tuple(parts)
        self._column_count = 0
        self._a = torch.empty(0)  # (adapted parts * columns, in)
        self._b: dict[int, torch.Tensor] = {}  # by part: (columns, out of the part)

    def clear(self, column_count: int) -> None:
        """Seat nobody, with room for this many columns. Memory is taken at the first `write`."""
        self._column_count = column_count
        self._a = torch.empty(0)
        self._b = {}

    def write(self, columns: Slot, pairs: Mapping[int, LoraPair]) -> None:
        """Seat an adapter: its pairs by part, and zeros where it has none or a lower rank."""
        for part in pairs.keys() - self._b.keys():
            self._add_part(part, pairs[part])
        for index, (part, b) in enumerate(self._b.items()):
            first = index * self._column_count + columns.first_row
            a_rows = self._a[first : first + columns.row_count]
            b_rows = b[columns.first_row : columns.first_row + columns.row_count]
            rank = 0
            if part in pairs:
                rank = pairs[part].rank
                a_rows[:rank] = pairs[part].a
                b_rows[:rank] = pairs[part].b
            a_rows[rank:] = 0
            b_rows[rank:] = 0

    def add(self, x: torch.Tensor, out: torch.Tensor, mask: torch.Tensor) -> None:
        """Add to `out` (rows, all parts) what the adapters make of x (rows, in); mask is (rows, columns)."""
        if not self._b:
            return
        low = linear(x, self._a).view(x.shape[0], len(self._b), self._column_count)
        low.mul_(mask[:, None, :])
        for index, (part, b) in enumerate(self._b.items()):
            out[:, self._parts[part]].addmm_(low[:, index], b)

    def _add_part(self, part: int, like: LoraPair) -> None:
        a = like.a.new_zeros((self._column_count, like.a.shape[1]))
        self._a = torch.cat([self._a, a]) if self._b else a
        self._b[part] = like.b.new_zeros((self._column_count, like.b.shape[1]))
