"""What an endpoint answers while its model loads, and what becomes of those who asked for something else."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tests.api.endpoint_builder import DEADLINE_SECONDS, KEY
from tests.api.slow_start import SlowStart, slow_start

from remora.server.listening import bind
from remora.server.starting import MOST_KEPT, Starting

HTML = {"accept": "text/html,*/*"}
QUESTION = {"model": "tone-base", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[SlowStart]:
    with slow_start(tmp_path) as running:
        yield running


@pytest.fixture
def http(start: SlowStart) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=start.url, headers=headers, timeout=DEADLINE_SECONDS) as client:
        yield client


def test_probes_are_answered_with_the_progress(http: httpx.Client) -> None:
    assert [http.get(path).status_code for path in ("/healthz", "/health", "/ping?x=1")] == [200] * 3
    ready = http.get("/readyz")
    assert (ready.status_code, ready.headers["retry-after"]) == (503, "1")
    assert ready.json()["error"]["code"] == "not_ready"
    assert ready.json()["error"]["message"] == "starting: loading weights 12 of 28"


@pytest.mark.parametrize("path", ["/", "/side-by-side", "/login"])
def test_a_browser_gets_a_page(http: httpx.Client, path: str) -> None:
    page = http.get(path, headers=HTML)
    assert page.status_code == 503
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    assert 'role="status"' in page.text


class OutOfDescriptors(socket.socket):
    """A listener that cannot accept for half a second."""

    tries = 0
    until = 0.0

    def accept(self) -> tuple[socket.socket, Any]:
        self.tries += 1
        if time.monotonic() < self.until:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_without_descriptors_it_waits_and_does_not_spin() -> None:
    with OutOfDescriptors() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.until = time.monotonic() + 0.5
        with Starting(listener, page=False), httpx.Client(timeout=DEADLINE_SECONDS) as client:
            assert client.get(f"http://127.0.0.1:{listener.getsockname()[1]}/healthz").status_code == 200
        assert 2 <= listener.tries < 20


def test_who_comes_early_is_answered_when_it_serves(start: SlowStart, http: httpx.Client) -> None:
    with ThreadPoolExecutor() as early, socket.create_connection(_address(start.url)) as slow:
        slow.sendall(b"GET /v1/mod")  # and the rest when it serves
        asked = [early.submit(http.post, "/v1/chat/completions", json=QUESTION) for _ in range(8)]
        listed = early.submit(http.get, "/v1/models")
        # Connections are taken in order, so the others have come by now.
        assert http.get("/readyz").status_code == 503
        start.go()
        assert [each.result().json()["choices"][0]["message"]["content"] for each in asked] == ["hello"] * 8
        assert listed.result().json()["data"][0]["id"] == "tone-base"
        slow.sendall(f"els HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\r\n".encode())
        assert slow.recv(100).startswith(b"HTTP/1.1 200 ")
        assert http.get("/readyz").json()["status"] == "ready"


def test_a_model_that_cannot_be_loaded_ends_every_connection(start: SlowStart, http: httpx.Client) -> None:
    with ThreadPoolExecutor() as early:
        asked = early.submit(http.post, "/v1/chat/completions", json=QUESTION)
        assert http.get("/readyz").status_code == 503
        start.go("fail")
        with pytest.raises(httpx.TransportError):
            asked.result()
    assert start.process.wait(DEADLINE_SECONDS) != 0
    assert start.process.stdout is not None
    assert "the weights cannot be read" in start.process.stdout.read()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with bind("127.0.0.1", 0) as made:
        yield made


def test_only_so_many_are_kept_and_none_is_lost(listener: socket.socket) -> None:
    more = 5
    with Starting(listener, page=False) as starting:
        clients = [socket.create_connection(listener.getsockname()) for _ in range(MOST_KEPT + more)]
        for client in clients:
            client.sendall(b"POST / HTTP/1.1\r\n\r\n")
        listener.settimeout(DEADLINE_SECONDS)
        kept = starting.hand_over()
        assert starting.hand_over() == []
        listener.settimeout(DEADLINE_SECONDS)
        kept = [*kept, *(listener.accept()[0] for _ in range(len(clients) - len(kept)))]
    assert len(kept) == len(clients)
    for each in (*clients, *kept):
        each.close()


@pytest.mark.parametrize("page", [True, False])
def test_what_asks_for_something_else_is_not_read(listener: socket.socket, page: bool) -> None:
    asked = [
        b"GET / HTTP/1.1\r\naccept: application/json\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\naccept: text/html\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ]
    if not page:
        asked.append(b"GET / HTTP/1.1\r\naccept: text/html\r\n\r\n")
    with Starting(listener, page=page) as starting:
        clients = [socket.create_connection(listener.getsockname()) for _ in asked]
        for client, data in zip(clients, asked, strict=True):
            client.sendall(data)
        with socket.create_connection(listener.getsockname()) as gone:
            gone.shutdown(socket.SHUT_WR)
            gone.settimeout(DEADLINE_SECONDS)
            assert gone.recv(1) == b""  # closed: nothing is kept of one that asks nothing
        kept = starting.hand_over()
    for each in kept:
        each.settimeout(DEADLINE_SECONDS)
    assert [each.recv(200) for each in kept] == asked
    for each in (*clients, *kept):
        each.close()


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 0)
