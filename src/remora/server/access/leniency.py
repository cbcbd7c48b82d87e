"""An endpoint that is not strict. Owns the header that says what of a request was ignored."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from remora.server.wire.lenience import lenient

WARNING_HEADER = "x-remora-warning"


class Lenient:
    """ASGI middleware: what a schema does not know is left out of a request, and named in a header."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with lenient() as ignored:

            async def warned(message: Message) -> None:
                if message["type"] == "http.response.start" and ignored:
                    names = ", ".join(sorted({name.encode("ascii", "replace").decode() for name in ignored}))
                    MutableHeaders(scope=message)[WARNING_HEADER] = f"ignored, not supported: {names}"
                await send(message)

            await self.app(scope, receive, warned)
