"""A front before an endpoint that sleeps, and what is between them and a client: an ingress, a proxy.

The ingress takes connections while the endpoint sleeps and holds them, as that of Container Apps does. Bytes
go through both as they are.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from tests.api.endpoint_builder import ADMIN_KEYS, DEADLINE_SECONDS, KEYS, RunningEndpoint

from remora.adapters.starting_note import StartingNote
from remora.server.access.admission import Admission
from remora.server.access.key_ring import KeyRing
from remora.server.front.app import create_front
from remora.server.front.settings import FrontSettings
from remora.server.listening import DrainingServer, bind
from remora.server.settings import ServerSettings

PROGRESS = "loading weights 12 of 28"
CHUNK_BYTES = 64 * 1024
TURNS = 20


class Looped:
    """Something that runs in an event loop and thread of its own while the block runs."""

    url: str

    def __init__(self) -> None:
        self._ready, self._loop = threading.Event(), asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(DEADLINE_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        for _ in range(TURNS):  # in which closed connections let go of their sockets
            self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _serve(self) -> None:
        raise NotImplementedError

    def _stop(self) -> None:
        raise NotImplementedError


class Pipe(Looped):
    """Passes connections to a target: once it is awake, and as long as something is said on them."""

    def __init__(self, target: str, *, awake: bool = True, silence_seconds: float | None = None) -> None:
        super().__init__()
        self._target = urlsplit(target)
        self._silence_seconds = silence_seconds
        self._awake, self._stopped = asyncio.Event(), asyncio.Event()
        self._starts_awake = awake
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = self.cut = 0

    def wake(self) -> None:
        self._loop.call_soon_threadsafe(self._awake.set)

    def sleep(self) -> None:
        self._loop.call_soon_threadsafe(self._awake.clear)

    def _stop(self) -> None:
        self._stopped.set()

    async def _serve(self) -> None:
        if self._starts_awake:
            self._awake.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stopped.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._stopped.is_set():  # it was accepted before the end, and is told of only now
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._pass(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.close())  # also of one that is cancelled before it begins

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        ways: list[asyncio.Task[Any]] = [asyncio.create_task(reader.read(CHUNK_BYTES))]
        writers = [writer]
        try:
            await self._awake.wait()
            there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
            writers.append(back)
            heard = asyncio.Event()
            copies = (self._copy(reader, back, heard, ways[0]), self._copy(there, writer, heard))
            ends = [asyncio.create_task(each) for each in (*copies, self._listen(heard))]
            ways += ends
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for each in writers:
                each.close()
            await asyncio.gather(*(each.wait_closed() for each in writers), return_exceptions=True)

    async def _copy(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        heard: asyncio.Event,
        first: asyncio.Task[bytes] | None = None,
    ) -> None:
        with suppress(ConnectionError):
            data = await first if first else await source.read(CHUNK_BYTES)
            while data:
                heard.set()
                target.write(data)
                await target.drain()
                data = await source.read(CHUNK_BYTES)

    async def _listen(self, heard: asyncio.Event) -> None:
        """Ends after a silence."""
        while True:
            heard.clear()
            try:
                await asyncio.wait_for(heard.wait(), self._silence_seconds)
            except TimeoutError:
                self.cut += 1
                return


class RunningFront(Looped):
    """The front as a server."""

    def __init__(self, settings: FrontSettings) -> None:
        super().__init__()
        self._settings = settings

    async def _serve(self) -> None:
        serve = self._settings.serve
        admission = Admission(64, 64)
        app = create_front(self._settings, KeyRing((*serve.admin_keys, *serve.api_keys)), admission)
        listener = bind("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._server = DrainingServer(app, admission, serve, "ready", lambda _: self._ready.set())
        await self._server.serve(sockets=[listener])
        listener.close()

    def _stop(self) -> None:
        self._server.handle_exit(signal.SIGTERM, None)
        self._server.handle_exit(signal.SIGTERM, None)


@dataclass(frozen=True, slots=True)
class Fronted:
    """An endpoint that sleeps until `ingress.wake`, and its front. `hasty` cuts silent connections."""

    endpoint: RunningEndpoint
    ingress: Pipe
    front: RunningFront
    hasty: Pipe
    share: Path = field(default=Path())

    @contextmanager
    def starting(self) -> Iterator[None]:
        """A replica that says how far it is."""
        note = StartingNote(self.share / ".remora" / "starting" / "replica.json")
        note.tell(PROGRESS)
        note.begin()
        try:
            yield
        finally:
            note.end()


@contextmanager
def fronted(
    share: Path, *, wait_seconds: float = 60.0, page: bool = False, awake: bool = False
) -> Iterator[Fronted]:
    settings = ServerSettings(api_keys=KEYS, admin_keys=ADMIN_KEYS, chat_page=page, ollama=True)
    with RunningEndpoint(settings) as endpoint, Pipe(endpoint.url, awake=awake) as ingress:
        front_settings = FrontSettings(ingress.url, settings, wait_seconds, share)
        with (
            RunningFront(front_settings) as front,
            Pipe(front.url, silence_seconds=2.0) as hasty,
        ):
            yield Fronted(endpoint, ingress, front, hasty, share)
