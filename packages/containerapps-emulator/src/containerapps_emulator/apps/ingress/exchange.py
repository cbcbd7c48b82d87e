"""One request of a client to the ingress and the answer to it: ASGI on this side, headers for the other.

Knows nothing of replicas.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from starlette.types import Receive, Scope, Send

from containerapps_emulator.apps.ingress.upstream import Headers, Upstream

# Headers of one connection, not of the message; and those that the ingress writes itself.
HOP_BY_HOP: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer",
     b"transfer-encoding", b"upgrade", b"proxy-connection", b"expect")
)  # fmt: skip
FORWARDED: Final = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"))
DROPPED: Final = HOP_BY_HOP | FORWARDED
AFFINITY_COOKIE: Final = "remora-affinity"
CHUNKED: Final = (b"transfer-encoding", b"chunked")
BODY_CHUNKS: Final = 4


@dataclass(frozen=True, slots=True)
class Failure:
    """What the ingress answers itself."""

    status: int
    body: bytes
    retry_after_seconds: int = 0
    """Told to the client where it is worth trying again."""


class Exchange:
    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(BODY_CHUNKS)
        self._answered = False
        self._stick_to = ""
        self._headers: dict[bytes, bytes] = dict(scope["headers"])

    @property
    def host(self) -> str:
        """What the client wrote into its Host header."""
        return self._headers.get(b"host", b"").decode("latin-1")

    @property
    def affinity(self) -> str:
        """Which replica the client had, as the cookie tells; "" where it had none."""
        cookies = self._headers.get(b"cookie", b"").decode("latin-1").split(";")
        pairs = (cookie.strip().partition("=") for cookie in cookies)
        return next((value for name, _, value in pairs if name == AFFINITY_COOKIE), "")

    def stick_to(self, affinity: str) -> None:
        """Tell the client with the answer which replica it has, if it does not know."""
        self._stick_to = "" if affinity == self.affinity else affinity

    async def pump(self) -> None:
        """Take the body in, a few chunks ahead; returns when the client has gone."""
        while (message := await self._receive())["type"] != "http.disconnect":
            if chunk := message.get("body", b""):
                await self._chunks.put(chunk)
            if not message.get("more_body", False):
                await self._chunks.put(None)

    def begin(self, upstream: Upstream) -> None:
        """Pass the request on. A second replica may only be given it while no body was taken."""
        chunked = b"transfer-encoding" in self._headers
        headers = _end_to_end(self._scope["headers"]) + self._forwarded()
        target = self._scope["raw_path"]
        if query := self._scope["query_string"]:
            target += b"?" + query
        has_body = chunked or self._headers.get(b"content-length", b"0") != b"0"
        upstream.begin(
            self._scope["method"],
            target,
            [*headers, CHUNKED] if chunked else headers,
            self._body() if has_body else None,
        )

    async def answer(self, upstream: Upstream) -> None:
        """Pass the answer back, each part as it comes."""
        status, headers = await upstream.head()
        headers = _end_to_end(headers)
        if self._stick_to:
            cookie = f"{AFFINITY_COOKIE}={self._stick_to}; Path=/; HttpOnly; SameSite=Lax"
            headers.append((b"set-cookie", cookie.encode()))
        await self._start(status, headers)
        async for chunk in upstream.chunks():
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})

    async def fail(self, failure: Failure) -> None:
        """Answer with a failure of the ingress; an answer already begun is broken off instead."""
        if self._answered:
            return
        length = str(len(failure.body)).encode()
        headers = [(b"content-type", b"text/plain"), (b"content-length", length)]
        if failure.retry_after_seconds:
            headers.append((b"retry-after", str(failure.retry_after_seconds).encode()))
        await self._start(failure.status, headers)
        await self._send({"type": "http.response.body", "body": failure.body})

    async def _start(self, status: int, headers: Headers) -> None:
        self._answered = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self) -> AsyncIterator[bytes]:
        while (chunk := await self._chunks.get()) is not None:
            yield chunk

    def _forwarded(self) -> Headers:
        client = self._scope["client"][0].encode() if self._scope.get("client") else b"unknown"
        former = [value for name, value in self._scope["headers"] if name == b"x-forwarded-for"]
        return [
            (b"x-forwarded-for", b",".join([*former, client])),
            (b"x-forwarded-proto", self._scope["scheme"].encode()),
            (b"x-forwarded-host", self._headers.get(b"host", b"")),
        ]


def _end_to_end(headers: Headers) -> Headers:
    lowered = [(name.lower(), name, value) for name, value in headers]
    listed = {
        token.strip().lower()
        for lower, _, value in lowered
        if lower == b"connection"
        for token in value.split(b",")
    }
    dropped = DROPPED | listed if listed else DROPPED
    return [(name, value) for lower, name, value in lowered if lower not in dropped]
