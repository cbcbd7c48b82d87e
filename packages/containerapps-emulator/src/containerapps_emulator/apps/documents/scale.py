"""How many replicas a revision should have: Azure's arithmetic, without time and without processes.

An evaluation every 15 s compares the concurrent requests with what one replica is meant to take. Up goes
in steps; down only after no evaluation of the last five minutes asked for more; to zero after the
cooldown without any request. Cron rules hold a number of replicas from one moment to another, as KEDA's do
(https://keda.sh/docs/latest/scalers/cron/).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from containerapps_emulator.apps.documents.cron import Cron
from containerapps_emulator.state import Json

UP_STEPS: Final = (1, 4, 8, 16, 32)
DEFAULT_CONCURRENT_REQUESTS: Final = 10


@dataclass(frozen=True, slots=True)
class CronWindow:
    """From a minute that `start` names to the next one that `end` names there are at least `replicas`."""

    start: Cron
    end: Cron
    zone: ZoneInfo
    replicas: int

    @classmethod
    def parse(cls, metadata: Mapping[str, str]) -> CronWindow:
        """Raises KeyError, ValueError or OSError for metadata that KEDA would not take."""
        start, end = Cron.parse(metadata.get("start", "")), Cron.parse(metadata.get("end", ""))
        return cls(
            start, end, ZoneInfo(metadata.get("timezone", "")), int(metadata.get("desiredReplicas", ""))
        )

    def holds(self, now: datetime) -> bool:
        """Whether the next thing to come is its end."""
        starts, ends = self._changes(now)
        return ends is not None and (starts is None or ends <= starts)

    def next_change(self, now: datetime) -> datetime | None:
        return min((change for change in self._changes(now) if change), default=None)

    def _changes(self, now: datetime) -> tuple[datetime | None, datetime | None]:
        here = now.astimezone(self.zone)
        starts, ends = self.start.after(here), self.end.after(here)
        return starts and starts.astimezone(UTC), ends and ends.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class ScalePlan:
    minimum: int
    maximum: int
    cooldown_seconds: float
    concurrent_requests: tuple[int, ...]  # per replica, of each HTTP rule
    not_evaluated: tuple[str, ...]  # rules of other kinds
    windows: tuple[CronWindow, ...] = ()

    def floor(self, now: datetime) -> int:
        """Fewer are not left running now: what rules we cannot evaluate might have started stays."""
        least = max(self.minimum, 1) if self.not_evaluated else self.minimum
        return min(max([least, *(one.replicas for one in self.windows if one.holds(now))]), self.maximum)

    def next_change(self, now: datetime) -> datetime | None:
        """When the floor may change; None if it never does."""
        changes = (one.next_change(now) for one in self.windows)
        return min((change for change in changes if change), default=None)

    @property
    def initial(self) -> int:
        """A new revision runs, even one that may scale to zero: how else would it show that it can?"""
        return min(max(self.minimum, 1), self.maximum)


def read_scale(scale: Json) -> ScalePlan:
    """The plan in a stored `template.scale`. Without any rule, Azure scales by requests."""
    rules = scale.get("rules") or ()
    http = [rule["http"].get("metadata") or {} for rule in rules if rule.get("http")]
    targets = (int(item.get("concurrentRequests") or DEFAULT_CONCURRENT_REQUESTS) for item in http)
    windows = {str(rule.get("name")): _window(rule) for rule in rules if not rule.get("http")}
    return ScalePlan(
        minimum=int(scale.get("minReplicas") or 0),
        maximum=int(scale.get("maxReplicas") or 10),
        cooldown_seconds=float(scale.get("cooldownPeriod") or 300),
        concurrent_requests=tuple(targets) if rules else (DEFAULT_CONCURRENT_REQUESTS,),
        not_evaluated=tuple(name for name, window in windows.items() if window is None),
        windows=tuple(window for window in windows.values() if window is not None),
    )


def _window(rule: Json) -> CronWindow | None:
    """The window of a cron rule; None for another rule, and for one that KEDA would not take."""
    custom = rule.get("custom") or {}
    if custom.get("type") != "cron":
        return None
    try:
        return CronWindow.parse(custom.get("metadata") or {})
    except (KeyError, ValueError, OSError):  # an unknown time zone is a KeyError
        return None


class Scale:
    """The state between evaluations. `stable_seconds` is how long a recommended number of replicas counts."""

    def __init__(self, plan: ScalePlan, period_seconds: float, stable_seconds: float) -> None:
        self._plan = plan
        self._period_seconds = period_seconds
        self._recommendations: deque[int] = deque(maxlen=max(1, math.ceil(stable_seconds / period_seconds)))
        self._idle_seconds = 0.0

    def next(self, current: int, concurrency: float, now: datetime) -> int:
        """How many replicas there should be after an evaluation that found `concurrency`."""
        floor = self._plan.floor(now)
        is_active = concurrency > 0 or floor > self._plan.minimum
        self._idle_seconds = 0.0 if is_active else self._idle_seconds + self._period_seconds
        desired = self._desired(concurrency, floor)
        self._recommendations.append(desired)
        if desired > current:
            return min(desired, next((step for step in UP_STEPS if step > current), current + UP_STEPS[-1]))
        lasting = max(self._recommendations)
        if lasting == 0 and self._idle_seconds < self._plan.cooldown_seconds:
            lasting = 1
        return min(current, lasting)

    def is_settled(self, now: datetime) -> bool:
        """Nothing will change as long as no request comes and no window begins or ends."""
        return max(self._recommendations, default=0) <= self._plan.floor(now)

    def _desired(self, concurrency: float, floor: int) -> int:
        by_rule = (math.ceil(concurrency / target) for target in self._plan.concurrent_requests)
        wanted = max(by_rule, default=0)
        return min(max(wanted, floor), self._plan.maximum)
