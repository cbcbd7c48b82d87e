"""Which requests ask for a stream, and what keeps each kind of stream alive before its answer begins.

Server-sent events have comments, which clients skip, so the progress is in them. Ollama's streams are lines
of JSON, and its clients parse every line: there a space is sent, which may stand before any JSON. A stream
whose answer turns out to be an error ends with the error event of its API.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from remora.errors import NotReady
from remora.server.access.admitted import PATHS as STREAMED_PATHS
from remora.server.wire.dialects import OLLAMA_PREFIX, dialect_of


@dataclass(frozen=True, slots=True)
class StreamForm:
    """How a stream of one API begins."""

    content_type: bytes
    by_default: bool
    shows_progress: bool

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Those that the endpoint's own streams have."""
        return [
            (b"content-type", self.content_type),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]

    def alive(self, progress: str) -> bytes:
        """What is sent while nothing else comes."""
        return f": {' '.join(progress.split())}\n\n".encode() if self.shows_progress else b" "


EVENTS = StreamForm(b"text/event-stream; charset=utf-8", by_default=False, shows_progress=True)
LINES = StreamForm(b"application/x-ndjson", by_default=True, shows_progress=False)


def form_of(method: str, path: str) -> StreamForm | None:
    """The form in which this route can stream; None for a route that never does."""
    if method != "POST" or path not in STREAMED_PATHS:
        return None
    return LINES if path.startswith(OLLAMA_PREFIX) else EVENTS


def wants_stream(form: StreamForm, body: bytes) -> bool:
    """Whether the client asks for one. A body that is no JSON object is passed on, to be refused there."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and fields.get("stream", form.by_default) is True


def error_end(path: str, status: int, body: bytes) -> bytes:
    """The end of a stream that has begun and whose answer is this error."""
    dialect = dialect_of(path)
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, Mapping) and "error" in said:
        return dialect.encode(said) + dialect.end
    return dialect.last(NotReady(f"the model's app answered {status}", hint="ask again"))
