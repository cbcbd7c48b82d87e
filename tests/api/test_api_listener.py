"""What a connection may send, and for how long, before anybody knows who sends it: over raw sockets."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from tests.api.endpoint_builder import BASE, DEADLINE_SECONDS, KEY, KEYS, RunningEndpoint

from remora.server.access.limits import SMALL_BODY_BYTES
from remora.server.settings import ServerSettings
from remora.server.wire.http_protocol import MOST_HEADER_BYTES, MOST_HEADERS

CHAT = "/v1/chat/completions"
BODY = json.dumps({"model": BASE, "messages": [{"role": "user", "content": "hello"}]}).encode()
MANY_BYTES = 64 * 1024 * 1024
PROTOCOL = "remora.server.wire.http_protocol"
# As java.net.http.HttpClient sends them over plain HTTP.
JAVA = (
    "connection: Upgrade, HTTP2-Settings",
    "upgrade: h2c",
    "http2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
)


@pytest.fixture(scope="module")
def running() -> Iterator[RunningEndpoint]:
    with RunningEndpoint(ServerSettings(api_keys=KEYS, chat_page=False)) as endpoint:
        yield endpoint


def connected(endpoint: RunningEndpoint) -> socket.socket:
    address = httpx.URL(endpoint.url)
    return socket.create_connection((address.host, address.port or 0), timeout=DEADLINE_SECONDS)


def request(method: str, path: str, *headers: str, key: str | None = KEY, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", *headers]
    if key:
        lines.append(f"authorization: Bearer {key}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(body: bytes, trailers: bytes = b"") -> bytes:
    return b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailers)


def answer(connection: socket.socket) -> tuple[int, bytes]:
    """One answer with a length, and no byte more."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = connection.recv(1)
        assert data, received
        received += data
    head = received.decode().lower()
    length = int(head.split("content-length: ")[1].split("\r\n")[0])
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return int(head.split()[1]), body


def flood(connection: socket.socket, piece: bytes) -> tuple[int, bytes]:
    """How many bytes were taken before the other side closed, and what it said last."""
    sent, said = 0, b""
    try:
        while sent < MANY_BYTES:
            connection.sendall(piece)
            sent += len(piece)
    except OSError:
        pass
    try:
        while data := connection.recv(65536):
            said += data
    except OSError:  # it closed with bytes unread
        pass
    return sent, said


@pytest.mark.parametrize("key", [KEY, None])
@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"1\r\n{\r\n0\r\n", b"x-trailer: " + b"x" * 1000 + b"\r\n"),
        (b"1\r\n{\r\n0\r\nx-trailer: ", b"x" * 4096),
        (b"1\r\n{\r\n1;", b"extension=x;" * 400),
    ],
    ids=["trailers", "one long trailer", "chunk extensions"],
)
def test_what_comes_beside_a_chunked_body_is_bounded(
    running: RunningEndpoint, key: str | None, begin: bytes, piece: bytes
) -> None:
    with connected(running) as connection:
        connection.sendall(request("POST", CHAT, "transfer-encoding: chunked", key=key) + begin)
        sent, _ = flood(connection, piece)
    # What the kernel holds on both sides is sent too.
    assert sent < MANY_BYTES / 2
    assert httpx.get(f"{running.url}/healthz").status_code == 200


def test_a_few_trailers_are_dropped(running: RunningEndpoint) -> None:
    with connected(running) as connection:
        head = request("POST", CHAT, "transfer-encoding: chunked", "content-type: application/json")
        for _ in range(2):
            connection.sendall(head + chunked(BODY, b"x-checksum: 1\r\nauthorization: Bearer other\r\n"))
            assert answer(connection)[0] == 200


@pytest.mark.parametrize("path", ["/healthz", CHAT])
def test_too_many_headers_are_431(running: RunningEndpoint, path: str) -> None:
    with connected(running) as connection:
        connection.sendall(request("GET", path, *["x: y"] * MOST_HEADERS))
        status, body = answer(connection)
        assert (status, json.loads(body)["error"]["code"]) == (431, "headers_too_large")
        assert not connection.recv(1)


def test_a_request_line_without_an_end_is_431(running: RunningEndpoint) -> None:
    with connected(running) as connection:
        connection.sendall(b"GET /" + b"x" * (MOST_HEADER_BYTES + 1))
        assert answer(connection)[0] == 431


def test_many_small_requests_at_once_are_not_taken_for_one_large(running: RunningEndpoint) -> None:
    count = 2 * MOST_HEADER_BYTES // len(request("GET", "/healthz"))
    with connected(running) as connection:
        connection.sendall(request("GET", "/healthz") * count)
        assert {answer(connection)[0] for _ in range(count)} == {200}


