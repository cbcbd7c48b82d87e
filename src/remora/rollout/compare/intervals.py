"""Numbers with 95 % intervals. Owns the bootstrap; knows nothing of models.

Prompts are drawn again, with replacement, and the number is computed of each draw: the middle 95 % of these
are the interval. Differences are paired: they are computed for each prompt first, so that prompts that are
hard for both models do not widen the interval. A fixed seed makes the same numbers give the same interval.

A bootstrap of ten right answers of ten would be certain: no draw has a wrong one. So outcomes of yes and no
are drawn together with a few made-up ones, as Agresti and Coull (1998) add two of each to a share, and Bonett
and Price (2012) add one of each to a difference of two. For other numbers the bootstrap is too narrow where
there are few prompts; so its tails are those of Student's t, as Hesterberg (2015) widens them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from math import fsum, sqrt
from statistics import NormalDist
from typing import TypeVar

from remora.rollout.evaluation.scores import LOW, RESAMPLES, SEED, Measure

T = TypeVar("T")

SHARE_PRIOR = (0.0, 0.0, 1.0, 1.0)
DIFFERENCE_PRIOR = (-1.0, 1.0)
_NORMAL = NormalDist()


def mean(values: Sequence[float], *, resamples: int = RESAMPLES) -> Measure:
    """The mean. Values that are all 0 or 1 are taken as a share."""
    prior = SHARE_PRIOR if set(values) <= {0.0, 1.0} else ()
    return _mean(values, prior, resamples)


def mean_difference(ours: Sequence[float], theirs: Sequence[float], *, resamples: int = RESAMPLES) -> Measure:
    """The mean of our value less theirs, prompt by prompt."""
    prior = DIFFERENCE_PRIOR if {*ours, *theirs} <= {0.0, 1.0} else ()
    return _mean([a - b for a, b in zip(ours, theirs, strict=True)], prior, resamples)


def ratio(parts: Sequence[tuple[float, float]], *, resamples: int = RESAMPLES) -> Measure:
    """The sum of the first numbers over that of the second: a number a token."""
    draws = (
        fsum(above for above, _ in chosen) / fsum(below for _, below in chosen)
        for chosen in _draws(parts, resamples)
    )
    value = fsum(above for above, _ in parts) / fsum(below for _, below in parts)
    return _between(value, sorted(draws), _tail(len(parts)))


def ratio_difference(
    ours: Sequence[tuple[float, float]], theirs: Sequence[tuple[float, float]], *, resamples: int = RESAMPLES
) -> Measure:
    """Our ratio less theirs, over the same prompts."""
    pairs = list(zip(ours, theirs, strict=True))
    draws = sorted(_less(chosen) for chosen in _draws(pairs, resamples))
    return _between(_less(pairs), draws, _tail(len(pairs)))


Pair = tuple[tuple[float, float], tuple[float, float]]


def _less(pairs: Sequence[Pair]) -> float:
    our_above = our_below = their_above = their_below = 0.0
    for (a, b), (c, d) in pairs:
        our_above += a
        our_below += b
        their_above += c
        their_below += d
    return our_above / our_below - their_above / their_below


def _mean(values: Sequence[float], prior: Sequence[float], resamples: int) -> Measure:
    drawn = [*values, *prior]
    means = sorted(fsum(chosen) / len(drawn) for chosen in _draws(drawn, resamples))
    return _between(fsum(values) / len(values), means, LOW if prior else _tail(len(values)))


def _draws(values: Sequence[T], resamples: int) -> Iterator[list[T]]:
    draw = random.Random(SEED)  # noqa: S311 - no secret
    for _ in range(resamples):
        yield draw.choices(values, k=len(values))


def _between(value: float, draws: Sequence[float], tail: float) -> Measure:
    """The number, and the draws between both tails; with made-up outcomes these alone might leave it out."""
    last = len(draws) - 1
    low, high = draws[round(tail * last)], draws[round((1 - tail) * last)]
    return Measure(value, min(value, low), max(value, high))


def _tail(count: int) -> float:
    """The share of the draws to leave out at each end: less than 2.5 % where there are few numbers.

    The quantile of Student's t is the expansion in Abramowitz and Stegun, 26.7.5.
    """
    if count < 2:
        return 0.0
    z, freedom = _NORMAL.inv_cdf(1 - LOW), count - 1
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return _NORMAL.cdf(-t * sqrt(count / freedom))
