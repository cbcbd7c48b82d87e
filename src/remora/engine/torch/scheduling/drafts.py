"""Guesses at what comes next in one text: what followed its last tokens where they stood before.

Owns the search, how long a guess may be, and when none is made. A guess changes no answer: the tokens of it
that are not chosen are dropped.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

RUNS = (3, 2)  # so many last tokens are looked for, the most first
MOST_TOKENS = 8
FIRST_TOKENS = 4
AVERAGED_DRAFTS = 8
LEAST_GAIN = 0.5  # right tokens of a draft, on average: a step with fewer costs more than it gains
FIRST_PAUSE_TOKENS = 16
LONGEST_PAUSE_TOKENS = 128

_BYTES = array("I").itemsize


class Drafts:
    """The drafts of one sequence. It pauses where they are wrong, and twice as long each time."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._most = FIRST_TOKENS
        self._gain = 1.0
        self._pause = FIRST_PAUSE_TOKENS
        self._resumes_at = min(RUNS) + 1  # tokens of the text; fewer repeat nothing

    def make(self, tokens: Sequence[int], most: int) -> list[int]:
        """At most `most` tokens that may follow; none where nothing is found, or in a pause.

        `tokens` is the whole text, and begins with what it was at the last call.
        """
        most = min(most, self._most)
        if most < 1 or len(tokens) < self._resumes_at:
            return []
        self._text += array("I", tokens[len(self._text) // _BYTES :]).tobytes()
        start = _after_last_repeat(self._text)
        if start is None:
            return []
        period = len(tokens) - start  # what repeats up to the end probably repeats beyond it
        return [tokens[start + index % period] for index in range(most)]

    def note(self, accepted: int, token_count: int) -> None:
        """Take in how many tokens of a draft were right, when the text had so many tokens."""
        self._most = min(MOST_TOKENS, 2 * accepted + 2)
        self._gain += (accepted - self._gain) / AVERAGED_DRAFTS
        if self._gain < LEAST_GAIN:
            self._resumes_at = token_count + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE_TOKENS)
            self._gain = LEAST_GAIN  # the next draft decides
        elif self._gain >= 1:
            self._pause = FIRST_PAUSE_TOKENS


def _after_last_repeat(text: bytearray) -> int | None:
    """The token after the latest place where the text's last tokens stood before."""
    for count in RUNS:
        end = text[-count * _BYTES :]
        found = text.rfind(end, 0, len(text) - 1)
        while found >= 0 and found % _BYTES:  # across two tokens
            found = text.rfind(end, 0, found + len(end) - 1)
        if found >= 0:
            return found // _BYTES + count
    return None
