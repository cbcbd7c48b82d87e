"""Attention with scores that are more than products: capped, biased by position, or with a sink.

Owns what is computed; knows neither batch nor cache. Plain scores are left to torch's own attention.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Scores:
    """How a layer scores keys.

    `softcap` bounds scores smoothly (Gemma 2). `sinks` (heads,) are scores of a key that has no value
    (gpt-oss). `bias` (heads, positions) is added by the key's position in its text (ALiBi).
    """

    scaling: float | None = None
    softcap: float | None = None
    sinks: torch.Tensor | None = None
    bias: torch.Tensor | None = None

    @property
    def are_plain(self) -> bool:
        """Whether they are products only."""
        return self.softcap is None and self.sinks is None and self.bias is None


def attend_by_scores(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None, scores: Scores
) -> torch.Tensor:
    """Query (texts, heads, tokens, size) over keys and values (texts, key/value heads, positions, size).

    `mask` is as for torch's own attention: True where a token may look, or numbers to add. What follows the
    first product is computed in float32, as in the models' own code.
    """
    texts, heads, tokens, size = query.shape
    positions = keys.shape[2]
    grouped = query.reshape(texts, keys.shape[1], -1, size)  # the heads that share keys, one after the other
    made = (grouped @ keys.mT).float().view(texts, heads, tokens, positions)
    made = made * (size**-0.5 if scores.scaling is None else scores.scaling)
    if scores.softcap is not None:
        made = torch.tanh(made / scores.softcap) * scores.softcap
    if scores.bias is not None:
        made = made + scores.bias[:, None, :positions].float()
    if mask is not None:
        made = made.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else made + mask
    if scores.sinks is not None:
        sinks = scores.sinks.float().view(1, heads, 1, 1).expand(texts, heads, tokens, 1)
        made = torch.cat([made, sinks], dim=-1)
    shares = made.softmax(dim=-1)[..., :positions].to(values.dtype)
    out: torch.Tensor = shares.reshape(texts, keys.shape[1], -1, positions) @ values
    return out.view(texts, heads, tokens, values.shape[3])
