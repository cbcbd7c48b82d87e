"""What a new revision must reach before it gets traffic: `[gate]` of `remora.toml`. Measures nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GateSettings:
    """`prompts` is a JSONL file of the project, or "golden". `adapters` are compared; none named: all.

    `min_accuracy` is a share of right answers, `max_drift` a divergence from the base model on general
    prompts, in nats a token; None asks for nothing.
    """

    prompts: str = "golden"
    adapters: tuple[str, ...] = ()
    min_accuracy: float | None = None
    max_drift: float | None = None

    @property
    def asks(self) -> bool:
        """Whether a revision has to reach anything."""
        return self.min_accuracy is not None or self.max_drift is not None


def gate_of(values: Mapping[str, object]) -> GateSettings:
    """The section, from values that were checked."""
    adapters = values["gate.adapters"]
    return GateSettings(
        str(values["gate.prompts"]),
        tuple(map(str, adapters)) if isinstance(adapters, list) else (),
        _float(values["gate.min_accuracy"]),
        _float(values["gate.max_drift"]),
    )


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
