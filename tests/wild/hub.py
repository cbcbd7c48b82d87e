"""A stand-in for the Hugging Face hub on loopback: the answers that huggingface_hub asks for, of one folder.

Knows models, revisions, sizes, ranges and gated models. Stores nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Models by id; `asked` are the paths of GET requests in their order. `failing` files are refused."""

    models: dict[str, Path]
    token: str = ""
    failing: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def downloaded(self) -> list[str]:
        return [path.rpartition("/")[2] for path in self.asked if "/resolve/" in path]


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub, at `hub.url`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            hub.asked.append(self.path)
            self._answer(with_body=True)

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, *, with_body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
                self._send(401, b"{}", {"X-Error-Code": "GatedRepo"}, with_body)
            elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/.*)?", path):
                self._describe(found[1], found[2] or "", with_body)
            elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
                self._file(hub.models.get(found[1]), found[2], with_body)
            else:
                self._send(404, b"{}", {}, with_body)

        def _describe(self, hub_id: str, kind: str, with_body: bool) -> None:
            folder = hub.models.get(hub_id)
            if folder is None:
                self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, with_body)
                return
            files = sorted(path for path in folder.iterdir() if path.is_file())
            if kind == "tree":
                listed: object = [
                    {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": etag_of(path)}
                    for path in files
                ]
            else:
                siblings = [{"rfilename": path.name} for path in files]
                listed = {"id": hub_id, "sha": COMMIT, "siblings": siblings, "tags": []}
            body = json.dumps(listed).encode()
            self._send(200, body, {"Content-Type": "application/json"}, with_body)

        def _file(self, folder: Path | None, name: str, with_body: bool) -> None:
            path = folder / name if folder else None
            if path is None or not path.is_file():
                code = "EntryNotFound" if folder else "RepoNotFound"
                self._send(404, b"{}", {"X-Error-Code": code, "X-Repo-Commit": COMMIT}, with_body)
                return
            if with_body and name in hub.failing:
                self._send(403, b"{}", {}, with_body)
                return
            data = path.read_bytes()
            headers = {"ETag": f'"{etag_of(path)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            if found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
                start = int(found[1])
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
                self._send(206, data[start:], headers, with_body)
            else:
                self._send(200, data, headers, with_body)

        def _send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def etag_of(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
