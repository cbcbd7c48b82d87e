"""Choosing the next token from logits. Owns temperature, top-k, top-p, the draw and log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass

import torch

from remora.engine.base import Constraint, SamplingParams
from remora.engine.torch.adjustment import LogitAdjustment
from remora.errors import InvalidInput

# Less could be 0 in float32, and 0 / 0 is no number. At this one any two logits that differ are far apart.
LEAST_TEMPERATURE = 1e-30
NUCLEUS_GUESS_TOKENS = 1024  # top-p seldom needs more; sorting a whole vocabulary costs milliseconds


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen token; `completes` where a constraint is fulfilled and nothing may follow."""

    token_id: int
    completes: bool = False
    logprob: float | None = None
    top_logprobs: tuple[tuple[int, float], ...] = ()


class TokenSampler:
    """Chooses for one request, from its own random generator: one number a token, whatever else runs."""

    def __init__(
        self,
        params: SamplingParams,
        constraint: Constraint | None = None,
        prompt_ids: Sequence[int] = (),
        stop_token_ids: Set[int] = frozenset(),
    ) -> None:
        self._params = params
        self._adjustment = LogitAdjustment.of(params, constraint, prompt_ids, stop_token_ids)
        self._generator = torch.Generator()
        if params.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(params.seed % 2**64)

    @property
    def plain(self) -> bool:
        """Whether the likeliest token is always taken, as it is, and nothing else is asked."""
        return (
            self._params.temperature == 0 and self._adjustment is None and self._params.top_logprobs is None
        )

    def choose(self, logits: torch.Tensor) -> Choice:
        """The choice from one row of logits (float32, on the CPU).

        Raises InvalidInput where the request's constraint cannot be kept to.
        """
        adjusted = logits if self._adjustment is None else self._adjustment.apply(logits)
        token_id = int(adjusted.argmax()) if self._params.temperature == 0 else self.draw(adjusted)
        completes = self._adjustment is not None and self._adjustment.note(token_id)
        if self._params.top_logprobs is None:
            return Choice(token_id, completes)
        logprobs = logits.log_softmax(-1)
        top = logprobs.topk(min(self._params.top_logprobs, logprobs.numel()))
        pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
        possible = tuple(pair for pair in pairs if pair[1] > -math.inf)  # others are no tokens of this model
        return Choice(token_id, completes, float(logprobs[token_id]), possible)

    def draw(self, logits: torch.Tensor) -> int:
        """The id drawn from one row of logits (float32, on the CPU)."""
        scaled = (logits - logits.max()) / max(self._params.temperature, LEAST_TEMPERATURE)
        if self._params.min_p > 0:  # the likeliest stands at 0
            scaled = scaled.masked_fill(scaled < math.log(self._params.min_p), -torch.inf)
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


Chosen = Choice | InvalidInput | None
"""None where the logits are not numbers; InvalidInput where a request's constraint cannot be kept to."""


def choose_tokens(
    logits: torch.Tensor, samplers: Sequence[TokenSampler], drafts: Sequence[Sequence[int]]
) -> list[list[Chosen]]:
    """The choices of each sampler, from its next rows of logits: one, and one for each token of its draft.

    A row after a token of the draft says what follows it, so the choices go on while they are the draft's.
    Each is made as it would be in a step of its own, in the same order and from the same numbers.
    """
    logits = logits.float()
    best = logits.max(dim=-1)
    sound = best.values.isfinite().tolist()
    greedy_ids = best.indices.tolist()
    rows = logits if all(sampler.plain for sampler in samplers) else logits.cpu()

    def choose(sampler: TokenSampler, row: int) -> Chosen:
        if not sound[row]:
            return None
        return Choice(greedy_ids[row]) if sampler.plain else _chosen(sampler, rows[row])

    made: list[list[Chosen]] = []
    row = 0
    for sampler, draft in zip(samplers, drafts, strict=True):
        choices = [choose(sampler, row)]
        for index, token_id in enumerate(draft, start=row + 1):
            if not _goes_on(choices[-1], token_id):
                break
            choices.append(choose(sampler, index))
        made.append(choices)
        row += 1 + len(draft)
    return made


def _goes_on(choice: Chosen, drafted: int) -> bool:
    return isinstance(choice, Choice) and choice.token_id == drafted and not choice.completes


def _chosen(sampler: TokenSampler, logits: torch.Tensor) -> Choice | InvalidInput:
    try:
        return sampler.choose(logits)
    except InvalidInput as error:
        return error
