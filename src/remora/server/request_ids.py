"""The outermost layer. Owns `x-request-id` and the answer to an error that nobody foresaw."""

from __future__ import annotations

import logging
import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from remora.errors import RemoraError
from remora.server.problems import problem_response

ACCEPTED_ID = re.compile(
    r"[A-Za-z0-9._-]{1,64}"
)  # a client's own id is kept where it can do no harm in a log

logger = logging.getLogger(__name__)


class RequestIds:
    """ASGI middleware: names every request, in the log and in the answer's headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope).get("x-request-id", ""))
        started = False

        async def send_named(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self.app(scope, receive, send_named)
        except Exception:
            logger.exception("request %s failed: %s %s", request_id, scope["method"], scope["path"])
            if started:
                raise
            error = RemoraError("the endpoint failed", hint=f"its log has more under request {request_id}")
            await problem_response(error)(scope, receive, send_named)


def _request_id(proposed: str) -> str:
    if ACCEPTED_ID.fullmatch(proposed):
        return proposed
    return f"req-{uuid.uuid4().hex}"
