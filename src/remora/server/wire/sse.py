"""Server-sent events and closed connections. Owns how an answer travels; makes no content.

A client that goes away is noticed while we wait for the next token, so the engine stops within one step.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from json.encoder import encode_basestring
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from remora.errors import Interrupted, RemoraError
from remora.server.wire.dialects import Dialect, dialect_of
from remora.server.wire.encoding import Event, encode, encode_line, encode_named
from remora.server.wire.outbox import Outbox

T = TypeVar("T")

PLACE = "\ue000the text\ue000"

logger = logging.getLogger(__name__)


class TextEvents:
    """Events that differ in one text only, so that the rest is encoded once and not for every token."""

    def __init__(self, chunk_of: Callable[[str], Mapping[str, Any]]) -> None:
        place = encode_basestring(PLACE).encode()
        self._before, _, self._after = encode(chunk_of(PLACE)).rpartition(place)

    def event(self, text: str) -> bytes:
        return self._before + encode_basestring(text).encode() + self._after


async def while_connected(receive: Receive, work: Awaitable[T]) -> T:
    """The result of `work`; where the client goes away first, cancels it and raises Interrupted."""
    task = asyncio.ensure_future(work)
    watcher = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Interrupted("the client closed the connection")
    finally:
        await _end(task)
        await _end(watcher)


class EventStream(Response):
    """Sends chunks as they come, an error as the last event, and comments while nothing comes."""

    media_type = "text/event-stream"

    def __init__(
        self,
        chunks: AsyncGenerator[Event],
        headers: Mapping[str, str],
        keep_alive_seconds: float,
        *,
        named: bool = False,
    ) -> None:
        self._chunks = chunks
        self._encode = encode_named if named else encode
        self._keep_alive_seconds = keep_alive_seconds
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no", **headers})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        dialect = dialect_of(scope["path"])
        outbox = Outbox(dialect.keep_alive, self._keep_alive_seconds if dialect.keep_alive else math.inf)
        making = asyncio.create_task(self._make(outbox, dialect))
        watching = asyncio.create_task(_close_when_gone(receive, outbox))
        try:
            start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            await send(start)
            await outbox.send_all(send)
        finally:
            await _end(making)
            await _end(watching)

    async def _make(self, outbox: Outbox, dialect: Dialect) -> None:
        """Put the chunks in; the status is long sent, so an error can only be an event."""
        try:
            async with aclosing(self._chunks) as chunks:
                async for chunk in chunks:
                    outbox.put(self._encode(chunk))
                    await outbox.room()
            if dialect.end:
                outbox.put(dialect.end)
        except RemoraError as error:
            outbox.put(dialect.last(error))
        except Exception:
            logger.exception("a stream failed")
            outbox.put(dialect.last(RemoraError("the endpoint failed", hint="its log has more")))
        outbox.close()


class LineStream(EventStream):
    """The same in lines of JSON, as Ollama streams."""

    media_type = "application/x-ndjson"

    def __init__(self, chunks: AsyncGenerator[Event], headers: Mapping[str, str]) -> None:
        super().__init__(chunks, headers, math.inf)
        self._encode = encode_line


async def _close_when_gone(receive: Receive, outbox: Outbox) -> None:
    await _disconnected(receive)
    outbox.close()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel and wait, so that nothing of the task outlives us; its result is no longer wanted."""
    task.cancel()
    await asyncio.wait({task})
