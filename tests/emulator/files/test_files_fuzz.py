"""Whatever is sent, the service answers as the service would, and touches nothing outside its share."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.emulator.files.conftest import ACCOUNT, KEYS, Clock, FilesServer
from tests.emulator.files.test_files_auth import signed_by_hand

from containerapps_emulator.state import State
from containerapps_emulator.storage.app import OPERATIONS, PROTOCOL, create_files_app

HOSTILE = [
    "..",
    ".",
    "",
    "%2e%2e",
    "..%2f",
    "%00",
    "a\x00b",
    "C:",
    "\\..\\",
    "é",
    "a" * 300,
    "CON",
    "~",
    "*",
    "a.",
]
NAMES = st.sampled_from([*HOSTILE, "d", "D", "f", "secret", "models"]) | st.text(max_size=6)
PATHS = st.lists(st.sampled_from(["d", "f", "D", "g"]), min_size=1, max_size=2) | st.lists(
    NAMES | st.sampled_from(["link", "linked"]), max_size=3
)
METHODS = ["GET", "PUT", "HEAD", "DELETE", "POST"]
HOSTILE_SHARES = ["other", "..", "%2e%2e", "Models"]
COMPS = sorted({comp for _, _, comp in OPERATIONS} | {"snapshot", "undelete", "filepermission"})
HEADER_NAMES = [
    "x-ms-type",
    "x-ms-content-length",
    "x-ms-range",
    "range",
    "x-ms-write",
    "x-ms-file-rename-source",
    "x-ms-file-rename-replace-if-exists",
    "x-ms-copy-source",
    "x-ms-lease-action",
    "x-ms-lease-id",
    "x-ms-lease-duration",
    "x-ms-lease-break-period",
    "x-ms-proposed-lease-id",
    "x-ms-file-attributes",
    "x-ms-file-creation-time",
    "x-ms-file-last-write-time",
    "x-ms-content-md5",
    "x-ms-content-type",
    "content-md5",
    "x-ms-meta-a",
    "x-ms-share-quota",
    "x-ms-allow-trailing-dot",
    "x-ms-range-get-content-md5",
]
HEADER_VALUES = st.sampled_from(
    [
        "file",
        "0",
        "3",
        "-1",
        "99999999999999999999",
        "bytes=0-2",
        "bytes=2-1",
        "bytes=5-",
        "update",
        "clear",
        "acquire",
        "break",
        "release",
        "change",
        "renew",
        "true",
        "now",
        "preserve",
        "2026-11-22T00:00:00Z",
        "9999-99-99T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.9999999Z",
        "ReadOnly | Hidden",
        "{share}/f",
        "{share}/../../secret",
        "{share}/d/%2e%2e/%2e%2e/%2e%2e/secret",
        "00000000-0000-0000-0000-000000000001",
        "AAAA",
    ]
) | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12).map(str.strip)
BODIES = (
    st.just(b"abc")
    | st.binary(max_size=64)
    | st.sampled_from(
        [
            b"abc",
            b"<SignedIdentifiers/>",
            b"<SignedIdentifiers><SignedIdentifier><Id>a</Id></SignedIdentifier></SignedIdentifiers>",
            b"<StorageServiceProperties><Cors/></StorageServiceProperties>",
            b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
            b"<a" * 50,
            b"<?xml version='1.0' encoding='nonsense'?><a/>",
        ]
    )
)
CLIENT = httpx.Client()
SECRET = b"not for clients"


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilesServer]:
    """One server for all examples, with a secret beside the shares and links to it inside of one."""
    home = tmp_path_factory.mktemp("fuzzed")
    state = State(home / "state.sqlite3")
    app = create_files_app(
        shares_root=home / "shares",
        account_keys=lambda account: KEYS if account == ACCOUNT else [],
        state=state,
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", lifespan="off", http=PROTOCOL, loop="asyncio")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    root = home / "shares" / ACCOUNT
    for secret in (home / "secret", root / "secret", home / "shares" / "secret"):
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_bytes(SECRET)
    yield FilesServer(f"http://127.0.0.1:{listener.getsockname()[1]}", root, Clock())
    CLIENT.close()
    server.should_exit = True
    thread.join(10)
    state.close()


def lay_out(root: Path) -> None:
    """A share with a file, a directory, and links out of it, whatever earlier examples did."""
    share = root / "models"
    share.mkdir(exist_ok=True)
    for name in ("d", "f", "link", "linked"):
        path = share / name
        if path.is_symlink() or (path.exists() and (name == "d") != path.is_dir()):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    (share / "d").mkdir(exist_ok=True)
    (share / "f").write_bytes(b"abc")
    (share / "link").symlink_to(root / "secret")
    (share / "linked").symlink_to(root.parent)


@dataclass(frozen=True)
class Asked:
    """A request: half of the time one that the service knows, with one thing or two out of place."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@st.composite
