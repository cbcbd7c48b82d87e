"""Whether the model's app is awake, and waking it. Owns one question to it, however many clients wait.

`GET /readyz` is that question: the ingress routes it to a replica that is ready, and holds it while there is
none, which makes Container Apps start one. An answer of the endpoint itself, whatever it says, means awake.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import httpx

from remora.adapters.starting_note import StartingNotes
from remora.errors import NotReady
from remora.server.front.upstream import Upstream
from remora.server.telemetry.request_log import TIME_HEADER

AWAKE_SECONDS = 2.0
"""So long after its last answer nobody asks again: an app sleeps only after a time without requests."""
SHOWN_AWAKE_SECONDS = 60.0
READY_TARGET = b"/readyz"
ASK_SECONDS = 230.0  # an ingress cuts a request that it holds after 240 s; then the question is asked anew
AGAIN_SECONDS = 1.0
LOOK_SECONDS = 0.5
_STOPPED = 404


class Model:
    """For one event loop. `now` gives seconds that only grow; without `notes` only seconds are told."""

    def __init__(
        self, upstream: Upstream, notes: StartingNotes | None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._upstream = upstream
        self._notes = notes
        self._now = now
        self._answered_at = float("-inf")
        self._since = 0.0
        self._said = self._refusal = ""
        self._waiting = 0
        self._waking: asyncio.Task[None] | None = None

    @property
    def is_awake(self) -> bool:
        """Whether it has answered just now."""
        return self._now() - self._answered_at <= AWAKE_SECONDS

    @property
    def state(self) -> str:
        """ "" where it answers, else a line for people: `starting: loading weights 12 of 28`."""
        if self._waking is not None:
            return f"starting: {self.progress}"
        answered_lately = self._now() - self._answered_at <= SHOWN_AWAKE_SECONDS
        return "" if answered_lately else "asleep: the next request wakes the model"

    @property
    def progress(self) -> str:
        """What is known of the start that is waited for."""
        seconds = self._now() - self._since
        return self._said or self._refusal or f"waiting for a replica ({seconds:.0f} s)"

    def answered(self) -> None:
        """It has answered a request."""
        self._answered_at = self._now()

    def lost(self) -> None:
        """It could not be reached: ask before the next request."""
        self._answered_at = float("-inf")

    async def wake(self) -> None:
        """Return when it is awake. The start goes on while anybody waits for it."""
        if self.is_awake:
            return
        if self._waking is None:
            self._since, self._said, self._refusal = self._now(), "", ""
            self._waking = asyncio.create_task(self._wake())
        self._waiting += 1
        try:
            await asyncio.shield(self._waking)
        finally:
            self._waiting -= 1
            if not self._waiting and self._waking is not None and not self._waking.done():
                self._waking.cancel()
                self._waking = None

    def not_yet(self, seconds: float) -> NotReady:
        """What a client is told who has waited for so long."""
        return NotReady(
            f"the model is still starting after {seconds:.0f} s: {self.progress}",
            hint="ask again in a moment",
        )

    async def _wake(self) -> None:
        looking = asyncio.create_task(self._look())
        try:
            await self._until_ready()
            self.answered()
        finally:
            looking.cancel()
            await asyncio.wait({looking})
            if self._waking is asyncio.current_task():  # else another start is waited for already
                self._waking = None

    async def _until_ready(self) -> None:
        while True:
            if await self._is_ready():
                return
            await asyncio.sleep(AGAIN_SECONDS)

    async def _is_ready(self) -> bool:
        try:
            async with self._upstream.answer(
                "GET", READY_TARGET, (), None, read_seconds=ASK_SECONDS
            ) as answer:
                if answer.is_success or TIME_HEADER in answer.headers:
                    return True
                await answer.aread()
        except httpx.TransportError:
            return False
        self._refusal = _refusal(answer)
        return False

    async def _look(self) -> None:
        """What the starting replica says on the share; a slow share holds up nothing else."""
        while self._notes is not None:
            with suppress(OSError):
                self._said = await asyncio.to_thread(self._notes.newest)
            await asyncio.sleep(LOOK_SECONDS)


def _refusal(answer: httpx.Response) -> str:
    """What an answer that is not the endpoint's says of the start; "" for what every start begins with."""
    if answer.status_code == _STOPPED:
        return "the model's app is stopped or does not exist"
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        return str(answer.json()["error"]["message"]).removeprefix("starting: ")
    return ""
