"""The comparison in a rollout: a candidate's adapters against the base model, beside those that serve.

Owns what is compared and the bounds that an adapter must keep; moves no traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from remora.adapters.adapter import Digest
from remora.errors import InvalidFile, RemoraError, VerificationFailed, listed
from remora.project.gate_settings import GateSettings
from remora.rollout.compare.comparison import ACCURACY, Comparison, Measured, compare
from remora.rollout.compare.contestants import Contestant
from remora.rollout.compare.gathering import Limits, gather
from remora.rollout.compare.verdict import verdicts
from remora.rollout.endpoint import Endpoint
from remora.rollout.evaluation.questions import Question
from remora.rollout.steps import Steps

SERVING = " (serving)"


@dataclass(frozen=True, slots=True)
class Measuring:
    """`serving` opens the endpoint that has the traffic, None if nothing has. `keep` gets the comparison."""

    base_name: str
    gate: GateSettings
    questions: Sequence[Question]
    serving: Callable[[], Endpoint | None]
    keep: Callable[[Comparison, Limits], None]
    limits: Limits

    def __post_init__(self) -> None:
        if self.gate.min_accuracy is not None and not any(one.answer for one in self.questions):
            raise InvalidFile(
                f"[gate] min_accuracy is set, and no prompt of {self.gate.prompts} has an expected answer",
                hint="name a JSONL file with answers: [gate] prompts",
                param="gate.prompts",
            )

    def check(self, endpoint: Endpoint, adapters: Mapping[str, Digest], steps: Steps) -> Sequence[str]:
        """A line for each adapter. Raises VerificationFailed if one does not keep the bounds of the gate."""
        unknown = sorted(set(self.gate.adapters) - adapters.keys())
        if unknown and self.gate.asks:
            raise InvalidFile(
                f"[gate] adapters names {listed(unknown)}, and the release serves {listed(sorted(adapters))}",
                hint="correct the names under [gate] in remora.toml",
                param="gate.adapters",
            )
        wanted = {
            name: digest
            for name, digest in adapters.items()
            if not self.gate.adapters or name in self.gate.adapters
        }
        if not wanted:
            return ()
        with steps("comparing with what serves") as say:
            limits = self.limits
            models = [Contestant("base", endpoint, self.base_name)]
            models += self._former(wanted)
            models += [Contestant(name, endpoint, name) for name in wanted]
            found = gather(
                models, self.questions, limits, lambda done, total: say.now(f"{done} of {total} requests")
            )
            comparison = compare(self.questions, found)
            self.keep(comparison, limits)
            told = [one.text for one in verdicts(comparison)]
            say("; ".join(told))
        for one in comparison.others:
            if one.label in wanted:
                self._require(one)
        return told

    def _former(self, wanted: Mapping[str, Digest]) -> list[Contestant]:
        """The adapters that serve now under the same names and are others."""
        former = self.serving()
        served: dict[str, str] = {}
        if former is not None:
            with suppress(RemoraError):  # what serves may be another program, or broken: that is no reason
                cards = former.models()
                served = {str(card["id"]): str((card.get("adapter") or {}).get("digest")) for card in cards}
        return [
            Contestant(f"{name}{SERVING}", former, name)
            for name, digest in wanted.items()
            if former is not None and served.get(name, digest) != digest
        ]

    def _require(self, one: Measured) -> None:
        accuracy, gate = one.figures.get(ACCURACY), self.gate
        if gate.min_accuracy is not None and accuracy and accuracy.measure.value < gate.min_accuracy:
            raise _refused(
                f"{one.label} has an accuracy of {accuracy.measure.value:.3f}, and [gate] min_accuracy"
                f" is {gate.min_accuracy:g}"
            )
        if gate.max_drift is None:
            return
        if one.drift is None:
            raise _refused(f"the drift of {one.label} cannot be measured, and [gate] max_drift is set")
        if one.drift.value > gate.max_drift:
            raise _refused(
                f"{one.label} drifts by {one.drift.value:.3f} nats a token on general prompts, and [gate]"
                f" max_drift is {gate.max_drift:g}"
            )


def _refused(message: str) -> VerificationFailed:
    return VerificationFailed(
        message, hint="look at the answers: remora deploy --compare, or change the bounds in remora.toml"
    )
