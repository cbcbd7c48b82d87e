"""An ingress listener: takes HTTP on loopback, passes each request to a replica, streams both ways.

Owns the wire and Azure's words for its failures; which replica gets a request is the caller's `choose`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from typing import Final

import httpx
import uvicorn
from starlette.types import Message, Receive, Scope, Send

from remora.localcloud.apps.replica import Replica

Choose = Callable[[Collection[Replica]], Replica | None]
Headers = list[tuple[bytes, bytes]]

# Of one connection, not of the message; and those that are written anew.
HOP_BY_HOP: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer",
     b"transfer-encoding", b"upgrade", b"proxy-connection")
)  # fmt: skip
FORWARDED: Final = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"))
UNREACHABLE: Final = (
    503,
    b"upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote"
    b" connection failure, transport failure reason: delayed connect error: 111",
)
STOPPED: Final = (404, b"Error 404 - This Container App is stopped or does not exist.")
BROKEN: Final = (502, b"")
TOO_LONG: Final = (504, b"stream timeout")
CONNECT_SECONDS: Final = 5
BODY_CHUNKS: Final = 4
CLOSE_SECONDS: Final = 1


class Ingress:
    """Listens from `open` to `close`."""

    def __init__(
        self, address: str, choose: Choose, is_stopped: Callable[[], bool], request_seconds: float
    ) -> None:
        self._address = address
        self._choose = choose
        self._is_stopped = is_stopped
        self._request_seconds = request_seconds
        # A kept connection could be closed by the app just as it is used again: one for each request.
        self._upstream = httpx.AsyncHTTPTransport(
            verify=False, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0)
        )
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self, port: int) -> int:
        """Listen on that port, or on another where it is taken (or 0); returns the port."""
        listener = _listen(self._address, port)
        taken: int = listener.getsockname()[1]
        config = uvicorn.Config(
            self._serve,
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
        self._task = asyncio.create_task(self._server.serve([listener]))
        await self._server.listening.wait()
        return taken

    async def close(self) -> None:
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
        await self._upstream.aclose()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(scope, receive, send)
        forwarding = asyncio.create_task(self._within_limit(exchange))
        pumping = asyncio.create_task(exchange.pump())
        try:
            await asyncio.wait({forwarding, pumping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # The client went away: the cancelled task closes its connection to the replica at once.
            forwarding.cancel()
            pumping.cancel()
            await asyncio.wait({forwarding, pumping})

    async def _within_limit(self, exchange: _Exchange) -> None:
        try:
            async with asyncio.timeout(self._request_seconds):
                await self._forward(exchange)
        except TimeoutError:
            await exchange.fail(TOO_LONG)

    async def _forward(self, exchange: _Exchange) -> None:
        if self._is_stopped():
            await exchange.fail(STOPPED)
            return
        refused: set[Replica] = set()
        while (replica := self._choose(refused)) is not None:
            async with replica.serving() as port:
                try:
                    await self._exchange(exchange, port)
                    return
                except httpx.ConnectError:
                    refused.add(replica)  # nothing was sent: another may still have it
                except httpx.TransportError:
                    await exchange.fail(BROKEN)
                    return
        await exchange.fail(UNREACHABLE)

    async def _exchange(self, exchange: _Exchange, port: int) -> None:
        request = exchange.request(f"http://{self._address}:{port}/")
        response = await self._upstream.handle_async_request(request)
        try:
            await exchange.answer(response)
        finally:
            await response.aclose()


class _Exchange:
    """One request of a client and the answer to it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(BODY_CHUNKS)
        self._answered = False

    async def pump(self) -> None:
        """Take the body in, a few chunks ahead; returns when the client has gone."""
        while True:
            message: Message = await self._receive()
            if message["type"] == "http.disconnect":
                return
            await self._chunks.put(message.get("body", b""))
            if not message.get("more_body", False):
                await self._chunks.put(None)

    def request(self, url: str) -> httpx.Request:
        headers: Headers = self._scope["headers"]
        names = {name for name, _ in headers}
        has_body = b"content-length" in names or b"transfer-encoding" in names
        target = self._scope["raw_path"]
        if query := self._scope["query_string"]:
            target += b"?" + query
        return httpx.Request(
            self._scope["method"],
            url,
            headers=_end_to_end(headers) + self._forwarded(headers),
            content=self._body() if has_body else None,
            extensions={"target": target, "timeout": {"connect": CONNECT_SECONDS}},
        )

    async def answer(self, response: httpx.Response) -> None:
        headers = _end_to_end(response.headers.raw)
        await self._start(response.status_code, headers)
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - of an asynchronous transport
        async for chunk in response.stream:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})

    async def fail(self, failure: tuple[int, bytes]) -> None:
        """Answer with a failure of the ingress; an answer already begun is broken off instead."""
        if self._answered:
            return
        status, body = failure
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
        await self._start(status, headers)
        await self._send({"type": "http.response.body", "body": body})

    async def _start(self, status: int, headers: Headers) -> None:
        self._answered = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self) -> AsyncIterator[bytes]:
        while (chunk := await self._chunks.get()) is not None:
            yield chunk

    def _forwarded(self, headers: Headers) -> Headers:
        client = self._scope["client"][0].encode() if self._scope.get("client") else b"unknown"
        former = [value for name, value in headers if name == b"x-forwarded-for"]
        host = next((value for name, value in headers if name == b"host"), b"")
        return [
            (b"x-forwarded-for", b",".join([*former, client])),
            (b"x-forwarded-proto", self._scope["scheme"].encode()),
            (b"x-forwarded-host", host),
        ]


class _Server(uvicorn.Server):
    """One of several in a process that handles its signals itself."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


def _end_to_end(headers: Headers) -> Headers:
    listed = {
        token.strip().lower()
        for name, value in headers
        if name.lower() == b"connection"
        for token in value.split(b",")
    }
    dropped = HOP_BY_HOP | FORWARDED | listed
    return [(name, value) for name, value in headers if name.lower() not in dropped]


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
