"""HTTP/1.1 as uvicorn and httptools speak it, with an end to requests that never begin.

Owns the two limits that can only be kept while bytes come in: how many a request may send before its headers
are complete, and how long that may take. The parser keeps what is incomplete, so without the first one client
could fill the memory, and without the second a few thousand could hold all file descriptors.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADER_BYTES = 64 * 1024
HEADER_SECONDS = 30.0

_BODY = b'{"error":{"message":"%s","type":"invalid_request_error","param":null,"code":"%s"}}'
_RESPONSE = (
    b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
)


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._in_headers:
            return
        self._header_bytes += len(data)
        if self._header_bytes > MOST_HEADER_BYTES and not self.transport.is_closing():
            self._refuse(
                b"431 Request Header Fields Too Large", b"headers_too_large", b"the headers are too large"
            )

    def on_message_begin(self) -> None:
        if not self._in_headers:  # not the first request of the connection
            self._await_headers()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._deadline.cancel()
        super().on_headers_complete()

    def _await_headers(self) -> None:
        self._in_headers = True
        self._header_bytes = 0
        self._deadline: asyncio.TimerHandle = self.loop.call_later(HEADER_SECONDS, self._too_slow)

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self._refuse(b"408 Request Timeout", b"request_timeout", b"the request did not come")

    def _refuse(self, status: bytes, code: bytes, message: bytes) -> None:
        body = _BODY % (message, code)
        self.transport.write(_RESPONSE % (status, len(body), body))
        self.transport.close()
