"""Builds endpoints over the echo engine. Owns the adapters that the tests of the server share."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Self

import uvloop
from fastapi import FastAPI

from remora.adapters.adapter import Adapter, Digest, LoraSettings
from remora.adapters.registry import AdapterRegistry
from remora.engine.base import EngineStats, GenerationRequest, TokenEvent, TokenStream
from remora.engine.echo import EchoEngine
from remora.errors import EngineFailed
from remora.project.api_keys import ApiKey
from remora.server.access.admission import Admission
from remora.server.app import admission_of, create_app, key_ring
from remora.server.listening import DrainingServer, bind
from remora.server.settings import ServerSettings

KEY = "a-key-for-tests"
ADMIN_KEY = "an-admin-key-for-tests"
KEYS = (ApiKey("tests", KEY),)
ADMIN_KEYS = (ApiKey("admin", ADMIN_KEY),)
BASE = "tone-base"
TONE_DIGEST = Digest("3f9a12cd" * 8)
PIRATE_DIGEST = Digest("0badcafe" * 8)
DEADLINE_SECONDS = 400.0  # Gradio alone takes seconds to start, and many where all cores are busy
POLL_SECONDS = 0.005


def adapter(name: str, digest: Digest) -> Adapter:
    settings = LoraSettings(rank=8, alpha=16.0, target_modules=("q_proj",), base_model_name=None)
    return Adapter(name, Path("/models") / name, digest, settings, modules=(), size_bytes=1234)


ADAPTERS = (adapter("tone", TONE_DIGEST), adapter("pirate", PIRATE_DIGEST))


class WatchedEngine(EchoEngine):
    """Remembers the prompts, and can freeze itself after some more tokens."""

    def __init__(self, *, context_length: int = 4096) -> None:
        super().__init__(context_length=context_length)
        self.prompts: list[str] = []
        self._steps_until_hold = 0

    def hold_after(self, steps: int) -> None:
        self._steps_until_hold = steps

    def submit(self, request: GenerationRequest) -> TokenStream:
        stream = super().submit(request)
        self.prompts.append(self.tokenizer.decode(request.prompt_ids))
        return self._watch(stream)

    async def _watch(self, stream: TokenStream) -> AsyncGenerator[TokenEvent]:
        async with aclosing(stream):
            async for event in stream:
                self._steps_until_hold -= 1
                if self._steps_until_hold == 0:
                    self.hold()
                yield event


class DyingEngine(WatchedEngine):
    """Gives two tokens and then fails."""

    def submit(self, request: GenerationRequest) -> TokenStream:
        return self._die(request)

    async def _die(self, request: GenerationRequest) -> AsyncGenerator[TokenEvent]:
        for token_id in request.prompt_ids[:2]:
            yield TokenEvent(token_id)
        raise EngineFailed("the device is gone")


def echo_engine(context_length: int = 4096) -> WatchedEngine:
    engine = WatchedEngine(context_length=context_length)
    for each in ADAPTERS:
        engine.load_adapter(each)
    return engine


def build_app(
    engine: EchoEngine,
    settings: ServerSettings | None = None,
    admission: Admission | None = None,
    adapters: Sequence[Adapter] = ADAPTERS,
) -> FastAPI:
    chosen = settings or ServerSettings(api_keys=KEYS, admin_keys=ADMIN_KEYS, chat_page=False)
    return create_app(engine, AdapterRegistry(BASE, adapters), chosen, admission=admission)


class RunningEndpoint:
    """A server in a thread of its own; the engine is touched only in its event loop.

    `models` are what it serves, and `examples` what its pages offer; a test may replace both.
    """

    def __init__(
        self,
        settings: ServerSettings,
        make_engine: Callable[[], WatchedEngine] = echo_engine,
        adapters: Sequence[Adapter] = ADAPTERS,
    ) -> None:
        self._settings = settings
        self.models = AdapterRegistry(BASE, adapters)
        self.examples: Sequence[str] = ()
        self._make_engine = make_engine
        self._ready = threading.Event()
        self.said: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        listener = bind("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._listener = listener
        self._thread.start()
        assert self._ready.wait(DEADLINE_SECONDS)
        self.until(lambda _: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(RuntimeError):  # its loop is closed: the test has stopped it
            self.release()
            self.stop()
            self.stop()  # again: cut off what still runs
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive()
        self._listener.close()

    def stop(self) -> None:
        """What SIGTERM does."""
        self._loop.call_soon_threadsafe(self._server.handle_exit, signal.SIGTERM, None)

    def wait_until_stopped(self) -> None:
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive()

    def hold(self) -> None:
        self._loop.call_soon_threadsafe(self.engine.hold)

    def hold_after(self, steps: int) -> None:
        self._loop.call_soon_threadsafe(self.engine.hold_after, steps)

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self.engine.release)

    def stats(self) -> EngineStats:
        return self.engine.stats()

    def until(self, reached: Callable[[EngineStats], bool]) -> EngineStats:
        """The engine's counters as soon as they are as wanted."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not reached(self.stats()):
            assert time.monotonic() < deadline, f"not reached: {self.stats()}"
            time.sleep(POLL_SECONDS)
        return self.stats()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.engine = self._make_engine()
        self.admission = admission_of(self._settings, key_ring(self._settings))
        for each in self.models.adapters:
            self.engine.load_adapter(each)
        # Here and not before: Gradio wants a running loop.
        app = create_app(
            self.engine,
            self.models,
            self._settings,
            admission=self.admission,
            examples=lambda: self.examples,
        )
        self._server = DrainingServer(app, self.admission, self._settings, "ready", self.said.append)
        self._ready.set()
        await self._server.serve(sockets=[self._listener])
