"""Where an answer's text must end. Owns the search across pieces; knows no tokens."""

from __future__ import annotations

from collections.abc import Sequence

from remora.errors import InvalidInput


class StopStrings:
    """Passes text on up to the stop string that is complete first (of two at once: the longer).

    However the text is cut into pieces, what comes out is the same. Text is held back only as long as it
    could be the beginning of a stop string. With `keep` the stop string itself is part of what comes out.
    """

    def __init__(self, stops: Sequence[str], *, keep: bool = False) -> None:
        if "" in stops:
            raise InvalidInput("a stop string is empty", hint="leave it out", param="stop")
        self._stops = tuple(stops)
        self._keep = keep
        self._held = ""
        self.found: str | None = None

    @property
    def hit(self) -> bool:
        """Whether the text has ended at a stop string: at `found`."""
        return self.found is not None

    def feed(self, text: str) -> str:
        """What may be delivered now; nothing more after a hit."""
        if not self._stops:
            return text
        if self.hit:
            return ""
        pending = self._held + text
        cut = self._first_complete(pending)
        if cut is not None:
            self._held = ""
            return pending[:cut]
        held = self._possible_beginning(pending)
        self._held = pending[len(pending) - held :]
        return pending[: len(pending) - held]

    def flush(self) -> str:
        """What was held back, when no more text will come."""
        held, self._held = self._held, ""
        return held

    def _first_complete(self, text: str) -> int | None:
        found = [(start + len(stop), start, stop) for stop in self._stops if (start := text.find(stop)) >= 0]
        if not found:
            return None
        end, start, self.found = min(found)
        return end if self._keep else start

    def _possible_beginning(self, text: str) -> int:
        """How many of the last characters could be the beginning of a stop string."""
        longest = max((len(stop) for stop in self._stops), default=0) - 1
        for length in range(min(longest, len(text)), 0, -1):
            tail = text[-length:]
            if any(len(stop) > length and stop.startswith(tail) for stop in self._stops):
                return length
        return 0
