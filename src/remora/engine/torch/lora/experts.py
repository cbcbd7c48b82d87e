"""A mixture's fused experts with one adapter on them. Owns the update of each expert; routes no token.

Modules of transformers take one expert after the other from a fused parameter, by its number. What they are
given here is that expert's matrix with the update in it, which is how PEFT computes it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class ExpertUpdate:
    """B A for some rows of one expert's matrix (out, in); B carries the scaling."""

    rows: slice
    a: torch.Tensor
    b: torch.Tensor


class AdaptedExperts:
    """Stands in a module where its parameter (experts, out, in) stood; (experts, in, out) if transposed."""

    def __init__(
        self, base: torch.Tensor, updates: Mapping[int, Sequence[ExpertUpdate]], *, transposed: bool
    ) -> None:
        self._base = base
        self._updates = updates
        self._transposed = transposed

    @property
    def parameter_count(self) -> int:
        return sum(
            update.a.numel() + update.b.numel() for updates in self._updates.values() for update in updates
        )

    def __getitem__(self, expert: torch.Tensor | int) -> torch.Tensor:
        number = int(expert)
        weight = self._base[number].clone()
        rows = weight.t() if self._transposed else weight
        for update in self._updates.get(number, ()):
            rows[update.rows] += update.b @ update.a
        return weight


def fused_updates(a: torch.Tensor, b: torch.Tensor, rank: int) -> dict[int, list[ExpertUpdate]]:
    """The updates of all experts in the two tensors that PEFT saves for a fused parameter.

    A is (experts · rank, in), expert by expert; B is (out, rank · experts), rank by rank.
    """
    count = len(a) // rank
    of_a = a.view(count, rank, -1)
    of_b = b.reshape(len(b), rank, count).permute(2, 0, 1).contiguous()
    return {expert: [ExpertUpdate(slice(None), of_a[expert], of_b[expert])] for expert in range(count)}
