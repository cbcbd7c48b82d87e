"""The two loopback sockets, and one HTTP server on each."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from remora.errors import PortInUse
from remora.localcloud.state import State

HOST = "127.0.0.1"
_KIND = "ports"
_CLOSING_SECONDS = 2


def bind(state: State, name: str, wanted: int | None = None) -> socket.socket:
    """A listening socket: on the wanted port, else on the port of last time, else on any.

    Raises PortInUse only for a port that was asked for: clients read the others from connection.json.
    """
    if wanted is not None:
        try:
            return _listen(wanted)
        except OSError as error:
            raise PortInUse(
                f"Port {wanted} on {HOST} cannot be used: {error.strerror}.",
                hint="Choose another with --port, or leave it out.",
                param="port",
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

    `http` names the class that speaks HTTP, where it is not one of uvicorn's own.
    """

    def __init__(
        self,
        app: ASGIApp,
        bound: socket.socket,
        certificate: Path | None = None,
        *,
        http: str = "auto",
    ) -> None:
        config = uvicorn.Config(
            app,
            http=http,
            log_level="warning",
            access_log=False,
            proxy_headers=False,  # nothing stands before us
            lifespan="off",
            ssl_certfile=certificate,
            timeout_graceful_shutdown=_CLOSING_SECONDS,
        )
        self._server = _Server(config)
        self._socket = bound
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns once requests are answered."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Finish what is being answered, up to two seconds."""
        self._server.end()
        if self._task is not None:
            await self._task
        self._socket.close()


class _Server(uvicorn.Server):
    """Sleeps until it is told to end, where uvicorn's own wakes up ten times a second.

    Signals are the process's, which has several servers.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state = _DatedState()
        self._ending = asyncio.Event()

    def end(self) -> None:
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        await self._ending.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _DatedState(ServerState):
    """The Date header is of the moment of the answer; uvicorn's is kept current by its loop."""

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        return [(b"date", formatdate(usegmt=True).encode())]

    @default_headers.setter
    def default_headers(self, _: list[tuple[bytes, bytes]]) -> None:
        """Never anything else."""


def _listen(port: int) -> socket.socket:
    # With the protocol spelt out asyncio sets TCP_NODELAY; without, answers wait for Nagle's delay.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener
