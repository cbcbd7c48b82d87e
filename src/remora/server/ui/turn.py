"""Answers that are being written on pages. Owns stopping them; knows neither Gradio nor HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from remora.errors import RemoraError
from remora.server.generation.answering import Answer

REDRAW_SECONDS = 0.04  # a page redrawn for every token would cost more than the tokens


class PageTurn:
    """One answer on its way to one page. It is written by a task of its own, which a stop ends at once."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.text = ""
        self.error: RemoraError | None = None
        self.stopped = False
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._write())

    @property
    def facts(self) -> str:
        """One line under the answer: who, how much, how fast, and why it ended."""
        answer = self.answer
        reason = "stopped" if self.stopped else str(answer.finish_reason or "failed")
        parts = [answer.label]
        if answer.completion_tokens:
            parts += [
                f"{answer.completion_tokens} token{'s' if answer.completion_tokens != 1 else ''}",
                f"{answer.tokens_per_second:.0f} tok/s",
                f"first token {answer.first_token_seconds * 1000:.0f} ms",
            ]
        return " · ".join([*parts, reason])

    def stop(self) -> None:
        """End it within one step of the engine; after the end, a no-op."""
        if not self._task.done():
            self.stopped = True
            self._task.cancel()

    async def updates(self) -> AsyncGenerator[str]:
        """The text so far, whenever there is more of it; closing this stops the answer."""
        try:
            while not self._task.done():
                changed = asyncio.create_task(self._changed.wait())
                await asyncio.wait({changed, self._task}, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                self._changed.clear()  # before the text is read: what comes later must wake us again
                yield self.text
                await asyncio.wait({self._task}, timeout=REDRAW_SECONDS)
        finally:
            self.stop()

    async def _write(self) -> None:
        try:
            async with aclosing(self.answer.events()) as events:
                async for event in events:
                    self.text += event.text
                    self._changed.set()
        except RemoraError as error:
            self.error = error


class PageTurns:
    """The running answer of every open page, by Gradio's session."""

    def __init__(self) -> None:
        self._running: dict[str, PageTurn] = {}

    def start(self, session: str, answer: Answer) -> PageTurn:
        """Begin to write; a page has one answer at a time, so an older one ends."""
        self.stop(session)
        turn = PageTurn(answer)
        self._running[session] = turn
        return turn

    def stop(self, session: str) -> None:
        """Stop what this page waits for, if anything."""
        turn = self._running.pop(session, None)
        if turn is not None:
            turn.stop()

    def finish(self, session: str, turn: PageTurn) -> None:
        """Forget a turn that is through, unless a newer one took its place."""
        if self._running.get(session) is turn:
            del self._running[session]
