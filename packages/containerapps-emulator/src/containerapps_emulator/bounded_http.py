"""HTTP/1.1 with limits, for listeners that any process on this machine can reach: uvicorn's, on h11.

h11 limits a head, a chunk's line and the trailers to 64 KiB each, and ignores a client's offer to upgrade.
This adds limits on the number of headers and on the time for a head, for the next piece of a body, and for
the rest of a body after its request is answered.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Final

import h11
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_HEADERS: Final = 100
HEAD_SECONDS: Final = 30.0
BODY_SECONDS: Final = 60.0
REST_SECONDS: Final = 5.0


class _Awaited(Enum):
    HEAD = "head"
    BODY = "body"
    REST = "rest"  # of a body whose request is already answered


class BoundedProtocol(H11Protocol):
    """Closes the connection of a client that is too slow."""

    _awaited: _Awaited | None = None
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await(_Awaited.HEAD, HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._await(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        if self.cycle is not None:
            self.cycle.disconnected = True  # discards what the application still sends
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:  # a response has started or is complete
            self.transport.close()

    def _watch(self) -> None:
        state = self.conn.their_state
        if state is h11.SEND_BODY and self.cycle.response_complete:
            self._await(_Awaited.REST, REST_SECONDS)
        elif state is h11.SEND_BODY:
            self._await(_Awaited.BODY, BODY_SECONDS, restart=True)
        elif state is h11.IDLE and self.conn.trailing_data[0]:
            self._await(_Awaited.HEAD, HEAD_SECONDS)
        else:
            self._await(None)

    def _await(self, awaited: _Awaited | None, seconds: float = 0, *, restart: bool = False) -> None:
        """Start the timer unless it already runs for this state; `restart` restarts it in any case."""
        if awaited is self._awaited and not restart:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._awaited = awaited
        self._timer = self.loop.call_later(seconds, self._late) if awaited else None

    def _late(self) -> None:
        if self._awaited is _Awaited.BODY and self.flow.read_paused:  # the server has paused reading
            self._await(_Awaited.BODY, BODY_SECONDS, restart=True)
        else:
            self.transport.close()


class FewHeaders:
    """Refuses a request with more headers than `MOST_HEADERS`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and len(scope["headers"]) > MOST_HEADERS:
            text = f"{len(scope['headers'])} headers; at most {MOST_HEADERS} are read."
            await PlainTextResponse(text, 431)(scope, receive, send)
            return
        await self._app(scope, receive, send)
