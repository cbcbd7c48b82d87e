"""What comes from a client: its body, and that it has gone. Owns reading both from one connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.datastructures import Headers
from starlette.types import Receive, Scope

_AHEAD = 4  # chunks of a body that are read before somebody wants them


class Incoming:
    """The body is taken whole before `watch` runs, or in chunks while it does."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)

    async def whole(self) -> bytes | None:
        """The body, whose size somebody has limited; None where the client goes away in the middle of it."""
        parts: list[bytes] = []
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        return b"".join(parts)

    async def watch(self) -> None:
        """Read on; returns when the client has gone."""
        while (message := await self._receive())["type"] != "http.disconnect":
            if chunk := message.get("body", b""):
                await self._chunks.put(chunk)
            if not message.get("more_body", False):
                await self._chunks.put(None)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, while `watch` runs."""
        while (chunk := await self._chunks.get()) is not None:
            yield chunk


def has_body(scope: Scope) -> bool:
    """Whether a body comes with a request."""
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