def test_the_rest_of_a_refused_body_is_awaited_only_for_a_while(
    running: RunningEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{PROTOCOL}.REST_SECONDS", 0.2)
    with connected(running) as connection:
        connection.sendall(request("POST", CHAT, f"content-length: {MANY_BYTES}", key=None))
        assert answer(connection)[0] == 401
        assert not connection.recv(1)


def test_after_a_refusal_the_rest_of_the_body_may_come_and_the_connection_be_used_again(
    running: RunningEndpoint,
) -> None:
    json_type = "content-type: application/json"
    length = f"content-length: {len(BODY)}"
    with connected(running) as connection:
        connection.sendall(request("POST", CHAT, length, key=None) + BODY[:-1])
        assert answer(connection)[0] == 401
        connection.sendall(BODY[-1:] + request("POST", CHAT, length, json_type, body=BODY))
        assert answer(connection)[0] == 200


def test_empty_lines_do_not_hold_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remora.server.listening.IDLE_CONNECTION_SECONDS", 1)
    settings = ServerSettings(api_keys=KEYS, chat_page=False)
    with RunningEndpoint(settings) as endpoint, connected(endpoint) as connection:
        connection.sendall(request("GET", "/healthz"))
        assert answer(connection)[0] == 200
        connection.sendall(b"\r\n")
        assert not connection.recv(1)


@pytest.mark.parametrize("chunks", [False, True])
def test_a_request_to_change_the_protocol_is_answered_over_http_1(
    running: RunningEndpoint, chunks: bool
) -> None:
    framing = "transfer-encoding: chunked" if chunks else f"content-length: {len(BODY)}"
    body = chunked(BODY) if chunks else BODY
    head = request("POST", CHAT, *JAVA, framing, "content-type: application/json")
    with connected(running) as connection:
        for _ in range(2):
            connection.sendall(head)  # the body comes by itself, as Java sends it
            connection.sendall(body)
            status, text = answer(connection)
            assert (status, json.loads(text)["choices"][0]["message"]["content"]) == (200, "hello")
        connection.sendall(2 * (head + body))
        assert [answer(connection)[0] for _ in range(2)] == [200, 200]
        connection.sendall(request("GET", "/healthz", "connection: upgrade", "upgrade: websocket"))
        assert answer(connection)[0] == 200


def test_connect_is_405(running: RunningEndpoint) -> None:
    with connected(running) as connection:
        connection.sendall(request("CONNECT", "example.org:443"))
        assert answer(connection)[0] == 405


@pytest.fixture
def impatient() -> Iterator[RunningEndpoint]:
    settings = ServerSettings(api_keys=KEYS, chat_page=False, unread_timeout_seconds=0.3)
    with RunningEndpoint(settings) as endpoint:
        yield endpoint


def test_a_client_that_reads_nothing_gives_its_place_back(impatient: RunningEndpoint) -> None:
    """More than what the kernel holds for a connection: 16 answers of 4,000 events."""
    running = impatient
    body = json.dumps({"model": BASE, "prompt": "x" * 2000, "n": 16, "stream": True, "max_tokens": 2000})
    head = request(
        "POST", "/v1/completions", f"content-length: {len(body)}", "content-type: application/json"
    )
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        address = httpx.URL(running.url)
        connection.connect((address.host, address.port))
        connection.sendall(head + body.encode())
        for is_open in (True, False):
            deadline = time.monotonic() + DEADLINE_SECONDS
            while bool(running.admission.open_count) is not is_open:
                assert time.monotonic() < deadline
                time.sleep(0.005)
        assert b"[DONE]" not in everything(connection)


def everything(connection: socket.socket) -> bytes:
    """What can still be read, until the server's end of the connection or its reset."""
    connection.settimeout(DEADLINE_SECONDS)
    read = bytearray()
    with suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            read += part
    return bytes(read)


@pytest.mark.parametrize("path", ["/login", "/healthz", "/readyz"])
@pytest.mark.parametrize("framing", [f"content-length: {1024 * 1024}", "transfer-encoding: chunked"])
def test_a_path_that_anybody_may_ask_takes_a_small_body_only(
    running: RunningEndpoint, path: str, framing: str
) -> None:
    with connected(running) as connection:
        connection.sendall(request("POST", path, framing, key=None))
        if framing.startswith("transfer"):
            connection.sendall(b"%x\r\n%b\r\n" % (SMALL_BODY_BYTES + 1, b"x" * (SMALL_BODY_BYTES + 1)))
        status, body = answer(connection)
    assert (status, json.loads(body)["error"]["code"]) == (413, "request_too_large")
