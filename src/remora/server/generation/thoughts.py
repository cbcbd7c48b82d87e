"""Thoughts that a model writes before its answer. Owns splitting them off; knows no HTTP.

They come first, between the marks that the chat template knows, or up to the closing mark alone where the
prompt has opened them. What is between the marks is never looked through for calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from remora.engine.base import FinishReason, ThoughtMarks, Tokenizer
from remora.engine.text.grammar import NO_THOUGHTS, Thoughts
from remora.server.generation.tool_calls import CallReader, Content, Piece, Thought, overlap

TAIL_TOKENS = 32
_PROBE = ({"role": "user", "content": "?"},)


def thoughts_of(tokenizer: Tokenizer, variables: Mapping[str, Any]) -> Thoughts:
    """How this model thinks with these variables: seen from the end of a rendered prompt. Renders one."""
    marks = tokenizer.thought_marks
    if marks is None:
        return NO_THOUGHTS
    ids = tokenizer.render_chat(_PROBE, (), variables)[-TAIL_TOKENS:]
    tail = b"".join(map(tokenizer.token_bytes, ids)).decode(errors="replace").rstrip()
    if tail.endswith(marks.close):  # the prompt has them already, empty
        return NO_THOUGHTS
    return Thoughts(marks, begun=tail.endswith(marks.open))


def thoughts_from(marks: ThoughtMarks, begun: str) -> Thoughts:
    """How a model thinks that goes on from this beginning of its answer: only where that is a thought."""
    _, opened, after = begun.rpartition(marks.open)
    return Thoughts(marks, begun=True) if opened and marks.close not in after else NO_THOUGHTS


def pieces(reader: AnswerReader | None, text: str, reason: FinishReason | None) -> Iterator[Piece]:
    """What is known after more text of an answer, which ends with a reason. Without a reader: the text."""
    if reader is None:
        if text:
            yield Content(text)
        return
    yield from reader.feed(text)
    if reason is not None:
        yield from reader.flush()


class AnswerReader:
    """Pieces of one answer: its thoughts, then what `calls` finds in the rest.

    `shown` is whether thoughts are told; they are split off in any case.
    """

    def __init__(self, thoughts: Thoughts, calls: CallReader | None, *, shown: bool = True) -> None:
        self._calls = calls
        self._shown = shown
        self._marks = thoughts.marks
        self._is_thinking = thoughts.begun
        self._may_begin = not thoughts.begun and thoughts.marks is not None
        self._has_thought = self._after_thoughts = False
        self._held = ""

    @property
    def call_count(self) -> int:
        return self._calls.call_count if self._calls else 0

    def feed(self, text: str) -> Iterator[Piece]:
        """What is known now."""
        if self._marks is None:
            yield from self._rest(text)
            return
        self._held += text
        if self._may_begin:
            self._begin(self._marks.open)
        if self._is_thinking:
            yield from self._think(self._marks.close)
        if not (self._may_begin or self._is_thinking):
            text, self._held = self._held, ""
            yield from self._rest(text)

    def flush(self) -> Iterator[Piece]:
        """The rest, at the end of the answer."""
        text, self._held = self._held, ""
        if self._is_thinking:
            yield from self._thought(text.rstrip())
        else:
            yield from self._rest(text)
        if self._calls is not None:
            yield from self._calls.flush()

    def _begin(self, mark: str) -> None:
        """Whether the answer begins with thoughts, as soon as that is known."""
        begun = self._held.lstrip()
        if begun.startswith(mark):
            self._held, self._is_thinking, self._may_begin = begun[len(mark) :], True, False
        elif not mark.startswith(begun):
            self._may_begin = False

    def _think(self, mark: str) -> Iterator[Piece]:
        if not self._has_thought:  # without the space that models leave before thoughts
            self._held = self._held.lstrip()
        before, found, after = self._held.partition(mark)
        if found:
            self._held, self._is_thinking, self._after_thoughts = after, False, True
            yield from self._thought(before.rstrip())
            return
        kept = self._held[: len(self._held) - overlap(self._held, mark)].rstrip()
        self._held = self._held[len(kept) :]
        yield from self._thought(kept)

    def _thought(self, text: str) -> Iterator[Piece]:
        self._has_thought |= bool(text)
        if text and self._shown:
            yield Thought(text)

    def _rest(self, text: str) -> Iterator[Piece]:
        """What is no thought, without the space that models leave after thoughts."""
        if self._after_thoughts:
            text = text.lstrip()
            self._after_thoughts = not text
        if text and self._calls is not None:
            yield from self._calls.feed(text)
        elif text:
            yield Content(text)
