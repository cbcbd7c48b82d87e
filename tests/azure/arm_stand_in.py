"""A server that answers as ARM does where a local cloud cannot be brought to: scripted by the test.

Knows nothing but paths and answers. A path that was not scripted is 404, as a resource that is not there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from remora.azure.profile import Clients, CloudProfile

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    authorization: str
    query: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """JSON, or raw chunks after which the connection is cut."""

    status: int = 200
    document: Any = None
    chunks: Iterable[bytes] | None = None


Script = Callable[[Asked], Answer]


@dataclass
class ArmStandIn:
    """`answers`: (method, path after the subscription, lower case) → what to say."""

    answers: dict[tuple[str, str], Script | Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> ArmStandIn:
        stand_in = self

        class Handler(_Handler):
            arm = stand_in

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def clients(self) -> Clients:
        profile = CloudProfile(
            name="stand-in",
            arm_url=self.url,
            endpoint_scheme="http",
            poll_seconds=0.01,
            retries=0,
            default_location=None,
            token="token",
        )
        return Clients(profile, SUBSCRIPTION)

    def changes(self) -> list[Asked]:
        """The requests that would have changed something."""
        return [asked for asked in self.asked if asked.method in ("PUT", "PATCH", "DELETE")]

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        path = asked.path.lower().removeprefix(f"/subscriptions/{SUBSCRIPTION}".lower()).strip("/")
        script = self.answers.get((asked.method, path))
        if script is None:
            error = {"code": "ResourceNotFound", "message": f"{asked.path} was not found"}
            return Answer(404, {"error": error})
        return script if isinstance(script, Answer) else script(asked)


class _Handler(BaseHTTPRequestHandler):
    arm: ArmStandIn

    def do_any(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        asked = Asked(self.command, url.path, self.headers.get("authorization", ""), url.query, body)
        answer = self.arm.answer(asked)
        self.send_response(answer.status)
        self.send_header("content-type", "application/json")
        if answer.chunks is None:
            data = b"" if answer.document is None else json.dumps(answer.document).encode()
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            return
        self.end_headers()
        for chunk in answer.chunks:
            self.wfile.write(chunk)
            self.wfile.flush()

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = do_any  # noqa: N815

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
        """Print nothing."""
