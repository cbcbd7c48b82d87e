"""An ingress listener: takes HTTP on loopback, passes each request to a replica, streams both ways.

Owns the listening and Azure's words for its failures; which revision gets a request is the caller's `route`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractContextManager
from typing import Final, Protocol

import uvicorn
from starlette.types import Receive, Scope, Send

from containerapps_emulator.apps.ingress.exchange import Exchange, Failure
from containerapps_emulator.apps.ingress.upstream import Broken, CannotConnect, Upstream
from containerapps_emulator.apps.replicas.replica import Replica
from containerapps_emulator.background import in_background
from containerapps_emulator.bounded_http import BoundedProtocol, FewHeaders
from containerapps_emulator.quiet_server import QuietServer

UNREACHABLE: Final = Failure(
    503,
    b"upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote"
    b" connection failure, transport failure reason: delayed connect error: 111",
    retry_after_seconds=5,
)
STOPPED: Final = Failure(404, b"Error 404 - This Container App is stopped or does not exist.")
BROKEN: Final = Failure(502, b"")
TOO_LONG: Final = Failure(504, b"stream timeout")
CLOSE_SECONDS: Final = 1


class Backend(Protocol):
    """A revision, as the ingress sees it."""

    def serving(self) -> AbstractContextManager[None]:
        """Counts one request for as long as it is entered, also while it waits."""

    async def ready(self, refused: Collection[str], affinity: str) -> Replica | None:
        """A ready replica whose container is none of `refused`, that of `affinity` where it can be.

        Waited for while the revision wakes up, and for a bounded time where a replica is started again.
        None: there is none.
        """

    @property
    def sticky(self) -> bool:
        """Whether a client is to come back to the replica that it had."""


Route = Callable[[str], Awaitable[Backend | Failure]]
"""Host header → who gets the next request."""


class Ingress:
    """Listens from `open` to `close`."""

    def __init__(self, address: str, route: Route, request_seconds: float) -> None:
        self._address = address
        self._route = route
        self._request_seconds = request_seconds
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self, port: int) -> int:
        """Listen on that port, or on another where it is taken (or 0); returns the port."""
        listener = _listen(self._address, port)
        taken: int = listener.getsockname()[1]
        config = uvicorn.Config(
            FewHeaders(self._serve),
            http=BoundedProtocol,
            log_config=None,
            log_level="critical",
            access_log=False,
            lifespan="off",
            ws="none",
            interface="asgi3",
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=CLOSE_SECONDS,
        )
        self._server = _Server(config)
        self._task = in_background(self._server.serve([listener]), f"the ingress on port {taken}")
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({self._task, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if self._task.done():
            listener.close()
            await self._task
        return taken

    async def close(self) -> None:
        if self._server is not None and self._task is not None:
            self._server.end()
            await asyncio.wait({self._task})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        forwarding = in_background(self._within_limit(exchange), f"a request to {exchange.host}")
        pumping = in_background(exchange.pump(), f"the body of a request to {exchange.host}")
        # The client went away: the cancelled task closes its connection to the replica at once.
        pumping.add_done_callback(lambda _: forwarding.cancel())
        try:
            await asyncio.wait({forwarding})
        finally:
            forwarding.cancel()
            pumping.cancel()
            await asyncio.wait({forwarding, pumping})

    async def _within_limit(self, exchange: Exchange) -> None:
        try:
            async with asyncio.timeout(self._request_seconds):
                await self._forward(exchange)
        except TimeoutError:
            await exchange.fail(TOO_LONG)

    async def _forward(self, exchange: Exchange) -> None:
        backend = await self._route(exchange.host)
        if isinstance(backend, Failure):
            await exchange.fail(backend)
            return
        refused: set[str] = set()
        with backend.serving():
            affinity = exchange.affinity if backend.sticky else ""
            while (replica := await backend.ready(refused, affinity)) is not None:
                if backend.sticky:
                    exchange.stick_to(replica.affinity)
                container = replica.container_id
                with replica.serving() as port:
                    try:
                        await self._exchange(exchange, port)
                        return
                    except CannotConnect:
                        refused.add(container)  # nothing was sent: another may still have it
                    except Broken:
                        await exchange.fail(BROKEN)
                        return
            await exchange.fail(UNREACHABLE)

    async def _exchange(self, exchange: Exchange, port: int) -> None:
        upstream = await Upstream.connect(self._address, port)
        try:
            exchange.begin(upstream)
            await exchange.answer(upstream)
        finally:
            await upstream.close()


class _Server(QuietServer):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


def _listen(address: str, port: int) -> socket.socket:
    for candidate in (port, 0) if port else (0,):
        # asyncio turns Nagle's algorithm off (40 ms an answer) only where the protocol is named.
        listener = socket.socket(proto=socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, candidate))
        except OSError:
            listener.close()
            continue
        return listener
    raise OSError(f"no port is free on {address}")
