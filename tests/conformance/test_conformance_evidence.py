"""`make evidence` against a stand-in for the public source: a file that is not the pinned one is refused."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.conformance.evidence import LIST, Evidence, fetch, folder, listed

RECORDING = b"""interactions:
- request:
    method: GET
    uri: https://management.azure.com/subscriptions/0/providers/Microsoft.App?api-version=1
    body: null
    headers: {}
  response: {status: {code: 200}, headers: {}, body: {string: '{}'}}
- request: &poll
    method: GET
    uri: https://management.azure.com/subscriptions/0/operations/1?api-version=1&t=638&c=abc&s=def&h=ghi
    body: null
    headers: {Accept: [application/json], Authorization: [secret]}
  response: &running
    status: {code: 200}
    headers: {Content-Type: [application/json], Date: [today]}
    body: {string: '{"status": "Running", "token": "eyJhbGciOi.x.y"}'}
- request: *poll
  response: *running
"""


@pytest.fixture
def source(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    root = tmp_path / "source"
    handler = partial(SimpleHTTPRequestHandler, directory=str(root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", root
        server.shutdown()
        thread.join()


def put(root: Path, content: bytes, path: str, target: str) -> Evidence:
    file = root / "owner/name/abc" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return Evidence(hashlib.sha256(content).hexdigest(), "owner/name", "abc", path, target)


def test_a_recording_is_written_without_credentials_and_with_its_polls_counted(
    source: tuple[str, Path], tmp_path: Path
) -> None:
    url, root = source
    item = put(root, RECORDING, "a/test_x.yaml", "recordings/a/x.json")
    (written,) = fetch([item], url, tmp_path / "out")
    (exchange,) = json.loads(written.read_text())["exchanges"]
    assert exchange["repeated"] == 2
    assert exchange["request"]["headers"] == {}
    assert exchange["request"]["uri"].endswith("&t=638&c=REDACTED&s=REDACTED&h=REDACTED")
    assert exchange["response"]["headers"] == {"content-type": "application/json"}
    assert exchange["response"]["body"] == {"status": "Running", "token": "REDACTED_JWT"}


def test_a_file_that_is_not_the_pinned_one_is_refused_and_not_written(
    source: tuple[str, Path], tmp_path: Path
) -> None:
    url, root = source
    item = put(root, b"{}", "spec.json", "specs/spec.json")
    (root / "owner/name/abc/spec.json").write_bytes(b"{ }")
    with pytest.raises(SystemExit, match="is not the pinned file"):
        list(fetch([item], url, tmp_path / "out"))
    assert not list((tmp_path / "out").rglob("*.json"))


def test_a_missing_file_is_named_with_the_way_out(source: tuple[str, Path], tmp_path: Path) -> None:
    url, root = source
    item = put(root, b"{}", "spec.json", "specs/spec.json")
    (root / "owner/name/abc/spec.json").unlink()
    with pytest.raises(SystemExit, match=r"spec\.json cannot be fetched(.|\n)*REMORA_EVIDENCE_SOURCE"):
        list(fetch([item], url, tmp_path / "out"))


def test_every_line_of_the_list_is_pinned() -> None:
    items = listed(LIST.read_text("utf-8"))
    assert len(items) > 300
    assert all(len(item.sha256) == 64 and len(item.commit) == 40 and "/" in item.repository for item in items)
    assert not [item.target for item in items if item.target.startswith("/") or ".." in item.target]
    if folder().is_dir():
        assert [item.target for item in items if not (folder() / item.target).is_file()] == []
