"""What an adapter does to a linear layer's own output, column by column: DoRA, and trained biases.

    y = gain · (W x + bias) + offset + B A x

DoRA makes each row of W + s B A as long as the magnitude that was trained, so its gain is that length by the
row's own, for the layer's output and for what B A adds alike; a bias stays as it is. Owns that mathematics.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

_ROWS = 1024  # of a matrix at once, in float32


@dataclass(frozen=True, slots=True)
class Trained:
    """What one layer of an adapter has beside A (rank, in) and B (out, rank), which carries its scaling.

    `bias` takes the place of the layer's own, `lora_bias` is added with the scaling applied.
    """

    a: torch.Tensor
    b: torch.Tensor
    magnitude: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    lora_bias: torch.Tensor | None = None


def columns_of(
    trained: Trained, weight: torch.Tensor | None, bias: torch.Tensor | None
) -> torch.Tensor | None:
    """Gain and offset (2, out) in float32; None where both would do nothing. `bias` is the layer's own.

    `weight` (out, in) is looked at where there is a magnitude.
    """
    out = trained.b.shape[0]
    gain, offset = torch.ones(out), torch.zeros(out)
    if trained.magnitude is not None and weight is not None:
        gain = trained.magnitude.float() / _lengths(weight, trained.a.float(), trained.b.float())
    own = torch.zeros(out) if bias is None else bias.float().cpu()
    offset = (own if trained.bias is None else trained.bias.float()) - own * gain
    if trained.lora_bias is not None:
        offset = offset + gain * trained.lora_bias.float()
    if bool((gain == 1).all()) and not bool(offset.any()):
        return None
    return torch.stack([gain, offset])


def _lengths(weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Of the rows of W + B A."""
    lengths = []
    for start in range(0, len(weight), _ROWS):
        rows = weight[start : start + _ROWS].float().cpu() + b[start : start + _ROWS] @ a
        lengths.append(torch.linalg.vector_norm(rows, dim=1))
    return torch.cat(lengths)
