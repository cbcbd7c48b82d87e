"""HTTP/1.1 for uvicorn, for bodies of a few MiB: reads them from the socket straight into one buffer.

uvicorn's own protocols copy a body four times in pieces of 64 KiB, which costs more than all other work.
Owns framing only; authentication and the meaning of requests belong to the application. Requests need a
Content-Length; a body longer than `MAX_BODY_BYTES` is discarded, and the application learns its length.
"""

from __future__ import annotations

import asyncio
import http
import logging
import re
from typing import Any, Final
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Scope
from uvicorn import Config
from uvicorn.server import ServerState

from containerapps_emulator.storage.store.content import MAX_WRITE_BYTES
from containerapps_emulator.storage.structured import FRAMING_BYTES

MAX_BODY_BYTES: Final = MAX_WRITE_BYTES + FRAMING_BYTES
_MAX_HEAD_BYTES: Final = 64 * 1024
_MAX_IGNORED_BYTES: Final = 64 * 1024 * 1024
_IDLE_SECONDS: Final = 60  # for a head, and for the next piece of a body
SPELLED: Final = "remora.spelled"
"""In the scope: names of headers as they were sent, by their lower-case form, where these differ."""
_MOST_HEADERS: Final = 100
_JOINED_BYTES: Final = 64 * 1024
_REQUEST_LINE: Final = re.compile(rb"([A-Z]{1,20}) (/[\x21-\x7e]*) HTTP/1\.([01])\Z")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*?)[ \t]*\Z")
_REASONS: Final = {status.value: status.phrase.encode() for status in http.HTTPStatus}

_log = logging.getLogger(__name__)


class _Malformed(Exception):
    """The bytes are not an HTTP/1.1 request; the argument is the status of the response."""


