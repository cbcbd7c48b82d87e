"""The way of a stream's events to the socket. Owns gathering them, and the sign of life while none come.

The producer adds events without waiting. The sender takes all that are there at once, and not
before GATHER_SECONDS have passed since the last time. The first event goes out at once, and so does every
event of a stream that is slower than that; a faster one costs a write for several events, and not for each.
"""

from __future__ import annotations

import asyncio
import math

from starlette.types import Message, Send

GATHER_SECONDS = 0.01
MOST_BYTES = 64 * 1024  # of waiting events; beyond it the producer waits for a client that reads slowly


class Outbox:
    """Events on their way, in order. For one loop, one maker and one sender."""

    def __init__(
        self, keep_alive: bytes, keep_alive_seconds: float, gather_seconds: float = GATHER_SECONDS
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._keep_alive = keep_alive
        self._keep_alive_seconds = keep_alive_seconds
        self._gather_seconds = gather_seconds
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self._closed = self._gathering = False
        self._next_at = 0.0
        self._filled: asyncio.Future[None] | None = None
        self._emptied: asyncio.Future[None] | None = None

    def put(self, event: bytes) -> None:
        """One whole event."""
        self._parts.append(event)
        self._size_bytes += len(event)
        if not self._gathering or self._size_bytes > MOST_BYTES:
            _wake(self._filled)

    async def room(self) -> None:
        """Wait while too much waits already."""
        while self._size_bytes > MOST_BYTES and not self._closed:
            self._emptied = self._loop.create_future()
            await self._emptied

    def close(self) -> None:
        """Nothing more will come: the sender ends when all is sent. Closing twice is a no-op."""
        self._closed = True
        _wake(self._filled)
        _wake(self._emptied)

    async def send_all(self, send: Send) -> None:
        """Send what comes until it is closed, and then the end of the body."""
        while await self._something():
            data = b"".join(self._parts) or self._keep_alive
            self._parts.clear()
            self._size_bytes = 0
            _wake(self._emptied)
            self._next_at = self._loop.time() + self._gather_seconds
            await send(_body(data, more=True))
        await send(_body(b"".join(self._parts), more=False))

    async def _something(self) -> bool:
        """Wait for events that are due, or for the time of a sign of life; False when it is closed."""
        if not self._parts:
            await self._filled_within(self._keep_alive_seconds)
        early_seconds = self._next_at - self._loop.time()
        if self._parts and early_seconds > 0 and self._size_bytes <= MOST_BYTES:
            self._gathering = True
            await self._filled_within(early_seconds)
            self._gathering = False
        return not self._closed

    async def _filled_within(self, seconds: float) -> None:
        if self._closed:
            return
        self._filled = self._loop.create_future()
        timer = None if seconds == math.inf else self._loop.call_later(seconds, _wake, self._filled)
        try:
            await self._filled
        finally:
            if timer is not None:
                timer.cancel()
            self._filled = None


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


def _body(data: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}
