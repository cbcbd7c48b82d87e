"""Anthropic's messages as turns of a conversation. Owns that translation; checks no fields."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from remora.server.api.schema.body import TextPart
from remora.server.api.schema.message_blocks import AnthropicMessage, ContentBlock
from remora.server.generation.turns import Turn, assistant_turn, tool_turn

BETWEEN_BLOCKS = "\n"
FAILED = "Error: "  # templates know no other way to say that a call failed


def turns_of(system: Sequence[TextPart] | None, messages: Sequence[AnthropicMessage]) -> list[Turn]:
    """The conversation. Messages of one role after the other are one turn, as at Anthropic."""
    turns: list[Turn] = []
    if system:
        turns.append({"role": "system", "content": BETWEEN_BLOCKS.join(part.text for part in system)})
    for role, blocks in _joined(messages):
        turns += [_answer(blocks)] if role == "assistant" else _said(blocks)
    return turns


def _joined(messages: Sequence[AnthropicMessage]) -> Iterator[tuple[str, list[ContentBlock]]]:
    blocks: list[ContentBlock] = []
    for place, message in enumerate(messages):
        blocks += message.content
        if place + 1 == len(messages) or messages[place + 1].role != message.role:
            yield message.role, blocks
            blocks = []


def _said(blocks: Sequence[ContentBlock]) -> Iterator[Turn]:
    """What calls gave are turns of their own, before what the user says."""
    for block in blocks:
        if block.type == "tool_result":
            result = "".join(part.text for part in block.content or ())
            yield tool_turn(block.tool_use_id or "", f"{FAILED}{result}" if block.is_error else result)
    texts = [block.text or "" for block in blocks if block.type == "text"]
    if texts:
        yield {"role": "user", "content": BETWEEN_BLOCKS.join(texts)}


def _answer(blocks: Sequence[ContentBlock]) -> Turn:
    text = "".join(block.text or "" for block in blocks if block.type == "text")
    thoughts = "".join(block.thinking or "" for block in blocks if block.type == "thinking")
    calls = (
        (block.id or "", block.name or "", json.dumps(block.input))
        for block in blocks
        if block.type == "tool_use"
    )
    turn = assistant_turn(text, calls, param="messages")
    return {**turn, "reasoning_content": thoughts} if thoughts else turn
