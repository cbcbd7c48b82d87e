"""A share and a token endpoint over real HTTP, which fail as a test tells them to."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from threading import Lock, Thread
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from remora.adapters.mirror.mirror import Mirror
from remora.adapters.mirror.rest import RestShare
from remora.adapters.mirror.tokens import Tokens

HEADER = "secret-of-the-endpoint"
CLIENT = "11111111-2222-3333-4444-555555555555"


@dataclass
class FaultyShare:
    """Files by path. `faults` has, for a path, what happens to the next requests of it, one each.

    A number is a status; "cut" ends the connection in the middle, "short" promises less than there is,
    "change" replaces the file first, "ignore-range" answers with the whole file.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[str | int]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    token_seconds: float = 3600
    tokens: int = 0
    token_faults: list[int] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)
    url: str = ""

    def mirror(self, root: Path, *, slept: list[float] | None = None) -> Mirror:
        """A mirror of it, which does not really sleep."""
        pauses: list[float] = [] if slept is None else slept
        return Mirror(root, RestShare(f"{self.url}/account/models", self.credential(), sleep=pauses.append))

    def credential(self) -> Tokens:
        return Tokens(f"{self.url}/msi/token", HEADER, CLIENT, sleep=lambda _: None)

    def fault(self, path: str) -> str | int | None:
        with self.lock:
            self.asked[path] += 1
            waiting = self.faults.get(path) or []
            return waiting.pop(0) if waiting else None

    def etag(self, path: str) -> str:
        return f'"0x{hash(self.files[path]) & 0xFFFFFFFF:08X}"'

    def listing(self, folder: str, marker: str) -> str:
        """Two entries a page."""
        below = {
            PurePosixPath(path).relative_to(folder).parts: path for path in self.files if _in(path, folder)
        }
        names = sorted({parts[0]: parts for parts in below}.items())
        start = int(marker or 0)
        page, rest = names[start : start + 2], names[start + 2 :]
        entries = "".join(self._entry(folder, parts) for _, parts in page)
        return (
            f"<?xml version='1.0' encoding='utf-8'?><EnumerationResults><Entries>{entries}</Entries>"
            f"<NextMarker>{start + 2 if rest else ''}</NextMarker></EnumerationResults>"
        )

    def _entry(self, folder: str, parts: tuple[str, ...]) -> str:
        if len(parts) > 1:
            return f"<Directory><Name>{escape(parts[0])}</Name></Directory>"
        path = f"{folder}/{parts[0]}"
        encoded = escape(quote(parts[0]))
        name = f'<Name Encoded="true">{encoded}</Name>' if "%" in parts[0] else ""
        properties = f"<Content-Length>{len(self.files[path])}</Content-Length><Etag>{self.etag(path)}</Etag>"
        shown = name or f"<Name>{escape(parts[0])}</Name>"
        return f"<File>{shown}<Properties>{properties}</Properties></File>"


def _in(path: str, folder: str) -> bool:
    return PurePosixPath(path) != PurePosixPath(folder) and PurePosixPath(path).is_relative_to(folder)


@contextmanager
def serving(share: FaultyShare) -> Iterator[FaultyShare]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if parts.path == "/msi/token":
                self.token(query)
                return
            path = unquote(parts.path).removeprefix("/account/models/")
            if not self.is_allowed():
                self.answer(401, b"", {"x-ms-error-code": "InvalidAuthenticationInfo"})
            elif query.get("comp") == "list":
                self.list(path, query.get("marker", ""))
            else:
                self.read(path, share.fault(path))

        def token(self, query: dict[str, str]) -> None:
            assert query["api-version"] == "2019-08-01"
            assert (query["resource"], query["client_id"]) == ("https://storage.azure.com", CLIENT)
            status = share.token_faults.pop(0) if share.token_faults else 200
            if self.headers.get("X-IDENTITY-HEADER") != HEADER:
                status = 401
            share.tokens += 1
            expires = str(int(time.time() + share.token_seconds))
            document = {"access_token": f"token-{share.tokens}", "expires_on": expires}
            self.answer(status, json.dumps(document).encode())

        def is_allowed(self) -> bool:
            assert self.headers["x-ms-file-request-intent"] == "backup"
            assert self.headers["x-ms-version"] >= "2022-11-02"
            return self.headers["Authorization"] == f"Bearer token-{share.tokens}"

        def list(self, path: str, marker: str) -> None:
            fault = share.fault(f"{path}/")
            if isinstance(fault, int):
                self.answer(fault, b"", {"x-ms-error-code": "ServerBusy", "Retry-After": "7"})
            elif not any(_in(known, path) for known in share.files):
                self.answer(404, b"", {"x-ms-error-code": "ResourceNotFound"})
            else:
                self.answer(200, share.listing(path, marker).encode())

        def read(self, path: str, fault: str | int | None) -> None:
            if isinstance(fault, int):
                codes = {403: "AuthorizationPermissionMismatch", 429: "ServerBusy"}
                more = {"Retry-After": "7"} if fault == 429 else {}
                self.answer(fault, b"", {"x-ms-error-code": codes.get(fault, "InternalError"), **more})
                return
            if path not in share.files:
                self.answer(404, b"", {"x-ms-error-code": "ResourceNotFound"})
                return
            if fault == "change":
                share.files[path] = share.files[path][::-1]
            data, wanted = share.files[path], self.headers.get("x-ms-range")
            if wanted and fault != "ignore-range":
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                data = data[int(first) : int(last) + 1]
            promised = data[: len(data) // 2] if fault == "short" else data
            headers = {"ETag": share.etag(path)}
            status = 206 if wanted and fault != "ignore-range" else 200
            if fault == "cut":
                self.answer(status, data, headers, sent=len(data) // 2)
                self.close_connection = True
            else:
                self.answer(status, promised, headers)

        def answer(
            self, status: int, body: bytes, headers: dict[str, str] | None = None, sent: int | None = None
        ) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[:sent])

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        share.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield share
        finally:
            server.shutdown()
            thread.join()
