"""HTTP/1.1 as uvicorn and httptools speak it, within limits. Owns what a connection may cost before a route.

What a client sends beside its body (request line, headers, chunk headers, trailers) is bounded in bytes and
in number. Time is bounded wherever this side waits for the client: for headers, for the rest of a body that
nobody reads any more, and for a client to take in what was written. How long a body may take while it is
read, and how large it may be, is `limits`. Requests to change the protocol (`Upgrade: h2c`) are answered over
HTTP/1.1, which RFC 9110 allows: the parser alone would drop their bodies. HTTP/1.0 gets no chunks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import httptools
from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MOST_HEADER_BYTES = 64 * 1024  # without a byte of body between them; `limits` allows a request's headers less
MOST_HEADERS = 128  # trailers are counted with the headers
HEADER_SECONDS = 30.0
REST_SECONDS = 10.0  # for a body whose request is answered already

_PIECE_BYTES = 16 * 1024  # fed to the parser at once, and so the error of the count
_CHANGES_PROTOCOL = frozenset({b"upgrade", b"http2-settings"})
_BODY = b'{"error":{"message":"%s","type":"invalid_request_error","param":null,"code":"%s"}}'
_RESPONSE = (
    b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
)


async def _send_without_chunks(cycle: RequestResponseCycle, message: Message) -> None:
    """For a client of HTTP/1.0, which knows no chunks: a body of unknown length ends with the connection.

    uvicorn would send chunks; told of a length it adds none, and it counts what is left of it.
    """
    if message["type"] == "http.response.start":
        names = {name.lower() for name, _ in message.get("headers", [])}
        if b"content-length" not in names:
            cycle.chunked_encoding = False
    elif cycle.expected_content_length == 0:
        cycle.expected_content_length = len(message.get("body", b""))
    await RequestResponseCycle.send(cycle, message)  # type: ignore[arg-type]


class _Refused(Exception):
    """Stops the parser: the connection was refused in one of its callbacks."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection. It is cut off when the client takes in nothing of what waits for it for too long."""

    unread_seconds = 30.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._in_body = self._has_progress = False
        self._header_count = 0
        self._plain_head = b""
        self._await_headers()
        self._unread: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        self._stop_unread()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        for start in range(0, len(data), _PIECE_BYTES):
            if self.transport.is_closing():
                return
            self._take(data[start : start + _PIECE_BYTES])
        idle = not self._in_headers and not self._in_body and self.cycle.response_complete
        if idle and self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self._await_next_request()

    def on_message_begin(self) -> None:
        if not self._in_headers:  # not the first request of the connection
            self._await_headers()
        self._header_count = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        if self._header_count > MOST_HEADERS:
            self._refuse_headers()
            raise _Refused
        if self._in_headers:  # trailers are dropped: the application was given its headers already
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._deadline.cancel()
        if self.parser.should_upgrade():
            self._plain_head = self._head_without_upgrade()
            return
        self._in_headers, self._in_body = False, True
        super().on_headers_complete()
        if self.scope["http_version"] == "1.0":
            self.cycle.send = partial(_send_without_chunks, self.cycle)  # type: ignore[method-assign]

    def on_body(self, body: bytes) -> None:
        self._has_progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._plain_head:
            return
        self._has_progress, self._in_body = True, False
        if self.cycle.response_complete:
            self._deadline.cancel()  # of the rest that nobody reads
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_unread()
        elif self._in_body and self.cycle.response_complete:
            self._set_deadline(REST_SECONDS, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        self._refuse(b"400 Bad Request", b"invalid_request", msg.encode("ascii"))

    def timeout_keep_alive_handler(self) -> None:
        """A client that takes in nothing would keep a connection that waits for it open for ever."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_unread()

    def resume_writing(self) -> None:
        self._stop_unread()
        super().resume_writing()

    def _take(self, piece: bytes) -> None:
        """Parse, and count what came since the last byte of a body or the end of a request."""
        self._has_progress = False
        self._parse(piece)
        if self._has_progress:
            self._header_bytes = 0
            return
        self._header_bytes += len(piece)
        if self._header_bytes > MOST_HEADER_BYTES:
            self._refuse_headers()

    def _parse(self, piece: bytes) -> None:
        while piece:
            try:
                self.parser.feed_data(piece)
                return
            except httptools.HttpParserUpgrade as stopped:
                # The same request again, as one that asks for no other protocol; its body is in the rest.
                piece = self._plain_head + piece[stopped.args[0] :]
                self._plain_head = b""
                self.parser = httptools.HttpRequestParser(self)
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                return

    def _head_without_upgrade(self) -> bytes:
        """The request's line and headers as they came, but for what asks for another protocol.

        Stops the parser for CONNECT, which is nothing else.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(b"405 Method Not Allowed", b"method_not_allowed", b"CONNECT is not supported")
            raise _Refused
        lines = [b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                kept = [token for token in tokens if token.lower() not in _CHANGES_PROTOCOL]
                lines += [b"connection: " + b", ".join(kept)] if kept else []
            elif name not in _CHANGES_PROTOCOL:
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    def _await_headers(self) -> None:
        self._in_headers = True
        self._header_bytes = 0
        self._set_deadline(HEADER_SECONDS, self._too_slow)

    def _await_next_request(self) -> None:
        """What came was no request, such as empty lines or the rest of a body: wait on as before it."""
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _set_deadline(self, seconds: float, passed: Callable[[], None]) -> None:
        if hasattr(self, "_deadline"):
            self._deadline.cancel()
        self._deadline: asyncio.TimerHandle = self.loop.call_later(seconds, passed)

    def _too_slow(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._set_deadline(HEADER_SECONDS, self._too_slow)  # an earlier request is being answered
            return
        self._refuse(b"408 Request Timeout", b"request_timeout", b"the request did not come")

    def _watch_unread(self) -> None:
        self._stop_unread()
        waiting_bytes = self.transport.get_write_buffer_size()
        if waiting_bytes:
            self._unread = self.loop.call_later(self.unread_seconds, self._check_unread, waiting_bytes)

    def _check_unread(self, before_bytes: int) -> None:
        """A client that is only slow may go on; one that took in nothing holds a place for nothing."""
        if self.transport.get_write_buffer_size() >= before_bytes:
            self.transport.abort()
        else:
            self._watch_unread()

    def _stop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _refuse_headers(self) -> None:
        self._refuse(
            b"431 Request Header Fields Too Large", b"headers_too_large", b"the headers are too large"
        )

    def _refuse(self, status: bytes, code: bytes, message: bytes) -> None:
        """Say so where nothing was said yet in answer to this request, and close."""
        if self.transport.is_closing():
            return
        if self._may_answer():
            body = _BODY % (message, code)
            self.transport.write(_RESPONSE % (status, len(body), body))
        self.transport.close()

    def _may_answer(self) -> bool:
        if self.cycle is None:
            return True
        if self._in_headers:  # then the cycle is that of an earlier request
            return bool(self.cycle.response_complete)
        return not self.cycle.response_started


def http_protocol(unread_seconds: float) -> type[BoundedHttpProtocol]:
    """The protocol with a bound of its own for clients that read nothing, as uvicorn takes it: a class."""
    return type("HttpProtocol", (BoundedHttpProtocol,), {"unread_seconds": unread_seconds})
