"""The rule by which two answers are compared."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from remora.rollout.golden.comparison import OTHER_STACK, SAME_STACK, Bounds, bounds_for, compare, distance
from remora.rollout.golden.prompts import GoldenPrompt
from remora.rollout.golden.recorded import Position, Stack

MACHINE = Stack("torch 2.9", "float32", "cpu A", "t")


def position(token: str, **logprobs: float) -> Position:
    return Position(token, tuple(sorted(logprobs.items(), key=lambda item: -item[1])))


def shifted(one: Position, by: float) -> Position:
    return Position(one.token, tuple((token, logprob + by) for token, logprob in one.top))


SURE = position("joy", joy=-0.01, sad=-4.7, fear=-7.0)
TIE = position("one", one=-0.70, two=-0.72, three=-5.0)
END = position("!", **{"!": -0.05, ".": -3.0, "?": -4.0})
RECORDED = GoldenPrompt("tone", "hey", "joyone!", 16, "stop", "d", ("joy", "one", "!"), (SURE, TIE, END))


@pytest.mark.parametrize("bounds", [SAME_STACK, OTHER_STACK])
def test_the_same_answer_passes_everywhere(bounds: Bounds) -> None:
    verdict = compare(RECORDED, "joyone!", RECORDED.top, bounds)
    assert (verdict.passed, verdict.mean_distance, verdict.difference) == (True, 0.0, None)


@pytest.mark.parametrize(
    ("by", "same", "other"), [(1e-5, True, True), (0.04, False, True), (0.28, False, False)]
)
def test_log_probabilities_may_move_as_far_as_rounding_moves_them(by: float, same: bool, other: bool) -> None:
    found = [shifted(one, -by) for one in RECORDED.top]
    assert compare(RECORDED, "joyone!", found, SAME_STACK).passed is same
    assert compare(RECORDED, "joyone!", found, OTHER_STACK).passed is other


def test_one_token_far_off_is_enough() -> None:
    found = [*RECORDED.top[:2], shifted(END, -0.6)]
    long = replace(RECORDED, tokens=(*("joy",) * 20, "!"), top=(*(SURE,) * 20, END))
    verdict = compare(long, "", [*(SURE,) * 20, shifted(END, -0.6)], OTHER_STACK)
    assert verdict.mean_distance < OTHER_STACK.mean_distance
    assert verdict.reason == "log-probabilities of token 21 are 0.60 nats off"
    assert verdict.difference is not None
    assert verdict.difference.recorded is END
    assert not compare(RECORDED, "joyone!", found, OTHER_STACK).passed


def test_another_token_passes_at_a_near_tie_only() -> None:
    swapped = position("two", two=-0.69, one=-0.71, three=-5.0)
    found = [SURE, swapped, position("whatever", whatever=-0.1, never=-3.0)]
    verdict = compare(RECORDED, "joytwowhatever", found, OTHER_STACK)
    assert verdict.passed
    assert verdict.difference is not None
    assert verdict.difference.index == 1
    assert not compare(RECORDED, "joytwowhatever", found, SAME_STACK).passed


@pytest.mark.parametrize(
    "found",
    [
        position("sad", sad=-0.2, joy=-2.0, fear=-7.0),  # the recording was sure
        position("three", three=-0.6, one=-0.9, two=-0.9),  # not one of the two
    ],
)
def test_any_other_token_is_caught(found: Position) -> None:
    recorded = replace(RECORDED, top=(TIE, SURE, END), tokens=("one", "joy", "!"))
    prompt = recorded if found.token == "three" else RECORDED
    verdict = compare(prompt, found.token, [found], OTHER_STACK)
    assert verdict.reason == "token 1 differs, and it is not a near-tie"
    assert verdict.difference is not None
    assert (verdict.difference.recorded, verdict.difference.found) == (prompt.top[0], found)


@pytest.mark.parametrize("length", [1, 2])
def test_an_answer_that_ends_early_is_caught(length: int) -> None:
    verdict = compare(RECORDED, "joy", RECORDED.top[:length], OTHER_STACK)
    near_tie_at_the_end = length == 1
    assert verdict.passed is near_tie_at_the_end
    assert verdict.difference is not None
    assert verdict.difference.found is None


def test_an_answer_that_goes_on_is_caught() -> None:
    assert not compare(RECORDED, "joyone!!", [*RECORDED.top, END], OTHER_STACK).passed


def test_beyond_the_recorded_positions_the_tokens_still_decide() -> None:
    prompt = replace(RECORDED, top=RECORDED.top[:1])
    assert compare(prompt, "joyone!", RECORDED.top, OTHER_STACK).passed
    assert not compare(prompt, "joyoneno", [SURE, TIE, position("no", no=-0.1, yes=-4.0)], OTHER_STACK).passed


def test_an_answer_written_by_hand_decides_by_its_text() -> None:
    prompt = GoldenPrompt("tone", "hey", "joyone!", 16)
    assert compare(prompt, "joyone!", RECORDED.top, OTHER_STACK).passed
    assert compare(prompt, "joyone!", (), OTHER_STACK).passed
    assert not compare(prompt, "sad", [position("sad", sad=-0.2, joy=-2.0)], OTHER_STACK).passed
    assert compare(prompt, "joytwo", [SURE, position("two", two=-0.69, one=-0.7)], OTHER_STACK).passed
    assert not compare(prompt, "sad", (), OTHER_STACK).passed
    assert compare(replace(prompt, answer=""), "anything", (), OTHER_STACK).passed


def test_a_recorded_token_that_is_not_found_counts_as_the_least_it_can_be_off_by() -> None:
    recorded = position("a", a=-0.1, b=-3.0, c=-9.0)
    found = position("a", a=-0.1, d=-5.0)
    assert math.isclose(distance(recorded, found), (0 + 2.0 + 0) / 3)


@pytest.mark.parametrize(
    ("found", "bounds"),
    [
        (MACHINE, SAME_STACK),
        (
            replace(MACHINE, template="other"),
            SAME_STACK,
        ),  # the question is another one: the answers will tell
        (replace(MACHINE, dtype="bfloat16"), OTHER_STACK),
        (replace(MACHINE, device="cpu B"), OTHER_STACK),
        (replace(MACHINE, engine="torch 2.10"), OTHER_STACK),
        (Stack(), OTHER_STACK),
    ],
)
def test_how_close_answers_must_be_depends_on_the_stack(found: Stack, bounds: Bounds) -> None:
    assert bounds_for(MACHINE, found) is bounds


def test_half_precision_is_never_exact() -> None:
    """Its rounding depends on what else is in the batch."""
    half = replace(MACHINE, dtype="bfloat16")
    assert bounds_for(half, half) is OTHER_STACK
    assert bounds_for(Stack(), Stack()) is OTHER_STACK
