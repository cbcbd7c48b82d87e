"""Cron expressions of five fields, in UTC: which minutes they name. Knows no clock and starts nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MOST_DAYS: Final = 366 * 9  # 29 February can be more than eight years away


@dataclass(frozen=True, slots=True)
class Cron:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    either_day: bool
    """Whether both kinds of days are restricted: then a day needs to match only one of them."""

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Raises ValueError."""
        fields = text.split()
        if len(fields) != 5:
            raise ValueError(f"{len(fields)} fields instead of 5")
        minutes, hours, days, months, weekdays = fields
        return cls(
            _values(minutes, 0, 59),
            _values(hours, 0, 23),
            _values(days, 1, 31),
            _values(months, 1, 12, MONTHS, first=1),
            frozenset(day % 7 for day in _values(weekdays, 0, 7, DAYS)),
            either_day=not days.startswith("*") and not weekdays.startswith("*"),
        )

    def after(self, time: datetime) -> datetime | None:
        """The first minute after `time` that it names; None where there is none, such as on 31 February."""
        start = time.replace(second=0, microsecond=0) + timedelta(minutes=1)
        for count in range(MOST_DAYS):
            day = (start if not count else start.replace(hour=0, minute=0)) + timedelta(days=count)
            if self._is_on(day) and (found := self._minute_of(day)) is not None:
                return found
        return None

    def _is_on(self, day: datetime) -> bool:
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        matches = (of_month or of_week) if self.either_day else (of_month and of_week)
        return day.month in self.months and matches

    def _minute_of(self, day: datetime) -> datetime | None:
        """The first minute from `day` on that it names, on the same day."""
        for hour in sorted(hour for hour in self.hours if hour >= day.hour):
            first = day.minute if hour == day.hour else 0
            for minute in sorted(minute for minute in self.minutes if minute >= first):
                return day.replace(hour=hour, minute=minute)
        return None


def _values(field: str, least: int, most: int, names: tuple[str, ...] = (), first: int = 0) -> frozenset[int]:
    """The numbers that a field such as `1-5,*/15` names. `first` is the number of the first name."""
    found: set[int] = set()
    for part in field.lower().split(","):
        span, _, step = part.partition("/")
        if span == "*":
            start, end = least, most
        else:
            start_text, dash, end_text = span.partition("-")
            start = _number(start_text, names, first)
            end = _number(end_text, names, first) if dash else most if step else start
        width = _number(step, (), 0) if "/" in part else 1
        if not least <= start <= end <= most or width < 1:
            raise ValueError(f"'{part}' is not within {least}-{most}")
        found.update(range(start, end + 1, width))
    return frozenset(found)


def _number(text: str, names: tuple[str, ...], first: int) -> int:
    if text in names:
        return names.index(text) + first
    if not text.isascii() or not text.isdecimal():
        raise ValueError(f"'{text}' is not a number")
    return int(text)
