"""What a client without a key can make the listeners hold: heads, trailers and time are bounded on each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest
from tests.emulator.apps.cloud import DEADLINE_SECONDS, Cloud

from containerapps_emulator import bounded_http
from containerapps_emulator.app import create_cloud
from containerapps_emulator.listeners import HOST, Listener, bind, port_of
from containerapps_emulator.state import State
from containerapps_emulator.storage import http_protocol
from containerapps_emulator.storage.app import PROTOCOL

MOST_BYTES = 1024 * 1024  # more than any of them reads before it gives up


@pytest.fixture(params=["arm", "files", "ingress"])
async def port(request: pytest.FixtureRequest, tmp_path: Path, cloud: Cloud) -> AsyncIterator[int]:
    """Where one of the listeners is."""
    if request.param == "ingress":
        await cloud.deploy()
        await cloud.until_ready()
        yield int(cloud.url.rpartition(":")[2])
        return
    state = State(tmp_path / "other" / "state.sqlite3")
    bound = bind(state, "x")
    whole = create_cloud(tmp_path / "other", state, arm_url=lambda: "", files_url=lambda: "")
    listener = (
        Listener(whole.arm_app, bound)
        if request.param == "arm"
        else Listener(whole.files_app, bound, http=PROTOCOL)
    )
    await listener.start()
    yield port_of(bound)
    await listener.stop()
    state.close()


async def said(port: int, talk: Callable[[asyncio.StreamWriter], Coroutine[None, None, None]]) -> bytes:
    """What comes back until the server hangs up, as it must."""
    reader, writer = await asyncio.open_connection(HOST, port)
    answer = b""
    talking = asyncio.create_task(talk(writer))
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while chunk := await reader.read(64 * 1024):
                answer += chunk
    except ConnectionError:
        pass
    finally:
        talking.cancel()
        await asyncio.wait({talking})
        writer.close()
    return answer


async def endless(writer: asyncio.StreamWriter, head: bytes, piece: bytes) -> None:
    writer.write(head)
    sent = 0
    while True:
        writer.write(piece)
        await writer.drain()
        sent += len(piece)
        assert sent < 16 * MOST_BYTES, "it reads without a bound"


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"GET / HTTP/1.1\r\nhost: x\r\nlong: ", b"x" * 16384),
        (b"GET /", b"x" * 16384),
        (b"GET / HTTP/1.1\r\nhost: x\r\n", b"some: more\r\n" * 1024),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"trailer: x\r\n" * 1024),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1;", b"x" * 16384),
    ],
    ids=["header", "request line", "headers", "trailers", "chunk extension"],
)
async def test_what_has_no_end_is_cut_off(port: int, head: bytes, piece: bytes) -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        await endless(writer, head, piece)

    answer = await said(port, talk)
    assert answer == b"" or answer.split()[1][:1] in (b"4", b"2"), answer[:200]


async def test_too_many_headers_are_refused(port: int) -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        headers = b"".join(b"h%d: 1\r\n" % number for number in range(bounded_http.MOST_HEADERS + 1))
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + headers + b"\r\n")
        await writer.drain()

    assert (await said(port, talk)).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET / HTTP/1.1\r\nhost: x\r\nslow: ",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nx",
    ],
    ids=["nothing", "head", "body"],
)
async def test_who_goes_silent_loses_the_connection(
    port: int, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "REST_SECONDS"):
        monkeypatch.setattr(bounded_http, name, 0.2)
    monkeypatch.setattr(http_protocol, "_IDLE_SECONDS", 0.2)

    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        await writer.drain()

    await said(port, talk)


async def test_an_upgrade_that_nobody_asked_for_is_passed_over(cloud: Cloud) -> None:
    """As every JDK's HttpClient offers it over http, with a body behind it."""
    await cloud.deploy()
    await cloud.until_ready()

    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"POST / HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings, close\r\nupgrade: h2c\r\n"
            b"http2-settings: AAEAAEAA\r\ncontent-length: 5\r\n\r\nhello"
        )
        await writer.drain()

    answer = await said(int(cloud.url.rpartition(":")[2]), talk)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"bytes": 5' in answer