def requests(draw: st.DrawFn) -> Asked:
    subject, method, comp = draw(st.sampled_from(sorted(OPERATIONS)))
    if draw(st.integers(0, 4)) == 0:
        method, comp = draw(st.sampled_from(METHODS)), draw(st.sampled_from([*COMPS, "x"]))
    headers = {
        "x-ms-type": "file",
        "x-ms-content-length": "3",
        "x-ms-write": "update",
        "x-ms-range": "bytes=0-2",
    }
    headers |= {"x-ms-lease-action": "acquire", "x-ms-file-rename-source": "{share}/f"}
    headers |= draw(st.dictionaries(st.sampled_from(HEADER_NAMES), HEADER_VALUES, max_size=2))
    names = [] if subject in {"account", "share"} else draw(PATHS)
    share = "" if subject == "account" else draw(st.sampled_from(["models"] * 9 + HOSTILE_SHARES))
    restype = {"account": "service", "handles": "", "file": ""}.get(subject, subject)
    if draw(st.integers(0, 9)) == 0:
        restype = draw(st.sampled_from(["share", "directory", "service", "x"]))
    more = draw(
        st.dictionaries(st.sampled_from(["prefix", "marker", "maxresults", "include"]), NAMES, max_size=1)
    )
    return Asked(
        method,
        "/".join(filter(None, [share, *(quote(name, safe="%") for name in names)])),
        {"restype": restype, "comp": comp} | more,
        headers,
        draw(BODIES) if method == "PUT" else b"",
    )


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=requests())
def test_a_signed_request_never_meets_an_internal_error_nor_leaves_its_share(
    fuzzed: FilesServer, asked: Asked
) -> None:
    lay_out(fuzzed.root)
    before = outside(fuzzed.root)
    query = "&".join(f"{name}={quote(value)}" for name, value in asked.query.items() if value)
    place = f"{fuzzed.url}/{fuzzed.account}/models"
    sent = {name: value.replace("{share}", place) for name, value in asked.headers.items()}
    target = f"/{fuzzed.account}/{asked.path}?{query}"
    try:
        request = signed_by_hand(fuzzed, asked.method, target, sent, asked.body)
    except httpx.InvalidURL:  # no client would send it
        return
    answer = CLIENT.send(request)
    assert answer.status_code < 500, (answer.status_code, answer.text)
    if answer.status_code >= 400:
        assert answer.headers["x-ms-error-code"]
    assert SECRET not in answer.content
    assert outside(fuzzed.root) == before


def outside(root: Path) -> dict[str, bytes]:
    """All that lies beside the shares."""
    beside = (*root.parent.parent.iterdir(), *root.parent.iterdir(), *root.iterdir())
    files = [path for path in beside if path.is_file() and not path.name.startswith("state.")]
    return {str(path): path.read_bytes() for path in files}


def a_head(method: bytes, target: bytes, version: bytes, lines: list[bytes]) -> bytes:
    return b"\r\n".join([b" ".join([method, target, version]), *lines, b"", b""])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=300)
    | st.builds(
        a_head,
        st.sampled_from([b"GET", b"PUT", b"get", b"G" * 30, b""]),
        st.sampled_from([b"/", b"/a/b", b"*", b"http://x/", b"/\xff", b"/a b", b""]),
        st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1x", b""]),
        st.lists(
            st.sampled_from(
                [
                    b"Host: x",
                    b"Content-Length: 0",
                    b"Content-Length: -1",
                    b"Content-Length: 3\r\nContent-Length: 4",
                    b"Content-Length: 99999999999999999999",
                    b"Content-Length: 1e3",
                    b"Transfer-Encoding: chunked",
                    b" folded",
                    b"no colon",
                    b"a b: c",
                    b"x: \x00",
                    b"Connection: close",
                    b"Expect: 100-continue",
                    b": x",
                ]
            ),
            max_size=4,
        ),
    )
)
def test_bytes_that_are_no_request_are_refused_or_waited_for(fuzzed: FilesServer, data: bytes) -> None:
    port = int(fuzzed.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 100"))


def test_a_head_without_end_is_cut_off(fuzzed: FilesServer) -> None:
    port = int(fuzzed.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 12_000)
        assert connection.recv(100).startswith(b"HTTP/1.1 431")


def test_requests_may_follow_each_other_without_waiting(fuzzed: FilesServer) -> None:
    port = int(fuzzed.url.rpartition(":")[2])
    one = b"PUT /%b/models/f HTTP/1.1\r\nContent-Length: 70000\r\n\r\n" % ACCOUNT.encode() + os.urandom(
        70_000
    )
    last = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
        connection.sendall(one * 3 + last)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.count(b"HTTP/1.1 401") == 3
    assert answer.count(b"HTTP/1.1 ") == 4
