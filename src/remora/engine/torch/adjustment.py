"""What a request changes about its logits. Owns bias, penalties and masks; chooses nothing."""

from __future__ import annotations

from collections import Counter

import torch

from remora.engine.base import Constraint, SamplingParams

_BITS = torch.arange(8, dtype=torch.uint8)


class LogitAdjustment:
    """The changes for one request, which depend on what was chosen so far."""

    def __init__(self, params: SamplingParams, constraint: Constraint | None) -> None:
        self._frequency_penalty = params.frequency_penalty
        self._presence_penalty = params.presence_penalty
        self._bias_ids = torch.tensor(list(params.logit_bias), dtype=torch.long)
        self._bias = torch.tensor(list(params.logit_bias.values()), dtype=torch.float32)
        self._constraint = constraint
        self._counts: Counter[int] = Counter()

    @classmethod
    def of(cls, params: SamplingParams, constraint: Constraint | None) -> LogitAdjustment | None:
        """None where the logits stay as they are."""
        penalties = params.frequency_penalty or params.presence_penalty
        return cls(params, constraint) if penalties or params.logit_bias or constraint is not None else None

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """A changed copy of one row of logits.

        Penalties as OpenAI writes them: logit - count · frequency - (count > 0) · presence.
        """
        logits = logits.clone()
        logits[self._bias_ids] += self._bias
        if self._counts:
            ids = torch.tensor(list(self._counts))
            counts = torch.tensor(list(self._counts.values()), dtype=torch.float32)
            logits[ids] -= counts * self._frequency_penalty + self._presence_penalty
        if self._constraint is not None:
            logits[~_allowed(self._constraint.mask(), logits.numel())] = -torch.inf
        return logits

    def note(self, token_id: int) -> bool:
        """Take in what was chosen; True where the constraint is fulfilled and nothing may follow."""
        if self._frequency_penalty or self._presence_penalty:
            self._counts[token_id] += 1
        return self._constraint is not None and self._constraint.advance(token_id)


def _allowed(mask: bytes, vocab_size: int) -> torch.Tensor:
    """A constraint's mask as booleans; what it has no bit for is not allowed."""
    packed = torch.frombuffer(bytearray(mask), dtype=torch.uint8)
    bits = ((packed[:, None] >> _BITS) & 1).bool().flatten()[:vocab_size]
    allowed = torch.zeros(vocab_size, dtype=torch.bool)
    allowed[: bits.numel()] = bits
    return allowed
