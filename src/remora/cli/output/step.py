"""A step of a command: its events, how they look on a terminal, its changing text.

Prints nothing: `tell` decides where an event goes.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from rich.markup import escape
from rich.status import Status


class Event(StrEnum):
    """What can happen to a step."""

    STARTED = "started"
    NOW = "now"
    PART = "part"
    FAILED_PART = "failed_part"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    NOTE = "note"
    WARNING = "warning"
    SUMMARY = "summary"


SHOWN: dict[Event, tuple[str, str]] = {
    Event.STARTED: ("... ", ""),
    Event.PART: ("    (✓) ", "green"),
    Event.FAILED_PART: ("    (x) ", "red"),
    Event.DONE: ("(✓) Done: ", "green"),
    Event.FAILED: ("(x) Failed: ", "red"),
    Event.INTERRUPTED: ("(!) Interrupted: ", "yellow"),
    Event.NOTE: ("", ""),
    Event.WARNING: ("(!) Warning: ", "yellow"),
}
"""How an event looks on a terminal: the sign before its text, and the style of the line.

The current state is shown by a spinner, and a summary is printed as the result.
"""


class Step:
    """What a step reports while it runs."""

    def __init__(self, label: str, tell: Callable[[Event, str], None], status: Status | None) -> None:
        self.text = label
        self._label = label
        self._tell = tell
        self._status = status
        self._now = ""

    def __call__(self, text: str) -> None:
        """Replace the text of the final line."""
        self.text = text

    def now(self, text: str) -> None:
        """Show what the step is waiting for, beside a terminal's spinner."""
        if self._status is not None:
            self._status.update(f"{escape(self._label)}: {escape(text)}")
        elif text != self._now:
            self._tell(Event.NOW, text)
        self._now = text

    def line(self, text: str) -> None:
        """Show the newest line of a log: beside a terminal's spinner, elsewhere on a line of its own."""
        if self._status is None and text != self._now:
            self._tell(Event.NOTE, f"    {text}")
        self.now(text)

    def reason(self, text: str) -> None:
        """Print why the step is still waiting, on a separate line, so that logs have it too."""
        self._tell(Event.NOTE, f"    {text}")

    def done(self, text: str, *, failed: bool = False) -> None:
        """Report that a part of the step has ended."""
        self._tell(Event.FAILED_PART if failed else Event.PART, text)
