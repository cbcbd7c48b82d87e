"""How much is let in: the bounded queue, each key's share, sizes, slow bodies, deadlines, draining."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from tests.api.endpoint_builder import BASE, DEADLINE_SECONDS, KEY, KEYS, RunningEndpoint, build_app

from remora.engine.echo import EchoEngine
from remora.errors import Draining, Overloaded
from remora.project.api_keys import ApiKey
from remora.server.access.admission import Admission
from remora.server.app import admission_of, key_ring
from remora.server.settings import ServerSettings
from remora.server.wire.http_protocol import MOST_HEADER_BYTES

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": BASE, "messages": [{"role": "user", "content": "hello"}]}
SMALL = ServerSettings(
    api_keys=(*KEYS, ApiKey("bob", "bobs-key")), chat_page=False, max_open_requests=3, max_requests_per_key=2
)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@contextmanager
def serving(settings: ServerSettings) -> Iterator[tuple[RunningEndpoint, httpx.Client]]:
    with (
        RunningEndpoint(settings) as endpoint,
        httpx.Client(base_url=endpoint.url, headers=bearer(KEY), timeout=DEADLINE_SECONDS) as client,
    ):
        yield endpoint, client


async def start(client: httpx.AsyncClient, key: str, admission: Admission) -> asyncio.Task[httpx.Response]:
    """A request that is let in and runs until the engine is released."""
    before = admission.open_count
    task = asyncio.create_task(client.post(PATH, json=BODY, headers=bearer(key)))
    async with asyncio.timeout(DEADLINE_SECONDS):
        while admission.open_count == before:  # noqa: ASYNC110 - it has no event, and needs none
            await asyncio.sleep(0)
    return task


async def test_a_full_queue_is_429_before_the_body_is_read_and_recovers(engine: EchoEngine) -> None:
    admission = Admission(SMALL.max_open_requests, SMALL.max_requests_per_key)
    transport = httpx.ASGITransport(build_app(engine, SMALL, admission))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        engine.hold()
        running = [await start(client, key, admission) for key in (KEY, KEY, "bobs-key")]
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["error"]["code"]) == (503, "not_ready")
        refused = await client.post(PATH, content=b"not even JSON", headers=bearer("bobs-key"))
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "overloaded")
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["retry-after-ms"] == "1000"
        assert (await client.get("/v1/models", headers=bearer(KEY))).status_code == 200
        engine.release()
        assert [(await answer).status_code for answer in running] == [200, 200, 200]
        assert admission.open_count == 0
        assert (await client.get("/readyz")).status_code == 200


async def test_one_key_cannot_take_all_places(engine: EchoEngine) -> None:
    admission = Admission(SMALL.max_open_requests, SMALL.max_requests_per_key)
    transport = httpx.ASGITransport(build_app(engine, SMALL, admission))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        engine.hold()
        running = [await start(client, KEY, admission) for _ in range(2)]
        refused = await client.post(PATH, json=BODY, headers=bearer(KEY))
        assert refused.status_code == 429
        assert "'tests' has 2 requests open" in refused.json()["error"]["message"]
        running.append(await start(client, "bobs-key", admission))
        engine.release()
        assert [(await answer).status_code for answer in running] == [200, 200, 200]


def test_by_default_one_of_several_keys_leaves_half_of_the_places_to_the_others() -> None:
    keys = 1
    admission = Admission(4, key_count=lambda: keys)
    assert admission.max_open_per_key == 4
    keys = 2
    admission.enter("a")
    admission.enter("a")
    with pytest.raises(Overloaded, match="'a' has 2 requests open"):
        admission.enter("a")
    admission.enter("b")
    settings = ServerSettings(
        api_keys=SMALL.api_keys, admin_keys=(ApiKey("admin", "x"),), max_open_requests=8
    )
    assert admission_of(settings, key_ring(settings)).max_open_per_key == 4
    alone = replace(settings, api_keys=KEYS)
    assert admission_of(alone, key_ring(alone)).max_open_per_key == 8


def test_the_count_of_a_key_that_is_gone_is_forgotten() -> None:
    admission = Admission(max_open=2, max_open_per_key=1)
    admission.enter("a")
    with pytest.raises(Overloaded):
        admission.enter("a")
    admission.enter("b")
    with pytest.raises(Overloaded):
        admission.enter("c")
    admission.leave("a")
    admission.leave("b")
    admission.enter("a")
    admission.drain()
    with pytest.raises(Draining):
        admission.enter("b")
    admission.leave("a")
    assert admission.open_count == 0


async def test_an_answer_that_takes_too_long_ends_with_504_and_stops_the_engine(engine: EchoEngine) -> None:
    app = build_app(engine, ServerSettings(api_keys=KEYS, chat_page=False, request_timeout_seconds=0.05))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        engine.hold()
        late = await client.post(PATH, json=BODY, headers=bearer(KEY))
        assert (late.status_code, late.json()["error"]["code"]) == (504, "deadline_exceeded")
        assert late.headers["x-should-retry"] == "false"
        streamed = await client.post(PATH, json={**BODY, "stream": True}, headers=bearer(KEY))
        events = [line for line in streamed.text.split("\n\n") if line]
        assert streamed.status_code == 200
        assert json.loads(events[-2].removeprefix("data: "))["error"]["code"] == "deadline_exceeded"
        assert events[-1] == "data: [DONE]"
        assert engine.stats().running_requests == 0
        assert engine.stats().cancelled_requests == 2
        engine.release()
        assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize(
    ("limits", "message", "param"),
    [
        ({"max_prompt_tokens": 8}, "maximum context length is 8 tokens", "messages"),
        (
            {"max_total_tokens": 20},
            "you requested 21 tokens (11 in the messages, 10 in the completion)",
            None,
        ),
    ],
)
async def test_an_endpoint_may_take_less_than_the_models_context(
    engine: EchoEngine, limits: dict[str, int], message: str, param: str | None
) -> None:
    app = build_app(engine, ServerSettings(api_keys=KEYS, chat_page=False).with_serve(limits))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.post(PATH, json={**BODY, "max_tokens": 10}, headers=bearer(KEY))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "context_length_exceeded")
    assert message in error["message"]
    assert error["param"] == param or param is None


async def test_headers_that_are_too_large_are_431(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/models", headers={"x-large": "x" * 40_000})
    assert (answer.status_code, answer.json()["error"]["code"]) == (431, "headers_too_large")
    assert answer.headers["x-request-id"]


def raw(endpoint: RunningEndpoint) -> socket.socket:
    host, port = endpoint.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=DEADLINE_SECONDS)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


def test_headers_without_an_end_do_not_fill_the_memory() -> None:
    with serving(SMALL) as (endpoint, client), raw(endpoint) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nx-large: " + b"x" * (MOST_HEADER_BYTES + 1))
        assert read_all(connection).startswith(b"HTTP/1.1 431 ")
        assert client.post(PATH, json=BODY).status_code == 200


def test_a_request_that_never_begins_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remora.server.wire.http_protocol.HEADER_SECONDS", 0.05)
    with serving(SMALL) as (endpoint, _), raw(endpoint) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost:")
        assert read_all(connection).startswith(b"HTTP/1.1 408 ")


def test_half_a_body_is_408_and_takes_no_place_for_long() -> None:
    settings = replace(SMALL, body_seconds=0.05)
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 100\r\n\r\n"
    with serving(settings) as (endpoint, client):
        with raw(endpoint) as connection:
            connection.sendall(head.encode() + b'{"model":')
            answer = read_all(connection)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"request_timeout" in answer
        with raw(endpoint) as connection:
            connection.sendall(head.encode() + b'{"model":')  # and goes away
        until_nobody_is_in(endpoint)
        assert client.post(PATH, json=BODY).status_code == 200


def until_nobody_is_in(endpoint: RunningEndpoint) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while endpoint.admission.open_count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_stop_finishes_what_runs_and_refuses_what_comes() -> None:
    with serving(SMALL) as (endpoint, client):
        endpoint.hold_after(3)
        with client.stream("POST", PATH, json={**BODY, "stream": True}) as running:
            endpoint.until(lambda stats: stats.generated_tokens >= 3)
            endpoint.stop()
            until_draining(endpoint)
            assert client.get("/readyz").status_code == 503
            assert client.get("/healthz").status_code == 200
            refused = client.post(PATH, json=BODY)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
            assert refused.headers["retry-after"] == "5"
            assert refused.headers["connection"] == "close"
            endpoint.release()
            assert running.read().decode().endswith("data: [DONE]\n\n")
        endpoint.wait_until_stopped()
    assert endpoint.said == ["ready", "stopping; 1 still running"]


def test_what_does_not_finish_in_time_ends_with_an_error_event() -> None:
    with serving(replace(SMALL, graceful_shutdown_seconds=0.2)) as (endpoint, client):
        endpoint.hold_after(3)
        with client.stream("POST", PATH, json={**BODY, "stream": True}) as running:
            endpoint.until(lambda stats: stats.generated_tokens >= 3)
            endpoint.stop()
            rest = running.read().decode()
        assert '"code":"draining"' in rest
        assert rest.endswith("data: [DONE]\n\n")
        endpoint.wait_until_stopped()


def until_draining(endpoint: RunningEndpoint) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(endpoint.said) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.005)
