"""Rotary embeddings with other factors for long texts (longrope). Owns which factors a row of a batch gets.

A text is long when it has more tokens than the model was first trained with. The long factors are then for
all of its positions, so the keys from before are wrong, and the scheduler has them computed again; `generate`
of these models does the same. A model's own code chooses the factors by the highest position of a call. Here
it is called once for the short texts of a batch and once for the long ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from remora.engine.torch.layers.attention import running_batch

KIND = "longrope"
Rotation = tuple[torch.Tensor, torch.Tensor]


def longest_short_text(config: Any) -> int | None:
    """The tokens up to which a text is short; None where a model makes no difference."""
    ropes = getattr(config, "rope_parameters", None) or {}
    found = [rope for rope in (ropes, *ropes.values()) if isinstance(rope, dict) and _switches(rope)]
    return min((int(rope["original_max_position_embeddings"]) for rope in found), default=None)


def rotate_by_text(model: Any) -> None:
    """Have each row of a batch get the factors of its own text. Models without longrope stay as they are."""
    limit = longest_short_text(model.config)
    if limit is None:
        return
    for name, module in list(model.named_modules()):
        kinds = getattr(module, "rope_type", None)
        if KIND in (kinds.values() if isinstance(kinds, dict) else [kinds]):
            model.set_submodule(name, RopeByText(module, limit))


class RopeByText(nn.Module):
    """A model's own rotary embedding, for batches of short and long texts."""

    def __init__(self, own: nn.Module, limit: int) -> None:
        super().__init__()
        self._own = own
        self._limit = limit

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor, *more: Any, **named: Any) -> Rotation:
        """Cosines and sines, each (1, rows, size)."""

        def own(positions: torch.Tensor) -> Rotation:
            made: Rotation = self._own(x, positions, *more, **named)
            return made

        batch = running_batch()
        if batch is None:
            return own(position_ids)
        is_long = [span.is_long for span in batch.spans for _ in range(span.count)]
        if not any(is_long):
            return own(position_ids)
        beyond = position_ids.new_tensor([[self._limit]])  # a position that only long texts have
        cos, sin = own(torch.cat([position_ids, beyond], dim=1))
        cos, sin = cos[:, :-1], sin[:, :-1]
        if all(is_long):
            return cos, sin
        short_cos, short_sin = own(position_ids.clamp(max=self._limit - 1))
        chosen = torch.tensor(is_long, device=x.device)[None, :, None]
        return torch.where(chosen, cos, short_cos), torch.where(chosen, sin, short_sin)


def _switches(rope: dict[str, Any]) -> bool:
    return rope.get("rope_type") == KIND and bool(rope.get("original_max_position_embeddings"))
