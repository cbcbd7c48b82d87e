"""Decides whether two answers come from the same model. Pure: a recording and an answer in, a verdict out.

The rule, for one prompt. Both answers are greedy, and are compared token by token up to the first that
differs.

- At every token up to there, the *distance* of the two next-token distributions is the mean of |difference of
  the log-probability| over the likeliest recorded tokens. Its mean over the tokens, and its largest value,
  must stay within the tolerance.
- A token may differ only at a *near-tie*: where the two likeliest tokens of the recording are closer to each
  other than a bound. From there on the answers are about different texts, so nothing more is compared.

On the stack of the recording, in float32, only an exact tie counts as a near-tie, and the tolerance is that
of float32's own rounding. Elsewhere (another processor, number format or version) rounding moves
log-probabilities: bfloat16 against float32 by 0.04 nats in the mean and 0.1 at most on examples/tone. There
an adapter at half its strength is off by 0.28 or more, though it gives the same text. The bounds are between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from remora.rollout.golden.prompts import GoldenPrompt
from remora.rollout.golden.recorded import Position, Stack

_RECORDED_WITH_FLOAT32 = "float32"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The allowed difference of two answers, in nats (natural logarithms of probabilities)."""

    name: str
    near_tie: float
    mean_distance: float
    largest_distance: float

    def __str__(self) -> str:
        return (
            f"{self.name}: tokens equal except at near-ties (gap ≤ {self.near_tie:g}), log-probabilities"
            f" within {self.mean_distance:g} nats in the mean and {self.largest_distance:g} anywhere"
        )


SAME_STACK = Bounds("same stack", near_tie=0.001, mean_distance=0.01, largest_distance=0.05)
OTHER_STACK = Bounds("another stack", near_tie=0.3, mean_distance=0.15, largest_distance=0.5)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two answers differ: the token's number (from 0) and both positions, None after the end."""

    index: int
    recorded: Position | None
    found: Position | None
    distance: float

    @property
    def gap(self) -> float:
        """The gap to a tie there, from the recording, else from the answer."""
        known = self.recorded or self.found
        return known.gap if known else float("inf")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is "" if the answer passes.

    `difference` is the first token that differs; if the answer fails because of the distance, it is the token
    with the largest one.
    """

    reason: str
    difference: Difference | None
    mean_distance: float
    largest_distance: float

    @property
    def passed(self) -> bool:
        return not self.reason


def bounds_for(recorded: Stack, found: Stack) -> Bounds:
    """The tolerance for the answers of two stacks. An unknown stack counts as a different one."""
    known = bool(recorded.engine)
    same = (recorded.engine, recorded.dtype, recorded.device) == (found.engine, found.dtype, found.device)
    exact = known and same and recorded.dtype == _RECORDED_WITH_FLOAT32
    return SAME_STACK if exact else OTHER_STACK


def compare(prompt: GoldenPrompt, text: str, found: Sequence[Position], bounds: Bounds) -> Verdict:
    """Compare an answer, `text` with its tokens, with the recording of the prompt.

    A prompt written by hand has an answer but no tokens: then the text decides, with the near-ties of the
    found answer.
    """
    at = _first_difference(prompt, text, found)
    compared = len(found) if at is None else at + 1
    pairs = list(zip(prompt.top, found, strict=False))[:compared]
    distances = [distance(recorded, position) for recorded, position in pairs]
    mean, largest = (fmean(distances), max(distances)) if distances else (0.0, 0.0)
    if at is not None:
        difference = _difference(prompt.top, found, at)
        if not _is_near_tie(difference, bounds):
            return Verdict(f"token {at + 1} differs, and it is not a near-tie", difference, mean, largest)
    worst = max(range(len(distances)), key=distances.__getitem__, default=0)
    there = _difference(prompt.top, found, worst)
    if largest > bounds.largest_distance:
        return Verdict(
            f"log-probabilities of token {worst + 1} are {largest:.2f} nats off", there, mean, largest
        )
    if mean > bounds.mean_distance:
        return Verdict(f"log-probabilities are {mean:.2f} nats off in the mean", there, mean, largest)
    return Verdict("", None if at is None else _difference(prompt.top, found, at), mean, largest)


def distance(recorded: Position, found: Position) -> float:
    """Mean of |difference of the log-probability| over the recorded tokens, in nats.

    A token that was not found is at most as likely as the last found one, so its difference is a lower bound.
    """
    known, least = dict(found.top), found.top[-1][1]
    return fmean(
        abs(logprob - known[token]) if token in known else max(0.0, logprob - least)
        for token, logprob in recorded.top
    )


def _first_difference(prompt: GoldenPrompt, text: str, found: Sequence[Position]) -> int | None:
    """The number of the first token that differs; None if the answers are the same."""
    if not prompt.tokens:
        return _first_textual_difference(prompt.answer, text, found)
    tokens = [position.token for position in found]
    if not tokens:  # an endpoint that gives no log-probabilities
        return None if text == prompt.answer else 0
    if tokens == list(prompt.tokens):
        return None
    pairs = enumerate(zip(prompt.tokens, tokens, strict=False))
    same = min(len(prompt.tokens), len(tokens))
    return next((number for number, (one, other) in pairs if one != other), same)


def _first_textual_difference(answer: str, text: str, found: Sequence[Position]) -> int | None:
    if not answer or text == answer:
        return None
    said = ""
    for number, position in enumerate(found):
        said += position.token
        if not answer.startswith(said):
            return number
    return max(len(found) - 1, 0)


def _difference(recorded: Sequence[Position], found: Sequence[Position], at: int) -> Difference:
    there = recorded[at] if at < len(recorded) else None
    here = found[at] if at < len(found) else None
    return Difference(at, there, here, distance(there, here) if there and here else 0.0)


def _is_near_tie(difference: Difference, bounds: Bounds) -> bool:
    """Whether the recording has a near-tie there, and the found token is one of the two if it is known."""
    recorded, found = difference.recorded, difference.found
    if recorded is not None and found is not None:
        known = dict(recorded.top)
        return recorded.top[0][1] - known.get(found.token, float("-inf")) <= bounds.near_tie
    return difference.gap <= bounds.near_tie
