"""Events on their way out: gathered, never torn, with a sign of life while none come."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.types import Message

from remora.server.wire.encoding import encode
from remora.server.wire.outbox import MOST_BYTES, Outbox
from remora.server.wire.sse import TextEvents


class Socket:
    """Takes what is sent, and can be as slow as a client that does not read."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.reading = asyncio.Event()
        self.reading.set()

    async def send(self, message: Message) -> None:
        await self.reading.wait()
        self.writes.append(message["body"])


@pytest.mark.parametrize("text", ["hello", 'a "quote"', "line\nbreak\\", "\ue000", "ünïcode 🙂", "\u2028"])
def test_an_event_encoded_in_advance_is_the_event(text: str) -> None:
    def chunk_of(content: str) -> dict[str, object]:
        return {"id": "x", "model": "content", "choices": [{"index": 0, "delta": {"content": content}}]}

    event = TextEvents(chunk_of).event(text)
    assert event == encode(chunk_of(text))
    assert json.loads(event.removeprefix(b"data: ")) == chunk_of(text)


async def test_what_is_there_at_once_is_one_write() -> None:
    socket, outbox = Socket(), Outbox(b": waiting\n\n", 60)
    for number in range(5):
        outbox.put(b"data: %d\n\n" % number)
    sending = asyncio.create_task(outbox.send_all(socket.send))
    await asyncio.sleep(0)
    assert socket.writes == [b"data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n"]
    outbox.put(b"data: last\n\n")
    outbox.close()
    await sending
    assert socket.writes[1:] == [b"data: last\n\n"]


async def test_what_comes_soon_after_is_gathered_and_the_end_waits_for_nothing() -> None:
    socket, outbox = Socket(), Outbox(b": waiting\n\n", 60, gather_seconds=3600)
    sending = asyncio.create_task(outbox.send_all(socket.send))
    for text in (b"first", b"second", b"third"):
        outbox.put(text)
        await turns()
    assert socket.writes == [b"first"]
    outbox.put(b"x" * (MOST_BYTES + 1))
    await turns()
    assert [len(data) for data in socket.writes] == [5, 11 + MOST_BYTES + 1]
    outbox.put(b"fourth")
    await turns()
    outbox.close()
    async with asyncio.timeout(120):
        await sending
    assert socket.writes[2:] == [b"fourth"]


async def test_what_was_gathered_goes_out_when_its_time_has_come() -> None:
    socket, outbox = Socket(), Outbox(b": waiting\n\n", 60, gather_seconds=0.001)
    sending = asyncio.create_task(outbox.send_all(socket.send))
    async with asyncio.timeout(120):
        for number in range(3):
            outbox.put(b"%d" % number)
            while b"".join(socket.writes) != b"012"[: number + 1]:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.001)
    outbox.close()
    await sending


async def turns() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_while_nothing_comes_there_is_a_sign_of_life() -> None:
    socket, outbox = Socket(), Outbox(b": waiting\n\n", 0.001)
    sending = asyncio.create_task(outbox.send_all(socket.send))
    async with asyncio.timeout(120):
        while len(socket.writes) < 3:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)
    outbox.close()
    await sending
    assert set(socket.writes) == {b": waiting\n\n", b""}


async def test_who_makes_events_waits_for_a_client_that_does_not_read() -> None:
    socket, outbox = Socket(), Outbox(b"", 60)
    socket.reading.clear()
    made = 0

    async def make() -> None:
        nonlocal made
        for _ in range(1000):
            outbox.put(b"x" * 1024)
            made += 1
            await outbox.room()
        outbox.close()

    making = asyncio.create_task(make())
    sending = asyncio.create_task(outbox.send_all(socket.send))
    for _ in range(100):
        await asyncio.sleep(0)
    assert made <= 2 * MOST_BYTES // 1024 + 2
    socket.reading.set()
    await asyncio.gather(making, sending)
    assert len(b"".join(socket.writes)) == 1000 * 1024


async def test_closing_lets_go_of_who_waits_for_room() -> None:
    outbox = Outbox(b"", 60)
    outbox.put(b"x" * (MOST_BYTES + 1))
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0)
    outbox.close()
    async with asyncio.timeout(120):
        await waiting
