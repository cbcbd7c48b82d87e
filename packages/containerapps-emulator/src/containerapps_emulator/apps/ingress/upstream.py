"""One HTTP/1.1 exchange with a replica, on a connection of its own.

A kept connection could be closed by the app just as it is used again, so none is kept: on loopback a new
one costs less than a repeated request would.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import h11

from containerapps_emulator.background import in_background

CONNECT_SECONDS: Final = 5
READ_BYTES: Final = 64 * 1024

Headers = list[tuple[bytes, bytes]]


class CannotConnect(Exception):
    """Nothing listens there: nothing was sent, so another replica may have the request."""


class Broken(Exception):
    """The replica broke off, or what it said is not HTTP."""


class Upstream:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)
        self._sending: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, address: str, port: int) -> Upstream:
        """Raises CannotConnect."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return cls(*await asyncio.open_connection(address, port))
        except OSError as error:  # TimeoutError is one
            raise CannotConnect(str(error)) from None

    def begin(self, method: str, target: bytes, headers: Headers, body: AsyncIterator[bytes] | None) -> None:
        """Send the head, and the body beside the reading: a replica may answer before it has all of it."""
        try:
            head = self._http.send(h11.Request(method=method, target=target, headers=headers))
        except h11.LocalProtocolError as error:
            raise Broken(str(error)) from None
        if body is not None:
            self._writer.write(head or b"")
            self._sending = in_background(self._send(body), "the sending of a body")
            return
        self._writer.write((head or b"") + (self._http.send(h11.EndOfMessage()) or b""))

    async def head(self) -> tuple[int, Headers]:
        """The status and the headers of the answer. Raises Broken."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                return event.status_code, list(event.headers.raw_items())

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Broken where it ends early."""
        while not isinstance(event := await self._next(), h11.EndOfMessage | h11.ConnectionClosed):
            if isinstance(event, h11.Data):
                yield bytes(event.data)

    async def close(self) -> None:
        """Hang up at once, whatever is under way: so the replica learns that nobody listens any more."""
        self._writer.transport.abort()
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait({self._sending})

    async def _next(self) -> h11.Event:
        try:
            while True:
                event = self._http.next_event()
                if isinstance(event, h11.Event):
                    return event
                if event is h11.PAUSED:
                    raise Broken("the connection was switched to another protocol")
                self._http.receive_data(await self._reader.read(READ_BYTES))
        except (OSError, h11.RemoteProtocolError) as error:
            raise Broken(str(error)) from None

    async def _send(self, body: AsyncIterator[bytes]) -> None:
        with contextlib.suppress(OSError, h11.LocalProtocolError):  # the answer tells what went wrong
            async for chunk in body:
                self._writer.write(self._http.send(h11.Data(data=chunk)) or b"")
                await self._writer.drain()
            self._writer.write(self._http.send(h11.EndOfMessage()) or b"")
