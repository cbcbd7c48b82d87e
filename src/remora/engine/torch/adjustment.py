"""What a request changes about its logits. Owns bias, penalties and masks; chooses nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set

import torch

from remora.engine.base import Constraint, SamplingParams

_BITS = torch.arange(8, dtype=torch.uint8)
# A float32 divided or multiplied by a penalty in these bounds is a float64 that is neither infinite nor 0,
# and what lies beyond them gives the same order: the tokens seen are far from all others by then.
_LEAST_PENALTY, _MOST_PENALTY = 1e-200, 1e200


class LogitAdjustment:
    """The changes for one request, which depend on what was chosen so far."""

    def __init__(
        self,
        params: SamplingParams,
        constraint: Constraint | None,
        prompt_ids: Sequence[int],
        stop_token_ids: Set[int],
    ) -> None:
        self._repetition_penalty = min(max(params.repetition_penalty, _LEAST_PENALTY), _MOST_PENALTY)
        self._seen_ids = set(prompt_ids) if params.repetition_penalty != 1 else set[int]()
        self._tokens_before_stop = params.min_tokens
        self._stop_ids = torch.tensor(sorted(stop_token_ids), dtype=torch.long)
        self._frequency_penalty = params.frequency_penalty
        self._presence_penalty = params.presence_penalty
        self._bias_ids = torch.tensor(list(params.logit_bias), dtype=torch.long)
        self._bias = torch.tensor(list(params.logit_bias.values()), dtype=torch.float32)
        self._constraint = constraint
        self._counts: Counter[int] = Counter()

    @classmethod
    def of(
        cls,
        params: SamplingParams,
        constraint: Constraint | None,
        prompt_ids: Sequence[int] = (),
        stop_token_ids: Set[int] = frozenset(),
    ) -> LogitAdjustment | None:
        """None where the logits stay as they are."""
        changes = (
            params.frequency_penalty,
            params.presence_penalty,
            params.repetition_penalty != 1,
            params.logit_bias,
            params.min_tokens,
            constraint is not None,
        )
        return cls(params, constraint, prompt_ids, stop_token_ids) if any(changes) else None

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """A changed copy of one row of logits (float32).

        Penalties as OpenAI writes them: logit - count · frequency - (count > 0) · presence. With a repetition
        penalty, which can take logits out of float32, it is computed in float64 and the likeliest is at 0.
        """
        if not self._seen_ids:
            return self._changed(logits.clone())
        exact = self._changed(logits.double())
        return (exact - exact.max()).float()

    def _changed(self, logits: torch.Tensor) -> torch.Tensor:
        logits[self._bias_ids] += self._bias.to(logits.dtype)
        if self._seen_ids:
            ids = torch.tensor(list(self._seen_ids))
            seen, penalty = logits[ids], self._repetition_penalty
            logits[ids] = torch.where(seen > 0, seen / penalty, seen * penalty)
        if self._counts:
            ids = torch.tensor(list(self._counts))
            counts = torch.tensor(list(self._counts.values()), dtype=logits.dtype)
            logits[ids] -= counts * self._frequency_penalty + self._presence_penalty
        if self._tokens_before_stop > 0:
            logits[self._stop_ids[self._stop_ids < logits.numel()]] = -torch.inf
        if self._constraint is not None:
            logits[~_allowed(self._constraint.mask(), logits.numel())] = -torch.inf
        return logits

    def note(self, token_id: int) -> bool:
        """Take in what was chosen; True where the constraint is fulfilled and nothing may follow."""
        if self._frequency_penalty or self._presence_penalty:
            self._counts[token_id] += 1
        if self._repetition_penalty != 1:
            self._seen_ids.add(token_id)
        self._tokens_before_stop -= 1
        return self._constraint is not None and self._constraint.advance(token_id)


def _allowed(mask: bytes, vocab_size: int) -> torch.Tensor:
    """A constraint's mask as booleans; what it has no bit for is not allowed."""
    packed = torch.frombuffer(bytearray(mask), dtype=torch.uint8)
    bits = ((packed[:, None] >> _BITS) & 1).bool().flatten()[:vocab_size]
    allowed = torch.zeros(vocab_size, dtype=torch.bool)
    allowed[: bits.numel()] = bits
    return allowed
