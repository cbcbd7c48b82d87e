"""The body of one request: read whole and once, or read and forgotten. Knows its length, not its meaning."""

from __future__ import annotations

from typing import Final

from starlette.requests import ClientDisconnect, Request

from remora.localcloud.storage.content import MAX_WRITE_BYTES
from remora.localcloud.storage.errors import FilesError

_MAX_DRAINED_BYTES: Final = 4 * MAX_WRITE_BYTES


class Body:
    """At most MAX_WRITE_BYTES long. Raises ClientDisconnect where the client leaves in the middle of it."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._complete = False

    async def read(self) -> bytes | memoryview:
        """As the server hands it over, in one piece where it can: the bytes are not copied."""
        length = self._request.headers.get("content-length")
        if length is None:
            if "transfer-encoding" in self._request.headers:
                raise FilesError("MissingContentLengthHeader")
            return b""
        if not length.isascii() or not length.isdigit():
            raise FilesError("InvalidHeaderValue", f"Content-Length: {length}")
        if int(length) > MAX_WRITE_BYTES:
            raise FilesError("RequestBodyTooLarge", f"At most {MAX_WRITE_BYTES} bytes, not {length}.")
        parts = [await self._next()]
        while not self._complete:
            parts.append(await self._next())
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def drain(self) -> None:
        """Read what the client still sends, within limits: it reads our refusal only when it is done."""
        received_bytes = 0
        try:
            while not self._complete and received_bytes <= _MAX_DRAINED_BYTES:
                received_bytes += len(await self._next())
        except ClientDisconnect:
            return

    async def _next(self) -> bytes | memoryview:
        message = await self._request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self._complete = not message.get("more_body", False)
        part: bytes | memoryview = message.get("body", b"")
        return part
