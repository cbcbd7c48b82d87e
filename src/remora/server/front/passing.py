"""The way of a request to the model's app and back. Owns what a client sees while that app sleeps or starts.

    a stream          200 at once, then signs of life with the progress, then the very bytes of the answer
    the chat page     a page with the progress, which loads itself anew
    /metrics          503: nobody's figures are worth a start
    everything else   waits, up to a bound; then 503 with Retry-After

While the app is awake nothing is added or taken: bytes go through as they come, both ways.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import httpx
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse
from starlette.types import Receive, Scope, Send

from remora.errors import NotReady, Overloaded, RemoraError
from remora.server.access.auth import METRICS_PATH
from remora.server.access.fronted import fronted_headers
from remora.server.access.key_ring import KeyRing
from remora.server.access.limits import BodyLimit
from remora.server.front.incoming import Incoming, has_body
from remora.server.front.model import Model
from remora.server.front.settings import FrontSettings
from remora.server.front.streams import StreamForm, error_end, form_of, wants_stream
from remora.server.front.upstream import NOT_SENT, Upstream, answer_headers, chunks
from remora.server.telemetry.request_log import REQUEST_ID
from remora.server.telemetry.request_record import CURRENT
from remora.server.wire.dialects import dialect_of
from remora.server.wire.page_file import page_file

TELL_SECONDS: Final = 0.9  # a sign of life comes at least every second
PATIENCE_SECONDS: Final = 0.5
"""A stream that has no head by then begins here: short, since its client may be behind a hasty proxy."""
AWAKE_PATIENCE_SECONDS: Final = 5.0
"""Longer where the app is awake: then its own status is worth more than a sign of life."""
STREAM_SECONDS: Final = 1200.0
MOST_HELD_BYTES: Final = 48 * 1024 * 1024
MOST_ERROR_BYTES: Final = 64 * 1024
_PAGE_PATHS: Final = frozenset({"/", "/side-by-side"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is to be passed on. What has to wait whole in memory is `body` as bytes."""

    method: str
    path: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes | AsyncIterator[bytes] | None

    @property
    def held_bytes(self) -> int:
        return len(self.body) if isinstance(self.body, bytes) else 0


