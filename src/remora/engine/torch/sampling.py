"""Choosing the next token from logits. Owns temperature, top-k, top-p and the draw."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from remora.engine.base import SamplingParams

NUCLEUS_GUESS_TOKENS = 1024  # top-p seldom needs more; sorting a whole vocabulary costs milliseconds


class TokenSampler:
    """Draws for one request, from its own random generator: one number a token, whatever else runs."""

    def __init__(self, params: SamplingParams) -> None:
        self._params = params
        self._generator = torch.Generator()
        if params.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(params.seed % 2**64)

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self._params.temperature == 0

    def draw(self, logits: torch.Tensor) -> int:
        """The id drawn from one row of logits (float32, on the CPU)."""
        scaled = (logits - logits.max()) / self._params.temperature
        if self._params.top_k > 0:
            scaled, ids = scaled.topk(min(self._params.top_k, scaled.numel()))
            probabilities = self._nucleus(scaled.softmax(-1))
            return int(ids[self._draw_index(probabilities)])
        probabilities = scaled.softmax(-1)
        if self._params.top_p < 1:
            probabilities, ids = self._most_likely(probabilities)
            return int(ids[self._draw_index(self._nucleus(probabilities))])
        return self._draw_index(probabilities)

    def _most_likely(self, probabilities: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities in falling order with their ids: at least as many as top-p will keep."""
        guess = probabilities.topk(min(NUCLEUS_GUESS_TOKENS, probabilities.numel()))
        if float(guess.values.sum()) >= self._params.top_p:
            return guess.values, guess.indices
        everything = probabilities.sort(descending=True)
        return everything.values, everything.indices

    def _nucleus(self, falling: torch.Tensor) -> torch.Tensor:
        """The fewest of the most likely tokens that together reach top-p."""
        if self._params.top_p >= 1:
            return falling
        mass_before = falling.cumsum(-1) - falling
        return falling[: max(1, int((mass_before < self._params.top_p).sum()))]

    def _draw_index(self, probabilities: torch.Tensor) -> int:
        cumulative = probabilities.double().cumsum(-1)
        point = torch.rand(1, generator=self._generator, dtype=torch.float64) * cumulative[-1]
        # A point on a border belongs to the next token, so that one with probability 0 is never drawn.
        index = int(torch.searchsorted(cumulative, point, right=True))
        return min(index, probabilities.numel() - 1)


def choose_tokens(logits: torch.Tensor, samplers: Sequence[TokenSampler]) -> list[int | None]:
    """The next token for each row; None for a row whose logits are not numbers."""
    logits = logits.float()
    best = logits.max(dim=-1)
    sound = best.values.isfinite().tolist()
    greedy_ids = best.indices.tolist()
    rows = logits.cpu() if not all(sampler.greedy for sampler in samplers) else logits
    return [
        None if not sound[row] else greedy_ids[row] if sampler.greedy else sampler.draw(rows[row])
        for row, sampler in enumerate(samplers)
    ]
