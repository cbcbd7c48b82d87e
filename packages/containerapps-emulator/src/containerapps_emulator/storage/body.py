"""The body of one request: read once, or drained and discarded. Knows its length, not its meaning."""

from __future__ import annotations

from typing import Final

from starlette.requests import ClientDisconnect, Request

from containerapps_emulator.storage import structured
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.store.content import MAX_WRITE_BYTES

_MAX_DRAINED_BYTES: Final = 4 * MAX_WRITE_BYTES


class Body:
    """At most MAX_WRITE_BYTES long, beside the framing of a message.

    Raises ClientDisconnect if the client disconnects during it.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._complete = False

    async def read(self) -> bytes | memoryview:
        """Return the body, without a copy if the server passes it in one piece."""
        length = self._request.headers.get("content-length")
        if length is None:
            if "transfer-encoding" in self._request.headers:
                raise FilesError("MissingContentLengthHeader")
            return b""
        if not length.isascii() or not length.isdigit():
            raise FilesError("InvalidHeaderValue", f"Content-Length: {length}")
        most = MAX_WRITE_BYTES + (structured.FRAMING_BYTES if structured.NAME in self._request.headers else 0)
        if int(length) > most:
            raise FilesError("RequestBodyTooLarge", f"At most {most} bytes, not {length}.")
        parts = [await self._next()]
        while not self._complete:
            parts.append(await self._next())
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def drain(self) -> None:
        """Discard the rest of the body, up to a limit: the client reads the error after it has sent all."""
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
