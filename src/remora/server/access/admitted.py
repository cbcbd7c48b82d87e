"""The door to the routes that make text. Owns counting a request in, and the longest that it may take.

An answer that has begun can only end with an error event. The clock is the event loop's, which only goes
forward: setting the machine's time ends nothing early.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from remora.errors import DeadlineExceeded, Draining, Overloaded, RemoraError
from remora.server.access.admission import Admission
from remora.server.access.auth import caller_of
from remora.server.wire.dialects import MESSAGES_PATH, dialect_of
from remora.server.wire.problems import problem_response

PAGE_CHAT_PATH = "/side-by-side/chat"  # the same answers for the page, which has a session and no key
PAGE_COLOURS_PATH = "/side-by-side/colours"
PATHS = frozenset(
    {
        PAGE_CHAT_PATH,
        PAGE_COLOURS_PATH,
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        MESSAGES_PATH,
        "/api/chat",
        "/api/generate",
    }
)


class Admitted:
    """ASGI middleware: refuses what is too much, and cancels what is not answered in time.

    A cancelled request's generation stops within one step of the engine.
    """

    def __init__(self, app: ASGIApp, admission: Admission, timeout_seconds: float) -> None:
        self.app = app
        self.admission = admission
        self.timeout_seconds = timeout_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in PATHS or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        key_name = _key_name(scope)
        try:
            self.admission.enter(key_name)
        except (Draining, Overloaded) as error:
            await _refuse(error, scope, receive, send)
            return
        try:
            await self._in_time(scope, receive, send)
        finally:
            self.admission.leave(key_name)

    async def _in_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Sent(send)
        deadline = asyncio.timeout(self.timeout_seconds)
        try:
            async with deadline:
                with self.admission.until_cut_off(deadline):
                    await self.app(scope, receive, answer.send)
        except TimeoutError:
            if not deadline.expired():
                raise
            await answer.end_with(self._error(), scope, receive)

    def _error(self) -> RemoraError:
        if self.admission.is_cut_off:
            return Draining("the endpoint stopped before the answer was complete", hint="ask again")
        return DeadlineExceeded(
            f"the answer was not complete after {self.timeout_seconds:g} seconds",
            hint="ask for fewer tokens, or raise serve.request_timeout_seconds",
        )


class _Sent:
    """What was sent of an answer, and so how it can still end."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._began = self._ended = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._began = True
        elif not message.get("more_body", False):
            self._ended = True
        await self._send(message)

    async def end_with(self, error: RemoraError, scope: Scope, receive: Receive) -> None:
        if self._ended:
            return
        if not self._began:
            await _refuse(error, scope, receive, self._send)
            return
        # Only streams begin before they are complete.
        last = dialect_of(scope["path"]).last(error)
        await self._send({"type": "http.response.body", "body": last, "more_body": False})


async def _refuse(error: RemoraError, scope: Scope, receive: Receive, send: Send) -> None:
    response = problem_response(error)
    if isinstance(error, Draining):
        response.headers["connection"] = "close"
    await response(scope, receive, send)


def _key_name(scope: Scope) -> str:
    """What a request is counted under; those without a key share one name."""
    caller = caller_of(scope)
    return caller.name if caller else "-"
