"""Calls in the text of an answer. Owns finding them as the text grows; knows no HTTP and no grammar.

A call is one JSON object, `{"name": …, "arguments": {…}}`. Its name is told as soon as it is there, its
arguments as they come. What turns out to be no call is text.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from remora.engine.base import ToolFormat

OPEN, CLOSE = "<tool_call>", "</tool_call>"
LIST_OPEN = "[TOOL_CALLS]"
LIST = re.compile(r"\s*(?:\[TOOL_CALLS\])?\s*\[\s*(?=\{)")
LIST_BEGINNING = re.compile(r"\s*(?:\[TOOL_CALLS\])?\s*(?:\[\s*)?")
MISTRAL_ID_CHARACTERS = 9
HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*"([^"\\]+)"\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)')


@dataclass(frozen=True, slots=True)
class Content:
    """Text that belongs to no call."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """Text that the model thought before its answer."""

    text: str


@dataclass(frozen=True, slots=True)
class CallBegin:
    """A call begins; `index` counts the calls of one answer."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """More of the arguments of a call that has begun, as JSON text."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class CallEnd:
    """The arguments are whole: one JSON object."""

    index: int


Piece = Thought | Content | CallBegin | CallArguments | CallEnd


class CallReader:
    """Pieces of one answer.

    `whole` where the answer is a call and nothing else: a forced one, or Llama's; `listed` where it is a list
    of calls: Mistral's.
    """

    def __init__(self, form: ToolFormat | None, *, forced: bool, most_calls: int | None = None) -> None:
        self.call_count = 0
        self._most_calls = most_calls
        self._form = form
        self._whole = forced or form is ToolFormat.LLAMA
        self._listed = form is ToolFormat.MISTRAL and not forced
        self._lead = ""  # of a list in which no call has begun
        self._marked = form is ToolFormat.HERMES and not forced
        self._held = ""
        self._arguments: _ObjectScanner | None = None
        self._after_call = False
        self._inside = False  # between the marks, or where the whole answer is a call

    def feed(self, text: str) -> Iterator[Piece]:
        """What is known now."""
        self._held += text
        while self._held:
            before = self._held, self._inside, self._arguments
            yield from self._step()
            if before == (self._held, self._inside, self._arguments):
                return

    def flush(self) -> Iterator[Piece]:
        """The rest, at the end of the answer."""
        if self._held and self._arguments is None:
            mark = OPEN if self._inside and self._marked else ""
            yield from self._content(self._lead + mark + self._held)
        self._held = ""

    def _step(self) -> Iterator[Piece]:
        if self._arguments is not None:
            return self._more_arguments(self._arguments)
        if self._inside:
            return self._begin()
        if self._listed:
            return self._next_in_list() if self.call_count else self._enter_list()
        if self._whole and self.call_count == 0:
            return self._enter_whole()
        return self._pass_text()

    def _enter_whole(self) -> Iterator[Piece]:
        if self._held.lstrip()[:1] == "{":
            self._inside = True
        elif self._held.strip():
            self._whole = False
        yield from ()

    def _enter_list(self) -> Iterator[Piece]:
        if (head := LIST.match(self._held)) is not None:
            self._lead, self._held, self._inside = head[0], self._held[head.end() :], True
        elif not (LIST_BEGINNING.fullmatch(self._held) or LIST_OPEN.startswith(self._held.lstrip())):
            self._listed = False
            yield from self._pass_text()

    def _next_in_list(self) -> Iterator[Piece]:
        rest = self._held.lstrip()
        if self._is_full:
            self._held = ""
        elif rest[:1] == ",":
            self._held, self._inside = rest[1:], True
        elif rest:
            self._held, self._listed = rest.removeprefix("]"), False
            yield from self._pass_text()

    def _pass_text(self) -> Iterator[Piece]:
        if not self._marked:
            text, self._held = self._held, ""
            yield from self._content(text)
            return
        at, full = self._held.find(OPEN), self._is_full
        if at >= 0 and not full:
            text, self._held, self._inside = self._held[:at], self._held[at + len(OPEN) :], True
        elif full:
            text, self._held = "", ""  # what follows the one call that was allowed is not wanted
        else:
            cut = len(self._held) - overlap(self._held, OPEN)
            text, self._held = self._held[:cut], self._held[cut:]
        yield from self._content(text)

    @property
    def _is_full(self) -> bool:
        """Whether the answer has all calls that it may have."""
        return self._most_calls is not None and self.call_count >= self._most_calls

    def _content(self, text: str) -> Iterator[Piece]:
        """Text as it is, without the space that models leave after a call."""
        text = text.lstrip() if self._after_call else text
        if text:
            self._after_call = False
            yield Content(text)

    def _begin(self) -> Iterator[Piece]:
        head = HEAD.match(self._held)
        if head is not None:
            index, self.call_count = self.call_count, self.call_count + 1
            self._held, self._arguments = self._held[head.end() :], _ObjectScanner()
            self._lead = ""
            yield CallBegin(index, self._new_id(), head[1])
        elif self._marked and CLOSE in self._held:  # something else between the marks
            body, _, self._held = self._held.partition(CLOSE)
            self._inside = False
            yield from self._content(f"{OPEN}{body}{CLOSE}")

    def _new_id(self) -> str:
        if self._form is ToolFormat.MISTRAL:
            return uuid.uuid4().hex[:MISTRAL_ID_CHARACTERS]
        return f"call_{uuid.uuid4().hex[:24]}"

    def _more_arguments(self, scanner: _ObjectScanner) -> Iterator[Piece]:
        index = self.call_count - 1
        count = scanner.feed(self._held)
        text, self._held = self._held[:count], self._held[count:]
        if text:
            yield CallArguments(index, text)
        if not scanner.closed:
            return
        mark = CLOSE if self._marked else "}"
        at = self._held.find(mark)
        if at >= 0:
            self._held = self._held[at + len(mark) :]
            self._arguments, self._inside, self._after_call = None, False, True
            yield CallEnd(index)


class _ObjectScanner:
    """Where a JSON object ends, over pieces."""

    def __init__(self) -> None:
        self.closed = False
        self._depth = 0
        self._in_string = self._escaped = False

    def feed(self, text: str) -> int:
        """How many characters of this text belong to the object."""
        if self.closed:
            return 0
        for position, character in enumerate(text):
            self._note(character)
            if self._depth == 0:
                self.closed = True
                return position + 1
        return len(text)

    def _note(self, character: str) -> None:
        if self._in_string:
            ends = character == '"' and not self._escaped
            self._escaped = character == "\\" and not self._escaped
            self._in_string = not ends
        elif character == '"':
            self._in_string = True
        elif character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1


def overlap(text: str, mark: str) -> int:
    """How many of the last characters could be the beginning of the mark."""
    for length in range(min(len(mark) - 1, len(text)), 0, -1):
        if text.endswith(mark[:length]):
            return length
    return 0
