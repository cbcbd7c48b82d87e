"""Date functions of templates: parsing, formatting with .NET's letters, adding ISO 8601 durations."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from containerapps_emulator.arm.templates.expressions import ExpressionError

_DURATION = re.compile(
    r"(?P<sign>-?)P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?"
)
_STANDARD = {
    "d": "MM/dd/yyyy",
    "o": "yyyy-MM-ddTHH:mm:ss.fffffff'Z'",
    "O": "yyyy-MM-ddTHH:mm:ss.fffffff'Z'",
    "s": "yyyy-MM-ddTHH:mm:ss",
    "t": "HH:mm",
    "T": "HH:mm:ss",
    "u": "yyyy-MM-dd HH:mm:ss'Z'",
}
_LETTERS: dict[str, Callable[[datetime], str]] = {
    "yyyy": lambda moment: f"{moment:%Y}",
    "yy": lambda moment: f"{moment:%y}",
    "MMMM": lambda moment: f"{moment:%B}",
    "MMM": lambda moment: f"{moment:%b}",
    "MM": lambda moment: f"{moment:%m}",
    "M": lambda moment: str(moment.month),
    "dddd": lambda moment: f"{moment:%A}",
    "ddd": lambda moment: f"{moment:%a}",
    "dd": lambda moment: f"{moment:%d}",
    "d": lambda moment: str(moment.day),
    "HH": lambda moment: f"{moment:%H}",
    "H": lambda moment: str(moment.hour),
    "hh": lambda moment: f"{moment:%I}",
    "h": lambda moment: str(int(f"{moment:%I}")),
    "mm": lambda moment: f"{moment:%M}",
    "m": lambda moment: str(moment.minute),
    "ss": lambda moment: f"{moment:%S}",
    "s": lambda moment: str(moment.second),
    "tt": lambda moment: f"{moment:%p}",
    "K": lambda _: "Z",
    "zzz": lambda _: "+00:00",
}
_PART = re.compile(
    r"'([^']*)'|\\(.)|(f{1,7})|(" + "|".join(sorted(_LETTERS, key=len, reverse=True)) + r")|(.)"
)
_MONTHS = 12


def written(moment: datetime, letters: str = "yyyyMMdd'T'HHmmss'Z'") -> str:
    """A point in time in .NET's standard or custom format. Raises ExpressionError for an unknown letter."""
    return _PART.sub(lambda part: _part(part, moment), _STANDARD.get(letters, letters))


def _part(part: re.Match[str], moment: datetime) -> str:
    quoted, escaped, fraction, letters, other = part.groups()
    if fraction:
        return f"{moment:%f}0"[: len(fraction)]
    if letters:
        return _LETTERS[letters](moment)
    if other and other.isalpha() and other != "T":
        raise ExpressionError(f"the local cloud does not support the date format letter '{other}'.")
    return quoted or escaped or other or ""


def _read(text: Any) -> datetime:
    if not isinstance(text, str):
        raise TypeError
    compact = re.fullmatch(r"(\d{8})T(\d{6})Z", text)
    moment = datetime.fromisoformat(f"{compact[1]}T{compact[2]}+00:00" if compact else text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _date_time_add(base: str, duration: str, letters: str = "o") -> str:
    found = _DURATION.fullmatch(duration)
    if found is None or not any(char.isdigit() for char in duration):
        raise ExpressionError(f"the duration '{duration}' is not an ISO 8601 duration.")
    sign = -1 if found["sign"] else 1
    amounts = {name: sign * int(found[name] or 0) for name in found.groupdict() if name != "sign"}
    moment = _add_months(_read(base), amounts.pop("years") * _MONTHS + amounts.pop("months"))
    return written(moment + timedelta(**amounts), letters if letters != "o" else "yyyy-MM-dd'T'HH:mm:ss'Z'")


def _add_months(moment: datetime, months: int) -> datetime:
    """The same day of another month, or that month's last day."""
    count = moment.year * _MONTHS + moment.month - 1 + months
    year, month = count // _MONTHS, count % _MONTHS + 1
    following = datetime(year + month // _MONTHS, month % _MONTHS + 1, 1, tzinfo=UTC)
    return moment.replace(year=year, month=month, day=min(moment.day, (following - timedelta(days=1)).day))


DATE_FUNCTIONS: dict[str, tuple[int, int, Callable[..., Any]]] = {
    "datetimeadd": (2, 3, _date_time_add),
    "datetimefromepoch": (1, 1, lambda seconds: written(datetime.fromtimestamp(seconds, UTC), "s") + "Z"),
    "datetimetoepoch": (1, 1, lambda text: int(_read(text).timestamp())),
}
