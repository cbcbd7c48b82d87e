"""Proof that an adapter changes what its base model says: the mathematics and the verdict. Runs no model.

Base and adapter answer the same prompts greedily, with the log-probabilities of their likeliest tokens. As
long as both have written the same tokens, their next-token distributions have the same context and can be
compared: KL(base ‖ adapter) = Σ p·ln(p/q), in nats. After the first token that differs, they cannot;
from there on only the tokens are counted.

Engines tell the likeliest tokens, not all. Tokens that both tell are taken one by one; those that only the
base tells, and all that neither does, as one each: that can only lower the divergence (data-processing
inequality; Cover & Thomas, Elements of Information Theory, §2.8). So what is reported is a lower bound, and
the whole where both tell everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

BOUND_NATS = 1e-4
"""Below this mean, and without a changed token, an adapter counts as one without effect.

Above what rounding does (bfloat16 moves logits by about 1e-2, which is 1e-5 to 1e-4 nats), far below what a
training does (1e-2 and more).
"""

NEUTRAL_PROMPTS = (
    "Hello!",
    "Tell me about your day.",
    "What should I do next?",
    "The weather is fine, and I finally got the job I wanted.",
)
"""Asked of every adapter, whether or not there are golden prompts."""

ANSWER_TOKENS = 8

_SMALLEST_REST = 1e-6  # float32 sums over a vocabulary are no more exact, and a rest of 0 has no logarithm


class ProofPolicy(StrEnum):
    """What becomes of an adapter that was not seen to change anything."""

    REFUSE = "refuse"
    WARN = "warn"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """One generated token, and the log-probabilities (natural) of the likeliest tokens in its place."""

    token_id: int
    logprobs: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Effect:
    """What an adapter changed. Both divergences are lower bounds, over the `compared_positions`.

    `first_difference` is the lowest number of a token, from 1, that any answer has otherwise; 0 for none.
    """

    prompts: int
    tokens: int
    changed_tokens: int
    compared_positions: int
    mean_kl_nats: float
    max_kl_nats: float
    first_difference: int = 0

    @property
    def is_proven(self) -> bool:
        """Whether the adapter was seen to change something."""
        return self.changed_tokens > 0 or self.mean_kl_nats >= BOUND_NATS

    def __str__(self) -> str:
        return (
            f"KL ≥ {self.mean_kl_nats:.3g} nats a token, {self.changed_tokens} of {self.tokens} greedy tokens"
            f" changed ({self.prompts} prompts)"
        )


@dataclass(frozen=True, slots=True)
class Proof:
    """What is known of whether an adapter changes anything.

    `state` is proven, unproven, pending, unknown (`problem` says why) or off; the figures are those of the
    first two.
    """

    state: str
    kl_nats: float = 0.0
    first_difference: int = 0
    prompts: int = 0
    problem: str = ""

    @classmethod
    def of(cls, effect: Effect) -> Proof:
        """The verdict on what was measured."""
        state = "proven" if effect.is_proven else "unproven"
        return cls(state, effect.mean_kl_nats, effect.first_difference, effect.prompts)

    def __str__(self) -> str:
        if self.state not in ("proven", "unproven"):
            return f"{self.state}: {self.problem}" if self.problem else self.state
        first = f"first difference at token {self.first_difference}"
        where = first if self.first_difference else "no other token in the answers"
        kl = f"KL {self.kl_nats:.2g}, {where} of {self.prompts} prompts"
        return kl if self.state == "proven" else f"unproven: {kl}"


def effect_of(base: Sequence[Sequence[ScoredToken]], adapted: Sequence[Sequence[ScoredToken]]) -> Effect:
    """What the adapter changed in the answers to the same prompts, in the same order."""
    divergences: list[float] = []
    differing: list[int] = []
    tokens = changed = 0
    for ours, theirs in zip(base, adapted, strict=True):
        tokens += max(len(ours), len(theirs))
        same = _common(ours, theirs)
        changed += max(len(ours), len(theirs)) - same
        if same < max(len(ours), len(theirs)):
            differing.append(same + 1)
        compared = zip(ours[: same + 1], theirs[: same + 1], strict=False)
        divergences += [kl_lower_bound(p.logprobs, q.logprobs) for p, q in compared]
    return Effect(
        prompts=len(base),
        tokens=tokens,
        changed_tokens=changed,
        compared_positions=len(divergences),
        mean_kl_nats=sum(divergences) / len(divergences) if divergences else 0.0,
        max_kl_nats=max(divergences, default=0.0),
        first_difference=min(differing, default=0),
    )


def kl_lower_bound(base: Mapping[int, float], adapted: Mapping[int, float]) -> float:
    """At least this much is KL(base ‖ adapter), given the log-probabilities of some tokens each, in nats."""
    shared = base.keys() & adapted.keys()
    total = sum(math.exp(base[token]) * (base[token] - adapted[token]) for token in sorted(shared))
    missing = base.keys() - adapted.keys()
    dropped = math.fsum(math.exp(base[token]) for token in missing)
    base_rest, adapted_rest = _rest(base, base.keys()), _rest(adapted, shared)
    # The adapter gives a token that it does not tell at most what it gives the last one that it tells. Within
    # that, its probability is split between the two groups as brings the divergence lowest.
    most = len(missing) * math.exp(min(adapted.values())) if adapted else 1.0
    even = adapted_rest * dropped / (dropped + base_rest)
    taken = min(most, even)
    if dropped > 0 and taken > 0:
        total += dropped * math.log(dropped / taken)
        adapted_rest = max(_SMALLEST_REST, adapted_rest - taken)
    return max(0.0, total + base_rest * math.log(base_rest / adapted_rest))


def _common(ours: Sequence[ScoredToken], theirs: Sequence[ScoredToken]) -> int:
    """How many tokens both begin with."""
    pairs = zip(ours, theirs, strict=False)
    differing = (index for index, (a, b) in enumerate(pairs) if a.token_id != b.token_id)
    return next(differing, min(len(ours), len(theirs)))


def _rest(logprobs: Mapping[int, float], told: Iterable[int]) -> float:
    """The probability of all tokens but these."""
    return max(_SMALLEST_REST, 1.0 - math.fsum(math.exp(logprobs[token]) for token in told))
