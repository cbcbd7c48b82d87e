"""Server-sent events and closed connections. Owns how an answer travels; makes no content.

A client that goes away is noticed while we wait for the next token, so the engine stops within one step.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from remora.errors import Interrupted, RemoraError
from remora.server.problems import error_body

Chunk = Mapping[str, Any]
T = TypeVar("T")

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": waiting\n\n"  # a comment: clients skip it, and no proxy thinks that we are dead

logger = logging.getLogger(__name__)


def encode(chunk: Chunk) -> bytes:
    """One event with one JSON object."""
    return b"data: " + json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def encode_named(chunk: Chunk) -> bytes:
    """An event that bears the name of the object's type."""
    return f"event: {chunk['type']}\n".encode() + encode(chunk)


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
        chunks: AsyncGenerator[Chunk],
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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        with suppress(Interrupted):
            await while_connected(receive, self._send_all(send))

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        lock = asyncio.Lock()  # a comment must not fall between the parts of an event
        keeper = asyncio.create_task(self._keep_alive(send, lock))
        try:
            async with aclosing(_events(self._chunks, self._encode)) as events:
                async for event in events:
                    async with lock:
                        await send(_body(event))
            await send(_body(DONE, more=False))
        finally:
            await _end(keeper)

    async def _keep_alive(self, send: Send, lock: asyncio.Lock) -> None:
        while True:
            await asyncio.sleep(self._keep_alive_seconds)
            async with lock:
                await send(_body(KEEP_ALIVE))


async def _events(
    chunks: AsyncGenerator[Chunk], encode_chunk: Callable[[Chunk], bytes]
) -> AsyncGenerator[bytes]:
    """The chunks encoded; the status is long sent, so an error can only be an event."""
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                yield encode_chunk(chunk)
    except RemoraError as error:
        yield encode(error_body(error))
    except Exception:
        logger.exception("a stream failed")
        yield encode(error_body(RemoraError("the endpoint failed", hint="its log has more")))


def _body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel and wait, so that nothing of the task outlives us; its result is no longer wanted."""
    task.cancel()
    await asyncio.wait({task})
