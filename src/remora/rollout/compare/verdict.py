"""What a comparison says in one line for each model. Owns the wording and its bounds; computes no figure.

The first figure that there is decides: accuracy, else the first scorer, else NLL. A difference counts if its
95 % interval leaves 0 out.
"""

from __future__ import annotations

from dataclasses import dataclass

from remora.rollout.compare.comparison import ACCURACY, NLL, Comparison, Measured
from remora.rollout.evaluation.scores import Measure

NO_DRIFT_NATS, LITTLE_DRIFT_NATS = 0.01, 0.1
"""On general prompts. bfloat16 alone moves the mean by 1e-4 nats or less (`remora.adapters.proof`)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`outcome` is better, worse, same (no difference seen) or unknown (nothing to judge by)."""

    model: str
    outcome: str
    text: str


def verdicts(comparison: Comparison) -> list[Verdict]:
    """One for each model but the reference."""
    return [_verdict(comparison, one) for one in comparison.others]


def interval(measure: Measure) -> str:
    """A measure as text: `0.93 [0.89, 0.96]`."""
    return f"{measure.value:.2f} [{measure.low:.2f}, {measure.high:.2f}]"


def _verdict(comparison: Comparison, one: Measured) -> Verdict:
    name = _deciding(comparison, one)
    base, count = comparison.reference.label, len(comparison.questions)
    drift = _drift(one, len(one.said.general))
    if name is None:
        changed = f"{one.label} answers {one.changed_answers} of {count} prompts otherwise than {base}"
        return Verdict(one.label, "unknown", f"{changed}; no expected answers to judge by; {drift}")
    difference = one.figures[name].difference
    assert difference is not None  # noqa: S101 - `_deciding` asks for it
    sign = -1 if name == NLL else 1
    outcome = _outcome(sign * difference.low, sign * difference.high)
    judged = sum(value is not None for value in one.per_prompt[name])
    words = {
        "better": f"{one.label} is better than {base} on {judged} prompts",
        "worse": f"{one.label} is worse than {base} on {judged} prompts",
        "same": f"No difference is seen between {one.label} and {base} on {judged} prompts",
    }[outcome]
    unit = "NLL a token" if name == NLL else name
    value = f"{difference.value:+.2f} {unit} [{difference.low:.2f}, {difference.high:.2f}]"
    return Verdict(one.label, outcome, f"{words}: {value}; {drift}")


def _deciding(comparison: Comparison, one: Measured) -> str | None:
    order = (ACCURACY, *comparison.scorers, NLL)
    return next((name for name in order if name in one.figures and one.figures[name].difference), None)


def _outcome(first: float, second: float) -> str:
    low, high = min(first, second), max(first, second)
    if low > 0:
        return "better"
    return "worse" if high < 0 else "same"


def _drift(one: Measured, prompts: int) -> str:
    if one.drift is None:
        return "drift was not measured"
    if one.drift.value < NO_DRIFT_NATS:
        return f"no drift seen on {prompts} general prompts"
    words = "little drift" if one.drift.value < LITTLE_DRIFT_NATS else "drift"
    return f"{words} on {prompts} general prompts: KL {interval(one.drift)} nats a token"
