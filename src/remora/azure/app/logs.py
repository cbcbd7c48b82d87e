"""The logs of an app: read once, or followed across broken streams, expired tokens, new replicas, revisions.

Reads each stream in its own thread. `log_stream.py` owns a single connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread

from remora.azure.app.apps import ContainerApp
from remora.azure.app.log_stream import MAX_TAIL_LINES, LogLine, Seen, Source, read_stream
from remora.azure.app.state import AppState
from remora.errors import (
    CloudUnavailable,
    DeploymentNotFound,
    NotReady,
    ProvisioningFailed,
    RemoraError,
    SignInRequired,
)

LOOK_SECONDS = 2.0
"""The interval between two queries for the current replicas."""
_REFUSALS = 3
"""After this many rejected new tokens in a row, the cause is not an expired token."""

Note = Callable[[str], None]


def read_logs(app: ContainerApp, *, revision: str | None, tail: int) -> Iterator[LogLine]:
    """The last lines of the newest replica, oldest first.

    Without a revision it reads the newest with replicas: after a failed rollout, the serving one. Raises
    NotReady if there is no replica.
    """
    sources = _present(app, app.read(), revision)
    yield from read_stream(sources[-1], app.log_token(), tail=tail, follow=False)


def read_all_logs(app: ContainerApp, *, revision: str | None, tail: int) -> list[LogLine]:
    """The last lines of each replica of a revision, by time. Raises NotReady if there is no replica."""
    state = app.read()
    sources = _present(app, state, revision)
    token = app.log_token()
    lines = [line for source in sources for line in read_stream(source, token, tail=tail, follow=False)]
    return sorted(lines, key=lambda line: line.time) if len(sources) > 1 else lines


def read_system_logs(app: ContainerApp, *, tail: int) -> Iterator[LogLine]:
    """The last events of the app, with the platform's actions and their reasons."""
    source = Source(app.read().event_stream, "")
    yield from read_stream(source, app.log_token(), tail=tail, follow=False)


class Follower:
    """Follows an app's logs until it is deleted. `note` receives messages about the streams themselves.

    With `revision` None, it follows the newest revision, including later ones; it follows each replica to
    its end. No line appears twice, and none is lost if a replica prints fewer than 300 lines while its
    stream is down.
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
        """Yield lines forever. Raises DeploymentNotFound once the app is deleted."""
        while True:
            self._look()
            self._tail = MAX_TAIL_LINES  # a replica that appears later is read from its first line
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
        """Start reading the streams that are not being read yet."""
        try:
            sources = self._sources()
            self._token = self._token or self._app.log_token()
        except (CloudUnavailable, ProvisioningFailed) as error:  # unreachable, overloaded or failing
            if not self._unreachable:
                self._note(f"the cloud does not answer, retrying: {error.message}")
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
        wanted = [self._revision] if self._revision else _wanted(state)
        found: list[Source] = []
        for name in dict.fromkeys([*self._revisions, *wanted]):
            if found and name not in (*self._revisions, wanted[0]):
                continue  # the serving revision matters only while no newer one runs
            sources = _console_sources(self._app, state, name)
            found += sources
            if not sources and name in self._revisions:
                self._revisions.remove(name)
            if sources and name not in self._revisions:
                self._revisions.append(name)
        return found

    def _ended(self, ended: _Ended) -> None:
        """Handle the end of a stream; if its replica still exists, `_look` connects again."""
        self._streams[ended.key].reading = False
        if isinstance(ended.error, SignInRequired) and self._refusals < _REFUSALS:
            self._refusals += 1
            self._token = ""  # tokens expire after about an hour
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
        """Start to read, unless a thread already does. A reconnect requests as many lines as possible."""
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
    """A thread's final message: the end of its stream."""

    key: str
    error: RemoraError | None


def _present(app: ContainerApp, state: AppState, revision: str | None) -> list[Source]:
    """The replicas to read. Raises NotReady if there is none."""
    names = [revision] if revision else _wanted(state)
    sources = next((found for name in names if (found := _console_sources(app, state, name))), [])
    if not sources:
        raise NotReady(
            f"revision {names[0]!r} has no replica now: it was scaled to zero, or never started",
            hint="see why with: remora logs --system",
        )
    return sources


def _wanted(state: AppState) -> list[str]:
    """The revisions to show lines of: the newest, else the serving one."""
    return list(dict.fromkeys([state.latest_revision, state.serving_revision or state.latest_revision]))


def _console_sources(app: ContainerApp, state: AppState, revision: str) -> list[Source]:
    base, _, resource = state.event_stream.partition("/subscriptions/")
    path = resource.rsplit("/eventstream", 1)[0]
    try:
        replicas = app.replicas(revision) if revision else []
    except DeploymentNotFound:
        if not app.exists():
            raise
        return []  # a deleted revision has no replicas
    return [
        Source(
            f"{base}/subscriptions/{path}/revisions/{revision}/replicas/{replica.name}"
            f"/containers/{replica.container}/logstream",
            replica.name,
        )
        for replica in replicas
    ]
