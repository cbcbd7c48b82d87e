"""The draw of the next token: what each parameter keeps, and that a seed fixes it."""

from __future__ import annotations

import math
import sys
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from remora.engine.base import SamplingParams
from remora.engine.torch.sampling import LEAST_TEMPERATURE, Choice, TokenSampler, choose_tokens

LOGITS = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()[torch.tensor([2, 0, 3, 1])]  # likeliest: 1, 3, 0, 2


def drawn(
    logits: torch.Tensor = LOGITS,
    *,
    times: int = 2000,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    min_p: float = 0.0,
    seed: int | None = 5,
) -> list[int]:
    params = SamplingParams(
        max_tokens=1, temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p, seed=seed
    )
    sampler = TokenSampler(params)
    return [sampler.draw(logits) for _ in range(times)]


def shares(tokens: list[int]) -> list[float]:
    return [tokens.count(token) / len(tokens) for token in range(4)]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, [0.15, 0.5, 0.05, 0.3]),
        ({"temperature": 0.5}, [0.0616, 0.6849, 0.0068, 0.2466]),
        ({"temperature": 2.0}, [0.2114, 0.386, 0.1221, 0.299]),
        ({"top_k": 2}, [0, 0.625, 0, 0.375]),
        ({"top_k": 9}, [0.15, 0.5, 0.05, 0.3]),
        ({"top_p": 0.49}, [0, 1, 0, 0]),
        ({"top_p": 0.6}, [0, 0.625, 0, 0.375]),
        ({"top_p": 0.9}, [0.1579, 0.5263, 0, 0.3158]),
        # top_p counts what top_k left: 0.625 of two is enough
        ({"top_k": 2, "top_p": 0.6}, [0, 1, 0, 0]),
        # temperature comes first: the likeliest has 0.386, so two are needed
        ({"temperature": 2.0, "top_p": 0.6}, [0, 0.5635, 0, 0.4365]),
        ({"temperature": 1e-30}, [0, 1, 0, 0]),
        ({"top_p": 0.0}, [0, 1, 0, 0]),
        ({"min_p": 0.5}, [0, 0.625, 0, 0.375]),
        ({"min_p": 1.0}, [0, 1, 0, 0]),
        # of what is left top_p keeps 0.6
        ({"min_p": 0.5, "top_p": 0.6}, [0, 1, 0, 0]),
    ],
)
def test_tokens_come_in_their_proportions(params: dict[str, float], expected: list[float]) -> None:
    got = shares(drawn(**params))  # type: ignore[arg-type]
    assert got == pytest.approx(expected, abs=0.035)
    assert [share == 0 for share in got] == [share == 0 for share in expected]


def test_a_seed_fixes_the_draws_and_none_does_not() -> None:
    assert drawn(seed=3, times=50) == drawn(seed=3, times=50)
    assert drawn(seed=3, times=50) != drawn(seed=4, times=50)
    assert drawn(seed=None, times=50) != drawn(seed=None, times=50)


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64 - 1, 2**70 + 1])
def test_any_whole_number_is_a_seed(seed: int) -> None:
    assert drawn(seed=seed, times=20) == drawn(seed=seed, times=20)


def test_a_nucleus_larger_than_the_guess_is_found_by_sorting() -> None:
    flat = torch.zeros(5000)
    assert len(set(drawn(flat, times=3000, top_p=0.5))) > 1024


def test_a_token_that_cannot_come_does_not_come() -> None:
    logits = torch.tensor([-torch.inf, 0.0, -torch.inf, 0.0])
    assert set(drawn(logits)) == {1, 3}


def test_rows_are_chosen_by_their_own_rule_and_broken_ones_by_none() -> None:
    greedy = TokenSampler(SamplingParams(max_tokens=1, temperature=0))
    hot = TokenSampler(SamplingParams(max_tokens=1, temperature=1.0, top_k=1))
    broken = torch.full((4,), float("nan"))
    logits = torch.stack([LOGITS, LOGITS.flip(0), broken, broken]).bfloat16()
    samplers = [greedy, hot, greedy, hot]
    assert choose_tokens(logits, samplers, [()] * 4) == [[Choice(1)], [Choice(2)], [None], [None]]
    assert choose_tokens(logits[:0], [], []) == []


# Where float32 ends: the least number that is more than 0 in Python, in float32 with and without its last
# bits, and what rounds to 1 there.
EDGES = (5e-324, 1e-46, 1e-45, 1e-40, 1.1754943508222875e-38, 1e-30, 1e-8)
BELOW_ONE = (1 - 2**-53, 1 - 2**-24, 1 - 2**-12)
LARGEST = 3.4028234663852886e38
LOGIT = st.floats(-LARGEST, LARGEST, width=32) | st.floats(-20, 20, width=32)


