"""Owns the loopback sockets and the HTTP server on each. Does not know what they serve."""

from __future__ import annotations

import asyncio
import socket
from email.utils import formatdate
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from containerapps_emulator.background import in_background
from containerapps_emulator.bounded_http import BoundedProtocol, FewHeaders
from containerapps_emulator.errors import PortInUse
from containerapps_emulator.quiet_server import QuietServer
from containerapps_emulator.state import State

HOST = "127.0.0.1"
_KIND = "ports"
_CLOSING_SECONDS = 2


def bind(state: State, name: str, wanted: int | None = None) -> socket.socket:
    """Return a listening socket: on `wanted`, else on the last used port, else on any free port.

    Raises PortInUse only for a `wanted` port: clients read the others from connection.json.
    """
    if wanted is not None:
        try:
            return _listen(wanted)
        except OSError as error:
            raise PortInUse(
                f"Port {wanted} on {HOST} is not available: {error.strerror}.",
                hint="Choose another with --port, or leave it out.",
            ) from None
    former = (state.get(_KIND, name) or {}).get("port", 0)
    try:
        listener = _listen(former)
    except OSError:
        listener = _listen(0)
    state.put(_KIND, name, {"port": port_of(listener)})
    return listener


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


class Listener:
    """One HTTP server on a bound socket; HTTPS with the certificate and key of a PEM file.

    `http` is the protocol class, or its name.
    """

    def __init__(
        self,
        app: ASGIApp,
        bound: socket.socket,
        certificate: Path | None = None,
        *,
        http: type[asyncio.Protocol] | str = BoundedProtocol,
    ) -> None:
        config = uvicorn.Config(
            FewHeaders(app),
            http=http,
            ws="none",
            log_level="warning",
            access_log=False,
            proxy_headers=False,  # there is no proxy in front
            lifespan="off",
            ssl_certfile=certificate,
            timeout_graceful_shutdown=_CLOSING_SECONDS,
        )
        self._server = _Server(config)
        self._socket = bound
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns once requests are answered."""
        serving = self._server.serve(sockets=[self._socket])
        self._task = in_background(serving, f"the listener on port {port_of(self._socket)}")
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.005)

    async def ended(self) -> None:
        """Returns when nothing is answered any more. Raises why, where it was not told to stop."""
        assert self._task is not None  # noqa: S101 - after start
        await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Wait up to two seconds for requests in progress, then close."""
        self._server.end()
        if self._task is not None:
            await asyncio.wait({self._task})
        self._socket.close()


class _Server(QuietServer):
    """Its answers have the date that `_DatedState` gives them."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state = _DatedState()


class _DatedState(ServerState):
    """Computes the Date header for each response; uvicorn's is updated by the loop that is not run here."""

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        return [(b"date", formatdate(usegmt=True).encode())]

    @default_headers.setter
    def default_headers(self, _: list[tuple[bytes, bytes]]) -> None:
        """Ignored: the date is always computed."""


def _listen(port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only if the protocol is explicit; otherwise Nagle's delay slows responses.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener
