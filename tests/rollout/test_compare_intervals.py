"""The intervals of a comparison: how often they hold the truth, where that is known."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from remora.rollout.compare import intervals
from remora.rollout.evaluation.scores import Measure

RUNS = 1000
PROMPTS = 70
RESAMPLES = 200  # of each run, for the time; the product draws a thousand

Simulated = Callable[[random.Random], Measure]


def accuracy_difference(draw: random.Random) -> Measure:
    """Prompts that are hard for both or for none: the base is right in 30 %, the adapter in 55 %."""
    ours, theirs = [], []
    for _ in range(PROMPTS):
        hard = draw.uniform(-0.3, 0.3)
        theirs.append(float(draw.random() < 0.3 + hard))
        ours.append(float(draw.random() < 0.55 + hard))
    return intervals.mean_difference(ours, theirs, resamples=RESAMPLES)


def accuracy_difference_of_a_new_task(draw: random.Random) -> Measure:
    """The base is never right, the adapter in 80 %: what a fine-tune of a new task looks like."""
    ours = [float(draw.random() < 0.8) for _ in range(PROMPTS)]
    return intervals.mean_difference(ours, [0.0] * len(ours), resamples=RESAMPLES)


def nll_difference(draw: random.Random) -> Measure:
    """Answers of 1 to 12 tokens; the adapter is 0.4 nats a token likelier."""
    ours, theirs = [], []
    for _ in range(PROMPTS):
        tokens, hard = draw.randint(1, 12), draw.gauss(2.0, 0.8)
        theirs.append((sum(hard + draw.gauss(0, 1) for _ in range(tokens)), float(tokens)))
        ours.append((sum(hard - 0.4 + draw.gauss(0, 1) for _ in range(tokens)), float(tokens)))
    return intervals.ratio_difference(ours, theirs, resamples=RESAMPLES)


def share(draw: random.Random) -> Measure:
    return intervals.mean([float(draw.random() < 0.9) for _ in range(PROMPTS)], resamples=RESAMPLES)


@pytest.mark.parametrize(
    ("simulated", "truth"),
    [
        (accuracy_difference, 0.25),
        (accuracy_difference_of_a_new_task, 0.8),
        (nll_difference, -0.4),
        (share, 0.9),
    ],
)
def test_the_intervals_hold_the_truth_in_93_to_97_of_100_runs(simulated: Simulated, truth: float) -> None:
    draw = random.Random(20_261_129)  # noqa: S311 - no secret
    found = [simulated(draw) for _ in range(RUNS)]
    held = sum(one.low <= truth <= one.high for one in found) / RUNS
    assert 0.93 <= held <= 0.97, held


def test_ten_right_answers_of_ten_are_not_certain() -> None:
    alone, difference = intervals.mean([1.0] * 10), intervals.mean_difference([1.0] * 10, [0.0] * 10)
    assert alone.value == alone.high == difference.value == difference.high == 1.0
    assert 0.4 < alone.low < 1
    assert 0.3 < difference.low < 1


def test_equal_models_have_no_difference_and_one_prompt_has_an_interval() -> None:
    numbers = [(2.0, 1.0), (9.0, 3.0)]
    assert intervals.ratio_difference(numbers, numbers) == Measure(0.0, 0.0, 0.0)
    assert intervals.ratio(numbers[:1]) == Measure(2.0, 2.0, 2.0)
    assert intervals.mean([0.25, 0.75]).value == 0.5


def test_the_same_numbers_have_the_same_interval() -> None:
    assert intervals.mean([0.1, 0.5, 0.9]) == intervals.mean([0.1, 0.5, 0.9])