class Passing:
    """ASGI application behind the front's guards and its own routes."""

    def __init__(self, upstream: Upstream, model: Model, keys: KeyRing, settings: FrontSettings) -> None:
        self._upstream = upstream
        self._model = model
        self._keys = keys
        self._wait_seconds = settings.wait_seconds
        self._page = page_file("starting.html", css=("card.css",)) if settings.serve.chat_page else ""
        self._limited = BodyLimit(
            self._with_body, settings.serve.max_body_bytes, settings.serve.body_seconds, frozenset()
        )
        self._held_bytes = 0
        self._nudge: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on. Raises NotReady or Overloaded before an answer has begun."""
        if form_of(scope["method"], scope["path"]):
            await self._limited(scope, receive, send)
        elif scope["path"] == METRICS_PATH and self._model.state:
            raise NotReady(self._model.state)
        elif self._page and not self._model.is_awake and _wants_page(scope):
            self._wake_for_page()
            page = HTMLResponse(self._page, 503, headers={"cache-control": "no-store", "retry-after": "1"})
            await page(scope, receive, send)
        else:
            incoming = Incoming(receive)
            asked = self._asked(scope, incoming.chunks() if has_body(scope) else None)
            await _while_connected(incoming, self._whole(asked, send))

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request to a route that can stream, whose body says whether it does."""
        incoming = Incoming(receive)
        body = await incoming.whole()
        form = form_of(scope["method"], scope["path"])
        if body is None or form is None:
            return
        asked = self._asked(scope, body)
        streams = wants_stream(form, body)
        await _while_connected(
            incoming, self._stream(asked, form, send) if streams else self._whole(asked, send)
        )

    def _asked(self, scope: Scope, body: bytes | AsyncIterator[bytes] | None) -> Asked:
        query = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        others = [pair for pair in scope["headers"] if pair[0] != REQUEST_ID]
        named = (REQUEST_ID, CURRENT.get().request_id.encode())
        headers = [*others, named, *fronted_headers(self._keys.keys[0], scope)]
        return Asked(scope["method"], scope["path"], target, headers, body)

    def _wake_for_page(self) -> None:
        """The page's own request is answered already, and nothing else waits for the model."""
        if self._nudge is not None:
            return

        async def wake() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(STREAM_SECONDS):
                    await self._model.wake()
            self._nudge = None

        self._nudge = asyncio.create_task(wake())

    async def _whole(self, asked: Asked, send: Send) -> None:
        response = await self._reached(asked, self._wait_seconds)
        try:
            await _pass_back(response, send)
        finally:
            await response.aclose()

    async def _stream(self, asked: Asked, form: StreamForm, send: Send) -> None:
        patience = AWAKE_PATIENCE_SECONDS if self._model.is_awake else PATIENCE_SECONDS
        reaching = asyncio.create_task(self._reached(asked, STREAM_SECONDS))
        try:
            await asyncio.wait({reaching}, timeout=patience)
            if reaching.done():
                await _pass_back(reaching.result(), send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": form.headers})
            while not reaching.done():
                await _send_part(send, form.alive(self._model.state or "waiting for the answer"))
                await asyncio.wait({reaching}, timeout=TELL_SECONDS)
            await _go_on(reaching, asked.path, send)
        finally:
            await _close(reaching)

    async def _reached(self, asked: Asked, wait_seconds: float) -> httpx.Response:
        """The head of the answer. Raises NotReady where the model is not awake in time, or out of reach."""
        until = asyncio.get_running_loop().time() + wait_seconds
        self._hold(asked.held_bytes)
        try:
            while True:
                try:
                    async with asyncio.timeout_at(until):
                        await self._model.wake()
                except TimeoutError:
                    raise self._model.not_yet(wait_seconds) from None
                try:
                    response = await self._upstream.send(
                        asked.method, asked.target, asked.headers, asked.body
                    )
                except NOT_SENT:
                    self._model.lost()
                    continue
                self._model.answered()
                return response
        except httpx.TransportError as error:
            self._model.lost()
            raise NotReady("the connection to the model's app broke", hint="ask again") from error
        finally:
            self._held_bytes -= asked.held_bytes

    def _hold(self, size_bytes: int) -> None:
        """Count what waits in memory; only where the model sleeps it waits for long."""
        if not self._model.is_awake and self._held_bytes + size_bytes > MOST_HELD_BYTES:
            raise Overloaded("too many requests wait for the model to start", hint="ask again in a moment")
        self._held_bytes += size_bytes


def _wants_page(scope: Scope) -> bool:
    wants = "text/html" in Headers(scope=scope).get("accept", "")
    return scope["method"] == "GET" and scope["path"] in _PAGE_PATHS and wants


async def _while_connected(incoming: Incoming, work: Coroutine[Any, Any, None]) -> None:
    """Do the work as long as its client is there; so a client that goes away ends what it has asked for."""
    working, watching = asyncio.create_task(work), asyncio.create_task(incoming.watch())
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.wait({working, watching})


async def _go_on(reaching: asyncio.Task[httpx.Response], path: str, send: Send) -> None:
    """The rest of a stream that has begun here: its status is long sent, so an error is an event."""
    try:
        response = reaching.result()
    except RemoraError as error:
        await _send_part(send, dialect_of(path).last(error), more=False)
        return
    if response.is_success:
        await _pass_body(response, send)
        return
    body = b""
    async for chunk in chunks(response):
        body += chunk
        if len(body) > MOST_ERROR_BYTES:
            break
    await _send_part(send, error_end(path, response.status_code, body), more=False)


async def _pass_back(response: httpx.Response, send: Send) -> None:
    start = {
        "type": "http.response.start",
        "status": response.status_code,
        "headers": answer_headers(response),
    }
    await send(start)
    await _pass_body(response, send)


async def _pass_body(response: httpx.Response, send: Send) -> None:
    async for chunk in chunks(response):
        await _send_part(send, chunk)
    await _send_part(send, b"", more=False)


async def _send_part(send: Send, data: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def _close(reaching: asyncio.Task[httpx.Response]) -> None:
    """End it, and close its answer: that stops the model's work for a client that has gone."""
    reaching.cancel()
    await asyncio.wait({reaching})
    if not reaching.cancelled() and reaching.exception() is None:
        await reaching.result().aclose()
