"""Many at once, over real sockets against a process of its own. `make load` runs the full numbers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.endpoint_builder import BASE, RunningEndpoint
from tests.engine.tiny_models import TinyModel, write_model
from tests.load.clients import Connection, completion
from tests.load.servers import DEADLINE_SECONDS, FULL, KEY, ServerProcess, echo_server, project_server, size

from remora.project.api_keys import ApiKey
from remora.server.settings import ServerSettings

pytestmark = pytest.mark.timeout(400 if FULL else 120)

STREAMS = size(2000, 200)
ABANDONED = size(200, 24)
REFUSED = size(10_000, 1_000)
TOKENS = 40


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with echo_server() as running:
        yield running


async def one_stream(server: ServerProcess, *, tokens: int = TOKENS) -> int:
    connection = await Connection.to(server.url)
    try:
        return await connection.stream(completion(BASE, "x" * tokens, max_tokens=tokens, stream=True))
    finally:
        await connection.close()


async def test_many_streams_at_once_and_the_memory_comes_back(server: ServerProcess) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        await asyncio.gather(*(one_stream(server) for _ in range(STREAMS)))
        before = server.resident_bytes()
        for _ in range(3):
            counts = await asyncio.gather(*(one_stream(server) for _ in range(STREAMS)))
            assert counts == [TOKENS + 1] * STREAMS
        await so_many_are_in(server, 0)
    after = server.resident_bytes()
    print(f"{STREAMS} streams at once, thrice: {before / 1e6:.1f} MB, then {after / 1e6:.1f} MB")  # noqa: T201
    assert after <= before * 1.1


async def test_a_client_that_does_not_read_slows_nobody(server: ServerProcess) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        lazy = await Connection.to(server.url)
        try:
            endless = 400_000
            await lazy.begin(completion(BASE, "x" * endless, max_tokens=endless, stream=True))
            counts = await asyncio.gather(*(one_stream(server) for _ in range(20)))
            assert counts == [TOKENS + 1] * 20
            await so_many_are_in(server, 1)  # the lazy one waits, and its answer with it
        finally:
            await lazy.leave()
        await so_many_are_in(server, 0)


async def so_many_are_in(server: ServerProcess, count: int) -> None:
    """Wait for it: a client has its last byte before it is counted out."""
    while await open_requests(server) != count:  # noqa: ASYNC110 - the server is another process
        await asyncio.sleep(0.02)


async def open_requests(server: ServerProcess) -> int:
    """As the endpoint's own metrics say."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    request = "GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer a-key-for-load\r\n"
    writer.write(f"{request}connection: close\r\n\r\n".encode())
    text = (await reader.read(-1)).decode()
    writer.close()
    await writer.wait_closed()
    (line,) = [line for line in text.splitlines() if line.startswith("remora_open_requests ")]
    return int(float(line.split()[1]))


async def test_ten_thousand_that_find_the_queue_full_are_all_told_so() -> None:
    settings = ServerSettings(api_keys=(ApiKey("load", KEY),), chat_page=False, max_open_requests=2)
    with RunningEndpoint(settings) as endpoint:
        endpoint.hold()
        async with asyncio.timeout(DEADLINE_SECONDS):
            inside = [await begun(endpoint.url) for _ in range(2)]
            started = time.perf_counter()
            answers = await asyncio.gather(*(refused(endpoint.url, REFUSED // 50) for _ in range(50)))
            seconds = time.perf_counter() - started
            endpoint.release()
            assert [await connection.rest() for connection in inside] == [4 + 1, 4 + 1]
            for connection in inside:
                await connection.close()
            while endpoint.admission.open_count:  # noqa: ASYNC110 - it belongs to another thread's loop
                await asyncio.sleep(0.01)
            assert (await one_answer(endpoint.url))[0] == 200
    statuses = [status for each in answers for status in each]
    print(f"{REFUSED} requests refused in {seconds:.1f} s")  # noqa: T201
    assert statuses == [429] * REFUSED


async def begun(url: str) -> Connection:
    connection = await Connection.to(url)
    await connection.begin(completion(BASE, "abcd", max_tokens=4, stream=True))
    return connection


async def refused(url: str, count: int) -> list[int]:
    connection = await Connection.to(url)
    request = completion(BASE, "a", max_tokens=1, stream=False)
    statuses = []
    for _ in range(count):
        status, document, headers = await connection.ask(request)
        statuses.append(status)
        assert (document["error"]["code"], headers["retry-after-ms"]) == ("overloaded", "1000")
    await connection.close()
    return statuses


async def one_answer(url: str, model: str = BASE) -> tuple[int, Any, Any]:
    connection = await Connection.to(url)
    answer = await connection.ask(completion(model, "a", max_tokens=2, stream=False))
    await connection.close()
    return answer


async def test_after_many_that_went_away_a_short_request_is_answered_soon(tmp_path: Path) -> None:
    """The real engine: an answer that nobody reads must not be made to its end."""
    project = tmp_path / "project"
    model = TinyModel(write_model(project / "base", "llama", max_position_embeddings=4096))
    model.add_adapter("one", r=4, lora_alpha=8, target_modules=["q_proj"])
    with project_server(project, tmp_path / "home") as server:
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert (await one_answer(server.url, "base"))[0] == 200
            long = completion("base", "a b c", max_tokens=4000, stream=True)
            gone = [await Connection.to(server.url) for _ in range(ABANDONED)]
            await asyncio.gather(*(connection.begin(long) for connection in gone))
            for connection in gone:
                await connection.leave()
            started = time.perf_counter()
            status, _, _ = await one_answer(server.url, "one")
            seconds = time.perf_counter() - started
            await so_many_are_in(server, 0)
    print(f"{ABANDONED} abandoned, then an answer after {seconds:.2f} s")  # noqa: T201
    assert status == 200
    # All of them read to their end would take minutes; on a busy machine a step alone can take a second.
    assert seconds < (2 if FULL else 20)
