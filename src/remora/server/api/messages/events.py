"""The life of one of Anthropic's messages: its blocks as they grow, an event for every step.

    message_start → each block: start, deltas, stop → message_delta → message_stop

An answer that is not streamed goes through the same steps. Owns their order, and the blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from remora.server.generation.tool_calls import CallArguments, CallBegin, CallEnd, Content, Piece, Thought
from remora.server.generation.turns import given_arguments
from remora.server.wire.encoding import Chunk

Block = dict[str, Any]
TEXT: Mapping[str, Any] = {"type": "text", "text": ""}
THOUGHTS: Mapping[str, Any] = {"type": "thinking", "thinking": "", "signature": ""}


class MessageEvents:
    """Feed it pieces of the answer, and it gives events. `head` is the message without its content."""

    def __init__(self, head: Block) -> None:
        self._head = head
        self._blocks: list[Block] = []
        self._arguments: dict[int, str] = {}  # of calls, by the place of their block
        self._is_open = False

    @property
    def message(self) -> Block:
        """The message as it is now."""
        content = [self._whole(place, block) for place, block in enumerate(self._blocks)]
        return {**self._head, "content": content}

    def begin(self) -> Iterator[Chunk]:
        yield {"type": "message_start", "message": {**self._head, "content": []}}

    def feed(self, pieces: Iterable[Piece]) -> Iterator[Chunk]:
        for piece in pieces:
            match piece:
                case Thought(text):
                    yield from self._grow(THOUGHTS, "thinking", text)
                case Content(text):
                    yield from self._grow(TEXT, "text", text)
                case CallBegin(_, call_id, name):
                    yield from self._open({"type": "tool_use", "id": call_id, "name": name, "input": {}})
                    self._arguments[len(self._blocks) - 1] = ""
                case CallArguments(_, text):
                    self._arguments[len(self._blocks) - 1] += text
                    yield self._delta({"type": "input_json_delta", "partial_json": text})
                case CallEnd():
                    yield from self._close()

    def end(self, **ending: Any) -> Iterator[Chunk]:
        """The last events. `ending` changes the message; there is always a block in it."""
        if not self._blocks:
            yield from self._open(TEXT)
        yield from self._close()
        self._head |= ending
        said = {name: ending[name] for name in ("stop_reason", "stop_sequence")}
        more = {name: value for name, value in ending.items() if name not in said}
        yield {"type": "message_delta", "delta": said, **more}
        yield {"type": "message_stop"}

    def _grow(self, empty: Mapping[str, Any], field: str, text: str) -> Iterator[Chunk]:
        if not self._is_open or self._blocks[-1]["type"] != empty["type"]:
            yield from self._open(empty)
        self._blocks[-1][field] += text
        yield self._delta({"type": f"{empty['type']}_delta", field: text})

    def _open(self, block: Mapping[str, Any]) -> Iterator[Chunk]:
        yield from self._close()
        self._blocks.append(dict(block))
        self._is_open = True
        yield {"type": "content_block_start", "index": len(self._blocks) - 1, "content_block": dict(block)}

    def _close(self) -> Iterator[Chunk]:
        if self._is_open:
            self._is_open = False
            yield {"type": "content_block_stop", "index": len(self._blocks) - 1}

    def _delta(self, delta: Block) -> Chunk:
        return {"type": "content_block_delta", "index": len(self._blocks) - 1, "delta": delta}

    def _whole(self, place: int, block: Block) -> Block:
        """The block. A call whose arguments are no object, cut off perhaps, is text: it must not be made."""
        if place not in self._arguments:
            return dict(block)
        text = self._arguments[place]
        given = given_arguments(text)
        return {"type": "text", "text": text} if given is None else {**block, "input": given}
