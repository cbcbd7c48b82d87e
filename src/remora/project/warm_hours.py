"""Times in `remora.toml`: the hours in which replicas stay awake, and for how long after a deploy they do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EVERY_DAY: Final = "daily"
RULE: Final = (
    'write it as "Mon-Fri 08:00-18:00 Europe/Oslo": days or "daily", from and to, a time zone or none for UTC'
)
SPAN_RULE: Final = 'write it as "8h", "90m" or "2d", from 10 minutes to 180 days'
_HOURS = re.compile(r"(\S+) ([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})(?: (\S+))?")
_SPAN = re.compile(r"([1-9][0-9]{0,4})(m|h|d)")
_MINUTES: Final = {"m": 1, "h": 60, "d": 24 * 60}
_LEAST_MINUTES: Final = 10
_MOST_MINUTES: Final = 180 * 24 * 60


@dataclass(frozen=True, slots=True)
class WarmHours:
    """The same hours on some days of each week. `days` are numbers, 0 for Monday.

    Minutes count from midnight. If `end` is not after `start`, it is on the next day.
    """

    days: tuple[int, ...]
    start: int
    end: int
    timezone: str

    @classmethod
    def parse(cls, text: str) -> WarmHours:
        """Raises ValueError with what is wrong."""
        found = _HOURS.fullmatch(" ".join(text.split()))
        if found is None:
            raise ValueError("expected days, hours and a time zone")
        days, *times, timezone = found.groups()
        start, end = _minutes(*times[:2]), _minutes(*times[2:])
        if start == end:
            raise ValueError("it ends when it starts")
        return cls(_days(days), start, end, _zone(timezone or "UTC"))

    def __str__(self) -> str:
        return f"{_named(self.days)} {_clock(self.start)}-{_clock(self.end)} {self.timezone}"

    @property
    def minutes_per_week(self) -> int:
        """How long replicas stay awake in a week."""
        return len(self.days) * ((self.end - self.start) % (24 * 60))


def parse_span(text: str) -> int:
    """The minutes of a span such as `8h`. Raises ValueError."""
    found = _SPAN.fullmatch(text)
    minutes = int(found[1]) * _MINUTES[found[2]] if found else 0
    if not _LEAST_MINUTES <= minutes <= _MOST_MINUTES:
        raise ValueError("expected a span of time")
    return minutes


def span_text(minutes: int) -> str:
    """The shortest form of a span: `8h` for 480."""
    unit = next(unit for unit in ("d", "h", "m") if minutes % _MINUTES[unit] == 0)
    return f"{minutes // _MINUTES[unit]}{unit}"


def _minutes(hour: str, minute: str) -> int:
    if int(hour) > 23 or int(minute) > 59:
        raise ValueError(f"there is no time {hour}:{minute}")
    return int(hour) * 60 + int(minute)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _days(text: str) -> tuple[int, ...]:
    if text.lower() == EVERY_DAY:
        return tuple(range(7))
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        start, end = _day(first), _day(last or first)
        found.update((start + count) % 7 for count in range((end - start) % 7 + 1))
    return tuple(sorted(found))


def _day(text: str) -> int:
    try:
        return DAYS.index(text.capitalize())
    except ValueError:
        raise ValueError(f"{text!r} is no day: expected Mon, Tue, Wed, Thu, Fri, Sat or Sun") from None


def _named(days: tuple[int, ...]) -> str:
    if len(days) == 7:
        return EVERY_DAY
    if len(days) > 2 and days[-1] - days[0] == len(days) - 1:
        return f"{DAYS[days[0]]}-{DAYS[days[-1]]}"
    return ",".join(DAYS[day] for day in days)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, or a path
        if available_timezones():  # an image without a database of time zones only reads the settings
            raise ValueError(f"there is no time zone {name!r}") from None
    return name
