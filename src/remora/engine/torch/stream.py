"""The way of tokens from the engine's thread to an event loop. Owns waiting, closing and abandonment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from remora.engine.base import TokenEvent
from remora.errors import EngineFailed, InvalidInput

Event = TokenEvent | EngineFailed | InvalidInput
"""What comes to a stream; an error is the last."""


class Mailbox:
    """Events for one stream. Posted from the engine's thread, read on the loop it was made on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()

    def post(self, event: Event) -> bool:
        """Hand over an event; False where the loop is gone and nobody will read it."""
        try:
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)
        except RuntimeError:
            return False
        return True

    async def read(self) -> Event | None:
        """The next event; None after `wake`."""
        return await self._events.get()

    def wake(self) -> None:
        """Let a reader that waits go on. On the loop's own thread."""
        self._events.put_nowait(None)


class MailboxStream:
    """Keeps the TokenStream contract. One that is dropped unread cancels its request."""

    def __init__(self, mailbox: Mailbox, cancel: Callable[[], None]) -> None:
        self._mailbox = mailbox
        self._cancel = cancel
        self._ended = False

    def __aiter__(self) -> MailboxStream:
        return self

    async def __anext__(self) -> TokenEvent:
        if self._ended:
            raise StopAsyncIteration
        event = await self._mailbox.read()
        if event is None:
            raise StopAsyncIteration
        if not isinstance(event, TokenEvent):
            self._ended = True
            raise event
        self._ended = event.finish_reason is not None
        return event

    async def aclose(self) -> None:
        if not self._ended:
            self._ended = True
            self._mailbox.wake()
        self._cancel()

    def __del__(self) -> None:
        self._cancel()
