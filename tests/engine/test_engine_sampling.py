"""The draw of the next token: what each parameter keeps, and that a seed fixes it."""

from __future__ import annotations

import pytest
import torch

from remora.engine.base import SamplingParams
from remora.engine.torch.sampling import Choice, TokenSampler, choose_tokens

LOGITS = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()[torch.tensor([2, 0, 3, 1])]  # likeliest: 1, 3, 0, 2


def drawn(
    logits: torch.Tensor = LOGITS,
    *,
    times: int = 2000,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int | None = 5,
) -> list[int]:
    params = SamplingParams(max_tokens=1, temperature=temperature, top_p=top_p, top_k=top_k, seed=seed)
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
    assert choose_tokens(logits, [greedy, hot, greedy, hot]) == [Choice(1), Choice(2), None, None]
    assert choose_tokens(logits[:0], []) == []
