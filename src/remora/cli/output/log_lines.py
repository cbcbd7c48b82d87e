"""A log's lines for people: which are shown, and as time, replica, level and message in colours.

A container may print JSON, as Remora's own server does, or anything else. Reads no log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.text import Text

from remora.azure.app.log_stream import LogLine
from remora.cli.output.hanging import Hanging
from remora.errors import InvalidInput
from remora.rollout.why.facts import plain_time

_AGE = re.compile(r"^(\d+(?:\.\d+)?)\s*([smhd])$")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LEVEL = re.compile(r"^(?:\S+ )?(DEBUG|INFO|WARNING|ERROR|CRITICAL|Normal|Warning)\b:?\s*")
_TELLS_TIME = ("time", "level", "logger", "message", "traceback")
_COLOURS = ("cyan", "magenta", "blue", "green", "yellow")
_STYLES = {"warning": "yellow", "error": "red", "critical": "bold red", "debug": "dim"}
_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
_SUFFIX_CHARACTERS = 5
_LEVEL_CHARACTERS = 7


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are shown; empty values show all. `since` is UTC, as facts have it."""

    since: str = ""
    pattern: re.Pattern[str] | None = None
    request_id: str = ""

    @property
    def is_all(self) -> bool:
        """Whether every line is wanted."""
        return self == Wanted()

    def of(self, lines: Iterable[LogLine]) -> Iterator[LogLine]:
        """The lines that are wanted."""
        for line in lines:
            late_enough = not self.since or plain_time(line.time) >= self.since
            fits = self.pattern is None or self.pattern.search(line.text) is not None
            if late_enough and fits and self.request_id in line.text:
                yield line


def wanted_lines(since: str | None, grep: str | None, request_id: str | None) -> Wanted:
    """What the flags ask for. Raises InvalidInput."""
    try:
        pattern = re.compile(grep, re.IGNORECASE) if grep else None
    except re.error as error:
        raise InvalidInput(
            f"--grep {grep!r} is no regular expression: {error}",
            hint=r"put a backslash before ( [ * and ?, as in: --grep 'what\?'",
            param="--grep",
        ) from error
    return Wanted(_moment(since) if since else "", pattern, request_id or "")


def _moment(since: str) -> str:
    if found := _AGE.match(since):
        age = timedelta(seconds=float(found[1]) * _UNITS[found[2]])
        return (datetime.now(UTC) - age).isoformat(timespec="milliseconds")
    try:
        datetime.fromisoformat(since)
    except ValueError:
        hint = "give an age such as 10m or 2h, or a time such as 2026-11-29T10:00"
        raise InvalidInput(f"--since {since!r} is no time", hint=hint, param="--since") from None
    return plain_time(since)


def painter() -> Callable[[LogLine], Hanging]:
    """A function that formats lines; each replica keeps the colour that it got first.

    Of a digest the first characters are shown, as everywhere.
    """
    colours: dict[str, str] = {}

    def paint(line: LogLine) -> Hanging:
        colour = colours.setdefault(line.replica, _COLOURS[len(colours) % len(_COLOURS)])
        level, message = _parts(line.text)
        style = _STYLES.get(level, "")
        text = Text().append(f"{plain_time(line.time)[11:19]} ", style="dim")
        text.append(f"{line.replica[-_SUFFIX_CHARACTERS:]:<{_SUFFIX_CHARACTERS}} ", style=colour)
        text.append(f"{level:<{_LEVEL_CHARACTERS}} ", style=style or "dim")
        return Hanging(text, _DIGEST.sub(r"\1…", message), style)

    return paint


def _parts(raw: str) -> tuple[str, str]:
    """The level and the message of a line, in JSON or not."""
    try:
        document = json.loads(raw)
    except ValueError:
        document = None
    if not isinstance(document, dict) or "message" not in document:
        found = _LEVEL.match(raw)
        return (found[1].lower(), raw[found.end() :]) if found else ("", raw)
    level = str(document.get("level") or "").lower()
    return level, " ".join([str(document["message"]), *_fields(document)]) + _traceback(document)


def _fields(document: dict[str, Any]) -> Iterator[str]:
    """Everything else that a line says, without what says nothing."""
    for name, value in document.items():
        if name not in _TELLS_TIME and value not in (None, "", []):
            yield f"{name}={value}"


def _traceback(document: dict[str, Any]) -> str:
    return f"\n{document['traceback']}" if document.get("traceback") else ""
