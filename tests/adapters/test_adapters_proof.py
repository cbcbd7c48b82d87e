"""What an adapter changed, computed from what base and adapter said."""

from __future__ import annotations

import math

import numpy as np
import pytest

from remora.adapters.proof import BOUND_NATS, ScoredToken, effect_of, kl_lower_bound


def logprobs(*probabilities: float) -> dict[int, float]:
    return {token: math.log(p) for token, p in enumerate(probabilities)}


def told(token_id: int, *probabilities: float) -> ScoredToken:
    return ScoredToken(token_id, logprobs(*probabilities))


def test_the_whole_distribution_gives_the_whole_divergence() -> None:
    p, q = (0.5, 0.3, 0.2), (0.2, 0.3, 0.5)
    expected = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert kl_lower_bound(logprobs(*p), logprobs(*q)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_a_part_of_it_gives_a_lower_bound(seed: int) -> None:
    random = np.random.default_rng(seed)
    p, q = (random.dirichlet(np.full(200, 0.3)) + 1e-9 for _ in range(2))
    whole = float(np.sum(p * np.log(p / q)))
    for count in (1, 5, 50, 150):
        parts = []
        for each in (p, q):
            likeliest = np.argsort(each)[::-1][:count]
            parts.append({int(token): math.log(each[token]) for token in likeliest})
        assert -1e-9 <= kl_lower_bound(parts[0], parts[1]) <= whole + 1e-6


def test_equal_distributions_have_no_divergence() -> None:
    assert kl_lower_bound(logprobs(0.5, 0.3), logprobs(0.5, 0.3)) == 0
    effect = effect_of([[told(0, 0.9, 0.1)] * 4], [[told(0, 0.9, 0.1)] * 4])
    assert (effect.changed_tokens, effect.compared_positions, effect.is_proven) == (0, 4, False)


def test_rounding_is_no_proof() -> None:
    base, adapted = [[told(0, 0.9, 0.1)] * 4], [[told(0, 0.9002, 0.0998)] * 4]
    effect = effect_of(base, adapted)
    assert 0 < effect.mean_kl_nats < BOUND_NATS
    assert not effect.is_proven


def test_after_the_first_other_token_only_tokens_are_counted() -> None:
    base = [[told(0, 0.6, 0.4), told(0, 0.6, 0.4), told(0, 0.6, 0.4)]]
    adapted = [[told(0, 0.6, 0.4), told(1, 0.4, 0.6), told(1, 1e-9, 1.0)]]
    effect = effect_of(base, adapted)
    assert (effect.tokens, effect.changed_tokens, effect.compared_positions) == (3, 2, 2)
    assert effect.max_kl_nats == pytest.approx(0.6 * math.log(1.5) + 0.4 * math.log(2 / 3), abs=1e-9)
    assert effect.is_proven


def test_an_answer_that_ends_earlier_has_changed() -> None:
    base, adapted = [[told(0, 0.9, 0.1)] * 4], [[told(0, 0.9, 0.1)] * 2]
    assert effect_of(base, adapted).changed_tokens == 2
