"""How large a request may be. Owns the size of the body; knows nothing of its content."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from remora.errors import BodyTooLarge
from remora.server.problems import problem_response


class BodyLimit:
    """ASGI middleware: refuses a body that announces itself too large, and one that turns out so."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdigit() and int(announced) > self.max_body_bytes:
            await problem_response(self._error())(scope, receive, send)
            return
        received_bytes = 0

        async def receive_counted() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > self.max_body_bytes:
                # Whoever reads the body lets only the framework's own exceptions through.
                raise HTTPException(BodyTooLarge.http_status, self._error().message)
            return message

        await self.app(scope, receive_counted, send)

    def _error(self) -> BodyTooLarge:
        return BodyTooLarge(f"the request body is larger than {self.max_body_bytes} bytes")
