"""The outermost layer. Owns `x-request-id`, the headers of every answer, the record of every request, and the
answer to an error that nobody foresaw.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Iterable, Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from remora.errors import RemoraError
from remora.server.access.admitted import PATHS as COUNTED_PATHS
from remora.server.access.auth import caller_of
from remora.server.telemetry.request_record import CURRENT, RequestRecord
from remora.server.wire.dialects import dialect_of
from remora.server.wire.problems import problem_response

# A client's own id is kept where it can do no harm in a log.
ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
REQUEST_ID = b"x-request-id"
TIME_HEADER = "x-remora-time-ms"  # until the answer begins: all of it, where it is not streamed
OWN_PATHS = (
    "/v1",
    "/api",
    "/health",
    "/healthz",
    "/ping",
    "/version",
    "/readyz",
    "/metrics",
    "/tokenize",
    "/detokenize",
    "/login",
    "/logout",
)  # all others are the page's

RecordSink = Callable[[RequestRecord], None]
RawHeaders = Sequence[tuple[bytes, bytes]]

logger = logging.getLogger(__name__)


class Recorded:
    """ASGI middleware: names every request, and tells the sinks what it came to."""

    def __init__(self, app: ASGIApp, headers: RawHeaders, sinks: Sequence[RecordSink]) -> None:
        self.app = app
        self.headers = tuple(headers)
        self.sinks = tuple(sinks)
        self._own_names = {REQUEST_ID, TIME_HEADER.encode(), *(name for name, _ in headers)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        record = _record(scope)
        started = False

        async def send_named(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                record.status = message["status"]
                message["headers"] = self._with_own(message.get("headers", ()), record, scope["path"])
            await send(message)

        token = CURRENT.set(record)
        try:
            await self.app(scope, receive, send_named)
        except Exception:
            logger.exception("request %s failed: %s %s", record.request_id, record.method, _route(scope))
            if started:
                raise
            error = RemoraError("the endpoint failed", hint=f"its log has more under {record.request_id}")
            await problem_response(error)(scope, receive, send_named)
        finally:
            CURRENT.reset(token)
            self._finish(record, scope)

    def _with_own(
        self, headers: Iterable[tuple[bytes, bytes]], record: RequestRecord, path: str
    ) -> list[tuple[bytes, bytes]]:
        more_name = dialect_of(path).id_header
        own_names = self._own_names | {more_name}
        others = [header for header in headers if header[0] not in own_names]
        time_ms = f"{record.age_seconds * 1000:.2f}".encode()
        request_id = record.request_id.encode()
        return [
            *others,
            *self.headers,
            *([(more_name, request_id)] if more_name else ()),
            (REQUEST_ID, request_id),
            (TIME_HEADER.encode(), time_ms),
        ]

    def _finish(self, record: RequestRecord, scope: Scope) -> None:
        caller = caller_of(scope)
        record.key_name = caller.name if caller else "-"
        record.route = _route(scope)
        record.close()
        for sink in self.sinks:
            sink(record)


def _record(scope: Scope) -> RequestRecord:
    headers = Headers(scope=scope)
    proposed = headers.get("x-request-id", "")
    request_id = proposed if ACCEPTED_ID.fullmatch(proposed) else f"req-{uuid.uuid4().hex}"
    return RequestRecord(request_id, scope["method"], headers.get("traceparent", ""))


def _route(scope: Scope) -> str:
    """The route's own path, never the client's: a label must not grow with what clients make up."""
    if scope["path"] in COUNTED_PATHS:  # it may have been refused before a route was looked for
        return str(scope["path"])
    path = getattr(scope.get("route"), "path", "")
    return path if path.startswith(OWN_PATHS) else "page"
