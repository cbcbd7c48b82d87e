"""The model's app, as the front reaches it through its ingress. Owns what is sent on and what comes back.

Requests and answers stay as they are, but for the headers that belong to one connection.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx

RawHeaders = list[tuple[bytes, bytes]]

CONNECT_SECONDS = 10.0
READ_SECONDS = 3600.0  # an ingress ends a request much earlier
HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
     b"trailer", b"transfer-encoding", b"upgrade", b"expect")
)  # fmt: skip
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=30.0)
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Errors after which a request may be sent again: nothing of it has left."""


class Upstream:
    """Sends requests to `url`, which has no path. Close it at the end."""

    def __init__(self, url: str) -> None:
        self.url = httpx.URL(url)
        self._transport = httpx.AsyncHTTPTransport(limits=_LIMITS, trust_env=False)

    @asynccontextmanager
    async def answer(
        self,
        method: str,
        target: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes | AsyncIterable[bytes] | None,
        *,
        read_seconds: float = READ_SECONDS,
    ) -> AsyncIterator[httpx.Response]:
        """The head of the answer; its body is `chunks`. Raises httpx.TransportError."""
        response = await self.send(method, target, headers, body, read_seconds=read_seconds)
        try:
            yield response
        finally:
            await response.aclose()

    async def send(
        self,
        method: str,
        target: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes | AsyncIterable[bytes] | None,
        *,
        read_seconds: float = READ_SECONDS,
    ) -> httpx.Response:
        """The same for who closes the answer."""
        length = frozenset((b"content-length",)) if body is None or isinstance(body, bytes) else frozenset()
        kept = _end_to_end(headers, HOP_BY_HOP | {b"host"} | length)
        timeout = {"connect": CONNECT_SECONDS, "read": read_seconds, "write": None, "pool": CONNECT_SECONDS}
        request = httpx.Request(
            method,
            self.url.copy_with(raw_path=target),
            headers=kept,
            content=body,
            extensions={"timeout": timeout},
        )
        return await self._transport.handle_async_request(request)

    async def close(self) -> None:
        await self._transport.aclose()


def answer_headers(response: httpx.Response) -> RawHeaders:
    """The headers of an answer for the client; the date is written by who answers it."""
    return _end_to_end(response.headers.raw, HOP_BY_HOP | {b"date"})


async def chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it came, still encoded if it was."""
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - that of an async transport
    async for chunk in response.stream:
        yield chunk


def upstream_url(name: str) -> str:
    """The address of the app with this name, as `infra/inference.config.json` has it: TLS but on loopback."""
    if "://" in name:
        return name.rstrip("/")
    host = urlsplit(f"//{name}").hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    return f"{'http' if local else 'https'}://{name}"


def _end_to_end(headers: Iterable[tuple[bytes, bytes]], dropped: frozenset[bytes]) -> RawHeaders:
    lowered = [(name.lower(), value) for name, value in headers]
    listed = {
        token.strip().lower()
        for name, value in lowered
        if name == b"connection"
        for token in value.split(b",")
    }
    return [(name, value) for name, value in lowered if name not in dropped and name not in listed]