class BulkProtocol(asyncio.BufferedProtocol):
    """One connection: reads a request, runs the application, writes its response, and repeats."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],  # noqa: ARG002 - uvicorn's signature
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._app: ASGIApp = config.loaded_app
        self._server = server_state
        self._loop = _loop or asyncio.get_running_loop()
        self._head = bytearray(_MAX_HEAD_BYTES)
        self._head_bytes = 0
        self._body: memoryview | None = None  # the part of the buffer that the current body has yet to fill
        self._ignored_bytes = 0
        self._scope: Scope = {}
        self._whole: bytes | memoryview = b""  # the body, or the buffer that it is read into
        self._buffer = bytearray()  # reused for the next body: new memory costs as much as reading
        self._exchange: _Exchange | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP
        self._transport = transport
        self._server.connections.add(self)  # type: ignore[arg-type]
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._server.connections.discard(self)
        self._stop_waiting()
        if self._exchange is not None:
            self._exchange.lost()

    def shutdown(self) -> None:
        """uvicorn is stopping: finish the current request, accept no new one."""
        self._closing = True
        if self._exchange is None:
            self._transport.close()

    def pause_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.drained.clear()

    def resume_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.drained.set()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        if self._body is not None:
            return self._body
        return memoryview(self._head)[self._head_bytes :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._body is not None or self._ignored_bytes:
            self._stop_waiting()
            self._wait_for_request()
        if self._body is not None:
            self._body = self._body[nbytes:]
            if not self._body:
                self._dispatch()
        elif self._ignored_bytes:
            self._head_bytes = nbytes
            self._ignore()
        else:
            known = self._head_bytes
            self._head_bytes += nbytes
            self._read_head(max(0, known - 3))

    def _read_head(self, since: int = 0) -> None:
        """Parse the head once it is complete; the search for its end starts at `since`."""
        end = self._head.find(b"\r\n\r\n", since, self._head_bytes)
        if end < 0:
            if self._head_bytes == len(self._head):
                self._refuse(431)
            return
        try:
            self._scope = self._read_scope(bytes(self._head[:end]))
            length = _content_length(self._scope["headers"])
        except _Malformed as error:
            self._refuse(error.args[0])
            return
        self._consume(end + 4)
        self._expect_body(length)

    def _expect_body(self, length: int) -> None:
        if length > MAX_BODY_BYTES + _MAX_IGNORED_BYTES:
            self._refuse(413)
            return
        if length and _header(self._scope["headers"], b"expect").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if length > MAX_BODY_BYTES:
            self._whole, self._ignored_bytes = b"", length
            self._ignore()
            return
        here = min(length, self._head_bytes)
        if here == length:
            self._whole = bytes(self._head[:length])
            self._consume(length)
            self._dispatch()
            return
        if len(self._buffer) < length:
            self._buffer = bytearray(length)
        self._whole = memoryview(self._buffer)[:length]
        self._whole[:here] = self._head[:here]
        self._consume(here)
        self._body = self._whole[here:]

    def _ignore(self) -> None:
        here = min(self._ignored_bytes, self._head_bytes)
        self._consume(here)
        self._ignored_bytes -= here
        if not self._ignored_bytes:
            self._dispatch()

    def _consume(self, count: int) -> None:
        """Drop `count` bytes from the start of the head buffer; the next request may follow them."""
        rest = self._head_bytes - count
        if rest:
            self._head[:rest] = self._head[count : self._head_bytes]
        self._head_bytes = rest

    def _dispatch(self) -> None:
        """Run the complete request. Reading pauses until the response is sent: one request at a time."""
        self._body = None
        self._stop_waiting()
        self._transport.pause_reading()
        self._server.total_requests += 1
        whole, self._whole = self._whole, b""
        self._exchange = _Exchange(self._transport, self._scope, whole, self._server.default_headers)
        task = self._loop.create_task(self._exchange.run(self._app))
        self._server.tasks.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._server.tasks.discard(task)
        exchange, self._exchange = self._exchange, None
        if self._transport.is_closing():
            return
        if self._closing or exchange is None or not exchange.may_continue:
            self._transport.close()
            return
        self._transport.resume_reading()
        self._wait_for_request()
        if self._head_bytes:
            self._read_head()

    def _wait_for_request(self) -> None:
        self._idle = self._loop.call_later(_IDLE_SECONDS, self._transport.close)

    def _stop_waiting(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _refuse(self, status: int) -> None:
        self._transport.write(_status_line(status) + b"connection: close\r\ncontent-length: 0\r\n\r\n")
        self._transport.close()

    def _read_scope(self, head: bytes) -> Scope:
        first, *lines = head.split(b"\r\n")
        request = _REQUEST_LINE.match(first)
        if request is None:
            raise _Malformed(400)
        if len(lines) > _MOST_HEADERS:
            raise _Malformed(431)
        headers, spelled = [], {}
        for line in lines:
            match = _HEADER.match(line)
            if match is None:
                raise _Malformed(400)
            headers.append((match[1].lower(), match[2]))
            if match[1] != headers[-1][0]:
                spelled[headers[-1][0].decode("latin-1")] = match[1].decode("latin-1")
        raw_path, _, query = request[2].partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": f"1.{request[3].decode()}",
            "method": request[1].decode(),
            "scheme": "http",
            "path": unquote(raw_path.decode()),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": headers,
            SPELLED: spelled,
            "client": self._transport.get_extra_info("peername"),
            "server": self._transport.get_extra_info("sockname"),
        }


class _Exchange:
    """One request and its response, in ASGI terms. `may_continue`: another request may follow."""

    def __init__(
        self,
        transport: asyncio.Transport,
        scope: Scope,
        body: bytes | memoryview,
        default_headers: list[tuple[bytes, bytes]],
    ) -> None:
        self._transport = transport
        self._scope = scope
        self._body: bytes | memoryview | None = body
        self._default_headers = default_headers
        self._head = b""
        self._complete = False
        self._gone = asyncio.Event()
        self.drained = asyncio.Event()
        self.drained.set()
        asked = _header(scope["headers"], b"connection").lower()
        self.may_continue = scope["http_version"] == "1.1" and asked != b"close"

    def lost(self) -> None:
        self._gone.set()
        self.drained.set()

    async def run(self, app: ASGIApp) -> None:
        try:
            await app(self._scope, self._receive, self._send)
        except Exception:
            _log.exception("%s %s failed", self._scope["method"], self._scope["path"])
        if not self._complete:  # no other response can follow a missing or partial one
            self.may_continue = False

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._gone.is_set():
            raise ConnectionResetError("The client has disconnected.")
        if message["type"] == "http.response.start":
            self._head = self._render(message["status"], list(message.get("headers", ())))
            return
        body = b"" if self._scope["method"] == "HEAD" else message.get("body", b"")
        if self._head and len(body) <= _JOINED_BYTES:
            self._transport.write(self._head + body)
        else:
            self._transport.writelines([self._head, body])
        self._head = b""
        self._complete = not message.get("more_body", False)
        if not self._complete:
            await self.drained.wait()

    def _render(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        """A response without a length ends when the connection closes."""
        if not any(name == b"content-length" for name, _ in headers):
            self.may_continue = False
        if not self.may_continue:
            headers.append((b"connection", b"close"))
        lines = [b"%b: %b\r\n" % header for header in (*self._default_headers, *headers)]
        if any(b"\n" in line[:-2] or b"\r" in line[:-2] for line in lines):
            raise ValueError("A response header contains a line break.")
        return _status_line(status) + b"".join(lines) + b"\r\n"


def _content_length(headers: list[tuple[bytes, bytes]]) -> int:
    """0 if there is none. Refuses a chunked body: its length is unknown before it is read."""
    lengths = {value for name, value in headers if name == b"content-length"}
    if any(name == b"transfer-encoding" for name, _ in headers):
        raise _Malformed(411)
    if not lengths:
        return 0
    text = lengths.pop()
    if lengths or not text.isdigit() or len(text) > 19:
        raise _Malformed(400)
    return int(text)


def _header(headers: list[tuple[bytes, bytes]], wanted: bytes) -> bytes:
    return next((value for name, value in headers if name == wanted), b"")


def _status_line(status: int) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (status, _REASONS.get(status, b""))