def near_edges(low: float, high: float, *edges: float) -> st.SearchStrategy[float]:
    return st.one_of(st.floats(low, high), st.sampled_from(edges))


@settings(max_examples=400, deadline=None)
@given(
    logits=st.lists(LOGIT, min_size=1, max_size=8),
    temperature=near_edges(0, 2, *EDGES),
    top_p=near_edges(5e-324, 1, *EDGES, *BELOW_ONE),
    top_k=st.integers(0, 9) | st.just(2**70),
    penalties=st.tuples(*2 * [near_edges(-2, 2, *EDGES, *(-edge for edge in EDGES))]),
    bias=near_edges(-100, 100, *EDGES, *(-edge for edge in EDGES)),
    seed=st.integers(0, 2**63 - 1),
)
def test_at_the_edges_of_float32_only_tokens_come_that_may(
    *,
    logits: list[float],
    temperature: float,
    top_p: float,
    top_k: int,
    penalties: tuple[float, float],
    bias: float,
    seed: int,
) -> None:
    params = SamplingParams(
        max_tokens=2,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        frequency_penalty=penalties[0],
        presence_penalty=penalties[1],
        logit_bias={0: bias},
        top_logprobs=1,
    )
    sampler = TokenSampler(params)
    counts = [0] * len(logits)
    for _ in range(2):
        adjusted = torch.tensor(logits)
        adjusted[0] += bias
        for index, count in enumerate(counts):
            adjusted[index] -= count * penalties[0] + bool(count) * penalties[1]
        choice = sampler.choose(torch.tensor(logits))
        assert choice.token_id in tokens_that_may_come(adjusted.double(), temperature, top_p, top_k)
        assert choice.logprob is not None
        assert choice.logprob <= 0
        counts[choice.token_id] += 1


PENALTIES = (
    *EDGES,
    1e-320,
    1e-39,
    1e-38,
    1e-37,
    0.5,
    2.0,
    10.0,
    1e30,
    1e38,
    LARGEST,
    1e300,
    sys.float_info.max,
)


@settings(max_examples=400, deadline=None)
@given(
    logits=st.lists(LOGIT, min_size=2, max_size=8),
    penalty=st.sampled_from(PENALTIES),
    seen=st.sets(st.integers(0, 7)),
    min_p=near_edges(0, 1, *EDGES, *BELOW_ONE),
    greedy=st.booleans(),
    seed=st.integers(0, 2**63 - 1),
)
def test_a_repetition_penalty_gives_the_order_that_exact_arithmetic_gives(
    *, logits: list[float], penalty: float, seen: set[int], min_p: float, greedy: bool, seed: int
) -> None:
    prompt_ids = [token_id for token_id in seen if token_id < len(logits)]
    params = SamplingParams(
        max_tokens=1,
        temperature=0 if greedy else 1,
        repetition_penalty=penalty,
        min_p=min_p,
        seed=seed,
    )
    choice = TokenSampler(params, prompt_ids=prompt_ids).choose(torch.tensor(logits))
    exact = [Fraction(logit) for logit in logits]
    for token_id in prompt_ids:
        exact[token_id] *= 1 / Fraction(penalty) if logits[token_id] > 0 else Fraction(penalty)
    gap = max(exact) - exact[choice.token_id]
    rounding = Fraction(1e-40) + abs(max(exact)) * Fraction(1e-12)
    possible = 0 if greedy else min(50, -math.log(min_p) + 1e-3 if min_p else 50)
    assert gap <= rounding + Fraction(possible)


def tokens_that_may_come(logits: torch.Tensor, temperature: float, top_p: float, top_k: int) -> set[int]:
    """By the definitions, in float64, with room for the rounding of float32; nothing next to impossible."""
    gaps = logits - logits.max()
    if temperature == 0:
        return set(torch.nonzero(gaps == 0).flatten().tolist())
    probabilities = (gaps / max(temperature, LEAST_TEMPERATURE)).softmax(-1)
    falling = probabilities.sort(descending=True).values.tolist()
    least = falling[min(top_k, len(falling)) - 1] if top_k else 0.0
    kept = sum(falling[: min(top_k, len(falling)) or None])
    return {
        token
        for token, share in enumerate(probabilities.tolist())
        if share > 1e-9
        and share >= least * (1 - 1e-4)
        and sum(other for other in falling if other > share * (1 + 1e-4)) / kept < top_p + 1e-4
    }
