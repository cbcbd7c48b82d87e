"""Token ids in, text out, one token at a time. Owns when text is final; knows no stop strings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

UNFINISHED = "\ufffd"
LONGEST_WAIT_TOKENS = 64  # no character takes more than 4; after this the bytes are simply invalid


Decode = Callable[[Sequence[int]], str]
"""As `Tokenizer.decode`."""


class Detokenizer:
    """The text of a growing list of ids, delivered as soon as later ids cannot change it.

    A decoder may look at neighbours (it drops the space before the first word, or joins bytes into a
    character), so each step decodes a short window: the ids of the last delivered piece, then the new
    ones. What the new ones add to the window is what they add to the whole.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._context: list[int] = []  # ids of the last delivered piece
        self._context_text = ""
        self._waiting: list[int] = []  # ids whose text is not delivered yet

    def feed(self, token_id: int) -> str:
        """The text that became final with this id; empty while a character is unfinished."""
        self._waiting.append(token_id)
        text = self._window()
        unfinished = text.endswith(UNFINISHED) and len(self._waiting) < LONGEST_WAIT_TOKENS
        if unfinished or len(text) <= len(self._context_text):
            return ""
        return self._deliver(text)

    def flush(self) -> str:
        """The rest, at the end of the answer: an unfinished character comes as U+FFFD."""
        if not self._waiting:
            return ""
        return self._deliver(self._window())

    def _window(self) -> str:
        return self._decode([*self._context, *self._waiting])

    def _deliver(self, text: str) -> str:
        delivered = text[len(self._context_text) :]
        self._context = self._waiting
        self._context_text = self._decode(self._context)
        self._waiting = []
        return delivered
