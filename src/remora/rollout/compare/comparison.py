"""The result of a comparison: one measured model after the other, against the first. Owns the figures.

Everything but `timings` is the same for the same answers. `document.py` writes it as JSON, which is what the
reports are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from remora.rollout.compare import intervals
from remora.rollout.compare.asking import Told
from remora.rollout.compare.gathering import Gathered
from remora.rollout.compare.layers import Layer, with_shares
from remora.rollout.compare.scorers import Scorer
from remora.rollout.evaluation.questions import Question
from remora.rollout.evaluation.scores import Measure

ACCURACY = "accuracy"
NLL = "nll"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a model: its value, and for all but the reference the paired difference to it."""

    measure: Measure
    difference: Measure | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """Medians over the prompts, with `parallel` requests at a time."""

    seconds: float
    first_token_seconds: float
    tokens_per_second: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One model. `figures` are by name: accuracy, nll, and the scorers.

    `per_prompt` has the same figures for each prompt, None where one does not apply. `drift` is the mean
    distance to the reference on the general prompts, in nats a token.
    """

    said: Gathered
    figures: Mapping[str, Figure]
    per_prompt: Mapping[str, Sequence[float | None]]
    drift: Measure | None
    changed_answers: int
    changed_general: int
    timing: Timing
    layers: Sequence[Layer] = ()

    @property
    def label(self) -> str:
        return self.said.who.label


@dataclass(frozen=True, slots=True)
class Comparison:
    """All models, the reference first."""

    questions: Sequence[Question]
    models: Sequence[Measured]
    scorers: Sequence[str] = ()

    @property
    def reference(self) -> Measured:
        return self.models[0]

    @property
    def others(self) -> Sequence[Measured]:
        return self.models[1:]


@dataclass(frozen=True, slots=True)
class _Values:
    """One figure of one model by prompt: (value, weight) or None."""

    name: str
    parts: Sequence[tuple[float, float] | None]
    is_ratio: bool = False

    @property
    def known(self) -> dict[int, tuple[float, float]]:
        """Those that apply, by the number of the prompt."""
        return {number: part for number, part in enumerate(self.parts) if part is not None}

    @property
    def per_prompt(self) -> list[float | None]:
        return [None if part is None else part[0] / part[1] for part in self.parts]


def compare(
    questions: Sequence[Question],
    found: Sequence[Gathered],
    scorers: Sequence[Scorer] = (),
    layers: Callable[[Gathered], Sequence[Layer]] = lambda _: (),
) -> Comparison:
    """Measure every model, and each against the first."""
    reference = found[0]
    values = [_values(questions, one, scorers) for one in found]
    theirs = {each.name: each for each in values[0]}
    models = [
        Measured(
            said=one,
            figures=_figures(ours, {} if one is reference else theirs),
            per_prompt={each.name: each.per_prompt for each in ours if each.known},
            drift=_drift(one),
            changed_answers=_changed(reference.answers, one.answers),
            changed_general=_changed(reference.general, one.general),
            timing=_timing(one),
            layers=with_shares(layers(one), one.switched_off),
        )
        for one, ours in zip(found, values, strict=True)
    ]
    return Comparison(questions, models, [scorer.name for scorer in scorers])


def _values(questions: Sequence[Question], one: Gathered, scorers: Sequence[Scorer]) -> list[_Values]:
    pairs = list(zip(questions, one.answers, strict=True))
    right = [
        (float(told.text.strip() == asked.answer.strip()), 1.0) if asked.answer else None
        for asked, told in pairs
    ]
    likely = [(-each.log_likelihood, float(each.tokens)) if each else None for each in one.expected]
    scored = [
        _Values(scorer.name, [(scorer(asked.prompt, asked.answer, told.text), 1.0) for asked, told in pairs])
        for scorer in scorers
    ]
    return [_Values(ACCURACY, right), _Values(NLL, likely, is_ratio=True), *scored]


def _figures(values: Sequence[_Values], theirs: Mapping[str, _Values]) -> dict[str, Figure]:
    return {
        each.name: Figure(_measure(each), _difference(each, theirs[each.name]) if theirs else None)
        for each in values
        if each.known
    }


def _measure(values: _Values) -> Measure:
    if values.is_ratio:
        return intervals.ratio(list(values.known.values()))
    return intervals.mean([value for value, _ in values.known.values()])


def _difference(ours: _Values, theirs: _Values) -> Measure | None:
    mine, other = ours.known, theirs.known
    both = [number for number in mine if number in other]
    if not both:
        return None
    if ours.is_ratio:
        return intervals.ratio_difference([mine[n] for n in both], [other[n] for n in both])
    return intervals.mean_difference([mine[n][0] for n in both], [other[n][0] for n in both])


def _drift(one: Gathered) -> Measure | None:
    parts = [(sum(each), float(len(each))) for each in one.drift if each]
    return intervals.ratio(parts) if parts else None


def _changed(ours: Sequence[Told], theirs: Sequence[Told]) -> int:
    return sum(a.text != b.text for a, b in zip(ours, theirs, strict=True))


def _timing(one: Gathered) -> Timing:
    return Timing(
        seconds=median(told.seconds for told in one.answers),
        first_token_seconds=median(told.first_token_seconds for told in one.answers),
        tokens_per_second=median(told.tokens_per_second for told in one.answers),
    )
