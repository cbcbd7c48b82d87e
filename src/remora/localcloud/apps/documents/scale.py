"""How many replicas a revision should have: Azure's arithmetic, without time and without processes.

An evaluation every 15 s compares the concurrent requests with what one replica is meant to take. Up goes
in steps; down only after no evaluation of the last five minutes asked for more; to zero after the
cooldown without any request.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from remora.localcloud.state import Json

UP_STEPS: Final = (1, 4, 8, 16, 32)
DEFAULT_CONCURRENT_REQUESTS: Final = 10


@dataclass(frozen=True, slots=True)
class ScalePlan:
    minimum: int
    maximum: int
    cooldown_seconds: float
    concurrent_requests: tuple[int, ...]  # per replica, of each HTTP rule
    not_evaluated: tuple[str, ...]  # rules of other kinds

    @property
    def floor(self) -> int:
        """Fewer are never left running: what rules we cannot evaluate might have started stays."""
        return max(self.minimum, 1) if self.not_evaluated else self.minimum

    @property
    def initial(self) -> int:
        """A new revision runs, even one that may scale to zero: how else would it show that it can?"""
        return min(max(self.minimum, 1), self.maximum)


def read_scale(scale: Json) -> ScalePlan:
    """The plan in a stored `template.scale`. Without any rule, Azure scales by requests."""
    rules = scale.get("rules") or ()
    http = [rule["http"].get("metadata") or {} for rule in rules if rule.get("http")]
    targets = (int(item.get("concurrentRequests") or DEFAULT_CONCURRENT_REQUESTS) for item in http)
    return ScalePlan(
        minimum=int(scale.get("minReplicas") or 0),
        maximum=int(scale.get("maxReplicas") or 10),
        cooldown_seconds=float(scale.get("cooldownPeriod") or 300),
        concurrent_requests=tuple(targets) if rules else (DEFAULT_CONCURRENT_REQUESTS,),
        not_evaluated=tuple(str(rule.get("name")) for rule in rules if not rule.get("http")),
    )


class Scale:
    """The state between evaluations. `stable_seconds` is how long a recommended number of replicas counts."""

    def __init__(self, plan: ScalePlan, period_seconds: float, stable_seconds: float) -> None:
        self._plan = plan
        self._period_seconds = period_seconds
        self._recommendations: deque[int] = deque(maxlen=max(1, math.ceil(stable_seconds / period_seconds)))
        self._idle_seconds = 0.0

    def next(self, current: int, concurrency: float) -> int:
        """How many replicas there should be after an evaluation that found `concurrency`."""
        self._idle_seconds = 0.0 if concurrency else self._idle_seconds + self._period_seconds
        desired = self._desired(concurrency)
        self._recommendations.append(desired)
        if desired > current:
            return min(desired, next((step for step in UP_STEPS if step > current), current + UP_STEPS[-1]))
        lasting = max(self._recommendations)
        if lasting == 0 and self._idle_seconds < self._plan.cooldown_seconds:
            lasting = 1
        return min(current, lasting)

    @property
    def is_settled(self) -> bool:
        """Nothing will change as long as no request comes."""
        return max(self._recommendations, default=0) <= self._plan.floor

    def _desired(self, concurrency: float) -> int:
        by_rule = (math.ceil(concurrency / target) for target in self._plan.concurrent_requests)
        wanted = max(by_rule, default=0)
        return min(max(wanted, self._plan.floor), self._plan.maximum)
