"""The scale of a revision: its fewest and most replicas, and the hours in which some stay awake.

The cloud keeps them awake by itself, with cron rules of KEDA, which Container Apps runs: from `start` to
`end` there are at least `desiredReplicas` (https://keda.sh/docs/latest/scalers/cron/).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from remora.project.scale_settings import ScaleSettings
from remora.project.warm_hours import WarmHours, span_text

_OURS = "remora-"  # before the names of our rules: others in the app's scale are kept
_TTL = re.compile(r"remora-ttl-([0-9]+)m")
_MINUTES_PER_WEEK = 7 * 24 * 60
_MINUTES_PER_MONTH = 730 * 60  # as Azure's own pages count
_CONCURRENT_REQUESTS = "10"  # Azure's own default, which it applies only to an app without any rule

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scale:
    """How many replicas a revision may have.

    `warm` are hours in which `warm_replicas` stay awake, and `ttl_minutes` is how long they do so after the
    revision was created; 0 if there is no such time.
    """

    min_replicas: int = 0
    max_replicas: int = 10
    warm: tuple[WarmHours, ...] = ()
    ttl_minutes: int = 0
    warm_replicas: int = 0

    def __str__(self) -> str:
        least = f"{self.min_replicas} to {self.max_replicas} replicas"
        if self.ttl_minutes:
            return f"{least}, awake for {span_text(self.ttl_minutes)}"
        return f"{least}, awake {' and '.join(map(str, self.warm))}" if self.warm else least

    @property
    def stays_awake(self) -> bool:
        """Whether replicas run at times without a request."""
        return self.min_replicas > 0 or self.warm_replicas > 0

    @property
    def kept_replicas(self) -> float:
        """How many replicas run without a request, on average over a month."""
        weekly = sum(hours.minutes_per_week for hours in self.warm) / _MINUTES_PER_WEEK
        share = self.ttl_minutes / _MINUTES_PER_MONTH if self.ttl_minutes else weekly
        return self.min_replicas + self.warm_replicas * min(share, 1.0)

    def awake(self, created: str) -> str:
        """When a revision of that time of creation is awake; "" if `min_replicas` alone decides."""
        if end := awake_until(self, created):
            return f"until {end:%Y-%m-%d %H:%M} UTC; then the next request wakes it"
        hours = " and ".join(map(str, self.warm))
        return f"{hours}; at other times the next request wakes it" if hours else ""


def wanted_scale(settings: ScaleSettings) -> Scale:
    """The scale that `[scale]` of `remora.toml` asks for."""
    if settings.ttl_minutes:
        replicas = settings.min_replicas
        return Scale(0, settings.max_replicas, ttl_minutes=settings.ttl_minutes, warm_replicas=replicas)
    replicas = 1 if settings.warm else 0
    return Scale(settings.min_replicas, settings.max_replicas, settings.warm, warm_replicas=replicas)


def scale_of(document: Mapping[str, Any]) -> Scale:
    """The scale in a template's `scale`."""
    warm: list[WarmHours] = []
    ttl_minutes = replicas = 0
    for rule in document.get("rules") or ():
        name, metadata = str(rule.get("name")), (rule.get("custom") or {}).get("metadata") or {}
        if not name.startswith(_OURS) or not metadata:
            continue
        with suppress(
            KeyError, ValueError
        ):  # somebody has changed it elsewhere: the next deploy writes it again
            replicas = int(metadata["desiredReplicas"])
            if found := _TTL.fullmatch(name):
                ttl_minutes = int(found[1])
            else:
                warm.append(_hours(metadata))
    return Scale(
        document.get("minReplicas") or 0,
        document.get("maxReplicas") or 10,
        tuple(warm),
        ttl_minutes,
        replicas,
    )


def scale_document(current: Mapping[str, Any], scale: Scale, now: datetime) -> Json:
    """A template's `scale` with these replicas. Rules of others stay; a time to live starts `now`."""
    rules = [rule for rule in current.get("rules") or () if not str(rule.get("name")).startswith(_OURS)]
    ours = [_rule(f"{_OURS}warm-{number}", hours, scale) for number, hours in enumerate(scale.warm, start=1)]
    if scale.ttl_minutes:
        ours.append(_ttl_rule(scale, now))
    if ours and not any(rule.get("http") for rule in rules):
        metadata = {"concurrentRequests": _CONCURRENT_REQUESTS}
        ours.append({"name": f"{_OURS}http", "http": {"metadata": metadata}})
    replicas = {"minReplicas": scale.min_replicas, "maxReplicas": scale.max_replicas}
    changed = {"rules": [*rules, *ours]} if ours or current.get("rules") else {}
    return {**current, **replicas, **changed}


def awake_until(scale: Scale, created: str) -> datetime | None:
    """When a revision of that time of creation goes to sleep; None if no time to live limits it."""
    if not scale.ttl_minutes or not created:
        return None
    return datetime.fromisoformat(created).astimezone(UTC) + timedelta(minutes=scale.ttl_minutes)


def why_not(scale: Scale, created: str, wanted: Scale, now: datetime) -> str:
    """Why a revision of that scale and time of creation is not what is wanted; "" if it is."""
    if scale != wanted:
        return f"scale changed: {scale} → {wanted}"
    end = awake_until(scale, created)
    return f"its time to live ended: {end:%Y-%m-%d %H:%M} UTC" if end and end < now else ""


def _rule(name: str, hours: WarmHours, scale: Scale) -> Json:
    later = hours.end <= hours.start
    end_days = tuple((day + 1) % 7 for day in hours.days) if later else hours.days
    start, end = _cron(hours.start, hours.days), _cron(hours.end, end_days)
    return _cron_rule(name, start, end, hours.timezone, scale.warm_replicas)


def _ttl_rule(scale: Scale, now: datetime) -> Json:
    """A span with dates. Cron knows no year, so it would come again a year later."""
    start = now.astimezone(UTC)
    end = start + timedelta(minutes=scale.ttl_minutes)
    first, last = (f"{at.minute} {at.hour} {at.day} {at.month} *" for at in (start, end))
    return _cron_rule(f"{_OURS}ttl-{scale.ttl_minutes}m", first, last, "UTC", scale.warm_replicas)


def _cron_rule(name: str, start: str, end: str, timezone: str, replicas: int) -> Json:
    metadata = {"timezone": timezone, "start": start, "end": end, "desiredReplicas": str(replicas)}
    return {"name": name, "custom": {"type": "cron", "metadata": metadata}}


def _cron(minutes: int, days: tuple[int, ...]) -> str:
    """Cron counts the days of a week from Sunday."""
    week = "*" if len(days) == 7 else ",".join(str((day + 1) % 7) for day in days)
    return f"{minutes % 60} {minutes // 60} * * {week}"


def _hours(metadata: Mapping[str, str]) -> WarmHours:
    minute, hour, _, _, week = metadata["start"].split()
    end_minute, end_hour, *_ = metadata["end"].split()
    days = range(7) if week == "*" else sorted((int(day) - 1) % 7 for day in week.split(","))
    return WarmHours(
        tuple(days),
        int(hour) * 60 + int(minute),
        int(end_hour) * 60 + int(end_minute),
        metadata["timezone"],
    )
