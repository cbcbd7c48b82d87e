"""How large a request may be, and how slowly its body may come. Owns both limits; reads no content.

The body is read here, whole, before anything else looks at it: what comes after waits for no client.
"""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from remora.errors import BodyTooLarge, BodyTooSlow, HeadersTooLarge, InvalidInput, RemoraError
from remora.server.access.unpacking import unpacked
from remora.server.wire.problems import problem_response

SMALL_BODY_BYTES = 8 * 1024  # a sign-in form


class HeaderLimit:
    """ASGI middleware: refuses requests whose line and headers are too large together."""

    def __init__(self, app: ASGIApp, max_header_bytes: int) -> None:
        self.app = app
        self.max_header_bytes = max_header_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _header_bytes(scope) > self.max_header_bytes:
            error = HeadersTooLarge(f"the request's headers are larger than {self.max_header_bytes} bytes")
            await _refuse(error, scope, receive, send)
            return
        await self.app(scope, receive, send)


class BodyLimit:
    """ASGI middleware: refuses a body that announces itself too large, turns out so, or does not come.

    `small_paths` are those that anybody may ask: they take `SMALL_BODY_BYTES`, since what one connection may
    make us keep, thousands may.
    """

    def __init__(
        self, app: ASGIApp, max_body_bytes: int, body_seconds: float, small_paths: frozenset[str]
    ) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes
        self.body_seconds = body_seconds
        self.small_paths = small_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        announced = headers.get("content-length", "0")
        if announced == "0" and "transfer-encoding" not in headers:
            await self.app(scope, receive, send)
            return
        most_bytes, encoding = self._most_bytes(scope), headers.get("content-encoding", "")
        try:
            body = await self._read(announced, receive, most_bytes)
            if body is None:
                return
            if encoding:
                body, scope = unpacked(body, encoding, most_bytes), _without(scope, b"content-encoding")
        except (BodyTooLarge, BodyTooSlow, InvalidInput) as error:
            await _refuse(error, scope, receive, send)
            return
        await self.app(scope, _replayed(body, receive), send)

    def _most_bytes(self, scope: Scope) -> int:
        small = scope["path"] in self.small_paths
        return min(SMALL_BODY_BYTES, self.max_body_bytes) if small else self.max_body_bytes

    async def _read(self, announced: str, receive: Receive, most_bytes: int) -> bytes | None:
        """The whole body; None where the client went away in the middle of it."""
        if announced.isdigit() and int(announced[:20]) > most_bytes:
            raise _too_large(most_bytes)
        parts: list[bytes] = []
        received_bytes, more = 0, True
        try:
            async with asyncio.timeout(self.body_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    parts.append(message.get("body", b""))
                    received_bytes += len(parts[-1])
                    if received_bytes > most_bytes:
                        raise _too_large(most_bytes)
                    more = message.get("more_body", False)
        except TimeoutError:
            raise BodyTooSlow(
                f"the request's body was not complete after {self.body_seconds:g} seconds"
            ) from None
        return b"".join(parts)


def _without(scope: Scope, header: bytes) -> Scope:
    """In place: what was noted of a request is looked up in its own scope."""
    scope["headers"] = [pair for pair in scope["headers"] if pair[0] != header]
    return scope


def _too_large(most_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the request body is larger than {most_bytes} bytes")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives the body once, then whatever else there is to receive: that the client has gone."""
    first: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def replay() -> Message:
        nonlocal first
        if first is None:
            return await receive()
        message, first = first, None
        return message

    return replay


def _header_bytes(scope: Scope) -> int:
    line = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    return line + sum(len(name) + len(value) for name, value in scope["headers"])


async def _refuse(error: RemoraError, scope: Scope, receive: Receive, send: Send) -> None:
    """The rest of such a request is not read: the connection ends with the answer."""
    response = problem_response(error)
    response.headers["connection"] = "close"
    await response(scope, receive, send)
