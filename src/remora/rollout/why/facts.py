"""One fact of a timeline: when, who says it, what, how long, and whether it reports a problem.

Owns the form of facts and their order. Does not know where they come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

_DURATION = re.compile(r"^PT(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?$")
_FRACTION = re.compile(r"\.(\d{1,6})\d*")


class Source(StrEnum):
    """Who reports a fact."""

    COMMAND = "command"  # the last command on this machine, and its error
    ARM = "arm"  # the operations of the last deployment of the template
    SYSTEM = "system log"
    CONSOLE = "console log"
    REVISION = "revision"
    REPLICA = "replica"
    LOCK = "lock"
    HISTORY = "history"


@dataclass(frozen=True, slots=True)
class Fact:
    """`at` is UTC in ISO 8601, "" for the present; `wrong` tells a report of a problem from progress."""

    at: str
    source: Source
    what: str
    seconds: float | None = None
    wrong: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """A timeline, oldest first. `serves` names what answers now, "" if nothing is known to."""

    rows: tuple[Fact, ...]
    serves: str = ""

    @property
    def wrong(self) -> tuple[Fact, ...]:
        """The reports of problems."""
        return tuple(fact for fact in self.rows if fact.wrong)


def in_order(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """Oldest first, without repetitions; facts without a time describe the present and come last."""
    distinct = dict.fromkeys(replace(fact, at=plain_time(fact.at)) for fact in facts)
    return tuple(sorted(distinct, key=lambda fact: (fact.at == "", fact.at)))


def with_gaps(facts: Sequence[Fact], until: str) -> list[Fact]:
    """The facts of one source, each with the seconds until the next one; the last one until `until`."""
    ends = [*(fact.at for fact in facts[1:]), until]
    return [
        replace(fact, seconds=seconds_between(fact.at, end)) for fact, end in zip(facts, ends, strict=True)
    ]


def now_text() -> str:
    """The present, in the form of facts."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def plain_time(text: str) -> str:
    """A time in one form, UTC with milliseconds, so that times sort as text; unchanged if it is not one."""
    moment = _moment(text)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds") if moment else text


def seconds_between(start: str, end: str) -> float | None:
    """None if one of them is not a time, or the order is wrong."""
    first, last = _moment(start), _moment(end)
    if first is None or last is None or last < first:
        return None
    return (last - first).total_seconds()


def seconds_of(duration: str) -> float | None:
    """The seconds of an ISO 8601 duration in ARM's form, such as PT1M2.5S."""
    found = _DURATION.match(duration)
    if found is None:
        return None
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def _moment(text: str) -> datetime | None:
    """Azure writes seven digits of a second's fraction, Python reads six."""
    try:
        moment = datetime.fromisoformat(_FRACTION.sub(r".\1", text.strip()))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
