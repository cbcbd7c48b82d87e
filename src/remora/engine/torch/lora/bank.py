"""What adapters of one width add to one projection, many at once. Owns the weights in the seats; no requests.

    low  = x[seat] A[seat]^T        (seats, places, parts · width)
    out += low B[seat]

The rows of a step lie by seat, so two batched products serve all adapters of a run and a row meets its own
only: work and traffic grow with the adapters in use. Batching by adapter is the idea of Punica (SGMV) and
S-LoRA; their kernels are for GPUs.

On a CPU the products are float32, which is also how PEFT computes them. A 16-bit product goes through oneDNN,
20 µs a call before any work, a float32 one through MKL, about 2. A prompt's many rows are worth the matrix
units again, and one cast of the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from remora.engine.torch.lora.runs import Run


@dataclass(frozen=True, slots=True)
class LoraPair:
    """A (rank, in) and B^T (rank, out) of one linear layer; B carries the adapter's own scaling.

    `columns` (2, out), float32, where the adapter does something to what the layer itself makes: what that is
    multiplied by, and what is then added (see `columns.py`).
    """

    a: torch.Tensor
    b: torch.Tensor
    columns: torch.Tensor | None = None

    @property
    def rank(self) -> int:
        return int(self.a.shape[0])

    @property
    def parameter_count(self) -> int:
        return self.a.numel() + self.b.numel() + (0 if self.columns is None else self.columns.numel())


class LoraBank:
    """The seated adapters of one width on one projection, whose outputs lie in `parts` of its columns."""

    def __init__(self, parts: Sequence[slice], width: int) -> None:
        self._parts = tuple(parts)
        self._width = width
        self._seat_count = 0
        self._a = torch.empty(0)  # (seats, adapted parts * width, in)
        self._b: dict[int, torch.Tensor] = {}  # by part: (seats, width, out of the part)

    def resize(self, seat_count: int) -> None:
        """Have room for so many; who sits in a seat that stays keeps it."""
        if seat_count != self._seat_count:
            self._seat_count = seat_count
            self._b = {part: self._resized(b) for part, b in self._b.items()}
            self._a = self._resized(self._a) if self._b else self._a

    def write(self, seat: int, pairs: Mapping[int, LoraPair]) -> None:
        """Seat an adapter: its pairs by part, and zeros where it has none or a lower rank."""
        for part in pairs.keys() - self._b.keys():
            self._add_part(part, pairs[part])
        for index, (part, b) in enumerate(self._b.items()):
            a_rows = self._a[seat, index * self._width : (index + 1) * self._width]
            rank = 0
            if part in pairs:
                rank = pairs[part].rank
                a_rows[:rank] = pairs[part].a
                b[seat, :rank] = pairs[part].b
            a_rows[rank:] = 0
            b[seat, rank:] = 0

    def add(self, run: Run, x: torch.Tensor, out: torch.Tensor) -> None:
        """Add to `out` (rows, all parts) what the adapters of a run make of x (rows, in)."""
        if not self._b:
            return
        dtype = x.dtype if run.is_long else self._a.dtype
        rows = x[run.rows] if run.take is None else x.index_select(0, run.take)
        a = self._a[run.seats].to(dtype)
        low = torch.bmm(rows.to(dtype).view(len(a), -1, x.shape[1]), a.mT)
        if run.scales is not None:
            low.mul_(run.scales)
        for index, (part, b) in enumerate(self._b.items()):
            of_part = low[..., index * self._width : (index + 1) * self._width]
            made = torch.bmm(of_part, b[run.seats].to(dtype)).flatten(0, 1)
            if run.give is not None:
                made = made.index_select(0, run.give)
            out[run.rows, self._parts[part]].add_(made)

    def _add_part(self, part: int, like: LoraPair) -> None:
        dtype = torch.float32 if like.a.device.type == "cpu" else like.a.dtype
        a = like.a.new_zeros((self._seat_count, self._width, like.a.shape[1]), dtype=dtype)
        self._a = torch.cat([self._a, a], dim=1) if self._b else a
        self._b[part] = like.b.new_zeros((self._seat_count, self._width, like.b.shape[1]), dtype=dtype)

    def _resized(self, seats: torch.Tensor) -> torch.Tensor:
        resized = seats.new_zeros((self._seat_count, *seats.shape[1:]))
        kept = min(len(seats), self._seat_count)
        resized[:kept] = seats[:kept]
        return resized
