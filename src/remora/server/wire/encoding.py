"""Events of a stream as bytes. Owns the two forms, server-sent events and lines of JSON; makes no content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Chunk = Mapping[str, Any]
Event = Chunk | bytes
"""An object to encode, or bytes where `TextEvents` has done so already."""

DONE = b"data: [DONE]\n\n"


def encode(chunk: Event) -> bytes:
    """One event with one JSON object."""
    return chunk if isinstance(chunk, bytes) else b"data: " + _json(chunk) + b"\n\n"


def encode_named(chunk: Event) -> bytes:
    """An event that bears the name of the object's type."""
    if isinstance(chunk, bytes):
        return chunk
    return f"event: {chunk['type']}\n".encode() + encode(chunk)


def encode_line(chunk: Event) -> bytes:
    """One line with one JSON object."""
    return chunk if isinstance(chunk, bytes) else _json(chunk) + b"\n"


def _json(chunk: Chunk) -> bytes:
    return json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode()
