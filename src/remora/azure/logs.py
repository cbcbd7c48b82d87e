"""The logs of an app: once, or followed over dropped streams, expired tokens, new replicas and revisions.

Each stream is read by a thread of its own; what one connection is lies in `log_stream.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread

from remora.azure.apps import AppState, ContainerApp
from remora.azure.log_stream import MAX_TAIL_LINES, LogLine, Seen, Source, read_stream
from remora.errors import (
    CloudUnavailable,
    DeploymentNotFound,
    NotReady,
    ProvisioningFailed,
    RemoraError,
    SignInRequired,
)

LOOK_SECONDS = 2.0
"""How often it is asked which replicas there are."""
_REFUSALS = 3
"""So many fresh tokens in a row that a stream does not take are no matter of time."""

Note = Callable[[str], None]


def read_logs(app: ContainerApp, *, revision: str | None, tail: int) -> Iterator[LogLine]:
    """The last lines of the newest replica, oldest first. Raises NotReady where the revision has none."""
    state = app.read()
    name = revision or state.latest_revision
    sources = _console_sources(app, state, name)
    if not sources:
        raise NotReady(
            f"revision {name!r} has no replica now: it was scaled to zero, or never started",
            hint="see why with: remora logs --system",
        )
    yield from read_stream(sources[-1], app.log_token(), tail=tail, follow=False)


def read_system_logs(app: ContainerApp, *, tail: int) -> Iterator[LogLine]:
    """The last events of the app: what the platform did to it, and why."""
    source = Source(app.read().event_stream, "")
    yield from read_stream(source, app.log_token(), tail=tail, follow=False)


class Follower:
    """Follows an app's logs until it is gone. `note` is told what happens to the streams themselves.

    `revision` None follows the newest one, whichever that becomes; a replica that was followed once is
    followed to its end. No line comes twice, and none is lost as long as fewer than 300 were printed
    while a stream was down.
    """

    def __init__(
        self,
        app: ContainerApp,
        *,
        note: Note,
        tail: int,
        revision: str | None = None,
        system: bool = False,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._app = app
        self._note = note
        self._tail = tail
        self._revision = revision
        self._system = system
        self._look_seconds = look_seconds
        self._token = ""
        self._lines: SimpleQueue[LogLine | _Ended] = SimpleQueue()
        self._streams: dict[str, _Stream] = {}
        self._revisions: list[str] = []
        self._unreachable = False
        self._refusals = 0

    def lines(self) -> Iterator[LogLine]:
        """Lines as they come, for ever. Raises DeploymentNotFound once the app was deleted."""
        while True:
            self._look()
            self._tail = MAX_TAIL_LINES  # from now on, a replica that is new is read from its first line
            deadline = time.monotonic() + self._look_seconds
            while (left := deadline - time.monotonic()) > 0:
                try:
                    line = self._lines.get(timeout=left)
                except Empty:
                    break
                if isinstance(line, LogLine):
                    self._refusals = 0
                    yield line
                else:
                    self._ended(line)

    def _look(self) -> None:
        """Start reading what is there and not being read."""
        try:
            sources = self._sources()
            self._token = self._token or self._app.log_token()
        except (CloudUnavailable, ProvisioningFailed) as error:  # gone, overloaded, or in trouble itself
            if not self._unreachable:
                self._note(f"the cloud does not answer, trying again: {error.message}")
            self._unreachable = True
            return
        if self._unreachable:
            self._note("the cloud answers again")
            self._unreachable = False
        for source in sources:
            key = source.replica
            if key not in self._streams:
                self._note(f"following {source.replica or 'the events of ' + self._app.name}")
                self._streams[key] = _Stream(source, self._tail)
            self._streams[key].read(source, self._token, self._lines)

    def _sources(self) -> list[Source]:
        state = self._app.read()
        if self._system:
            return [Source(state.event_stream, "")]
        wanted = self._revision or state.latest_revision
        found: list[Source] = []
        for name in dict.fromkeys([*self._revisions, wanted]):
            sources = _console_sources(self._app, state, name)
            found += sources
            if not sources and name in self._revisions:
                self._revisions.remove(name)
            if sources and name not in self._revisions:
                self._revisions.append(name)
        return found

    def _ended(self, ended: _Ended) -> None:
        """A stream ended; if its replica is still there, the next look connects again."""
        self._streams[ended.key].reading = False
        if isinstance(ended.error, SignInRequired) and self._refusals < _REFUSALS:
            self._refusals += 1
            self._token = ""  # it was good for about an hour
        elif ended.error is not None and not isinstance(ended.error, CloudUnavailable | DeploymentNotFound):
            raise ended.error


@dataclass(slots=True)
class _Stream:
    """A source, how far it was read, and whether a thread is reading it now."""

    source: Source
    tail: int
    seen: Seen = field(default_factory=Seen)
    reading: bool = False

    def read(self, source: Source, token: str, into: SimpleQueue[LogLine | _Ended]) -> None:
        """Go on reading, unless that is going on. Connecting again asks for all that can be had."""
        if self.reading:
            return
        tail = MAX_TAIL_LINES if self.seen.time else self.tail
        self.source, self.reading = source, True
        Thread(target=self._run, args=(token, tail, into), daemon=True).start()

    def _run(self, token: str, tail: int, into: SimpleQueue[LogLine | _Ended]) -> None:
        error: RemoraError | None = None
        try:
            for line in self.seen.fresh(read_stream(self.source, token, tail=tail, follow=True)):
                into.put(line)
        except RemoraError as problem:
            error = problem
        into.put(_Ended(self.source.replica, error))


@dataclass(frozen=True, slots=True)
class _Ended:
    """A thread's last word about its stream."""

    key: str
    error: RemoraError | None


def _console_sources(app: ContainerApp, state: AppState, revision: str) -> list[Source]:
    base, _, resource = state.event_stream.partition("/subscriptions/")
    path = resource.rsplit("/eventstream", 1)[0]
    try:
        replicas = app.replicas(revision) if revision else []
    except DeploymentNotFound:
        if not app.exists():
            raise
        return []  # a revision that is gone has no replicas
    return [
        Source(
            f"{base}/subscriptions/{path}/revisions/{revision}/replicas/{replica.name}"
            f"/containers/{replica.container}/logstream",
            replica.name,
        )
        for replica in replicas
    ]
