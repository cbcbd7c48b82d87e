"""The first request to an endpoint that sleeps: waits for its answer, and shows what happens meanwhile.

With `min_replicas = 0` the ingress holds a request until a replica is ready; Azure's cuts it after 240 s.
Such a cut is no failure while a replica starts, so the request is sent again. Where the serving revision
cannot start, the wait ends at once, with the reason, as the wait of a deploy does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

from remora.azure.app.apps import ContainerApp
from remora.azure.app.logs import read_logs
from remora.azure.app.readiness import Watch
from remora.cli.output.console import Output
from remora.cli.output.step import Step
from remora.errors import NotReady, RemoraError

WAKE_SECONDS = 1200.0
_QUIET_SECONDS = 2.0
"""An endpoint that is awake has answered by then, and nothing is shown."""
_LOOK_SECONDS = 1.0
_CUT_SECONDS = 10.0
"""A request that fails later was held by the ingress and then cut."""
_SHOWN_CHARACTERS = 100

T = TypeVar("T")


def answered(
    app: ContainerApp,
    out: Output,
    ask: Callable[[], T],
    *,
    timeout_seconds: float = WAKE_SECONDS,
    sent_again_after: float = _CUT_SECONDS,
) -> T:
    """The answer to a request that may wake the endpoint.

    Raises what it raises, and NotReady if it is too late or the endpoint cannot start.

    A request that failed after `sent_again_after` seconds or more is sent again.
    """
    ends: SimpleQueue[T | BaseException] = SimpleQueue()
    deadline = time.monotonic() + timeout_seconds
    asking = Thread(target=_ask, args=(ask, ends, deadline, sent_again_after), daemon=True)
    asking.start()
    end = _next(ends, _QUIET_SECONDS)
    if end is None or isinstance(end, NotReady):
        with out.step("the endpoint wakes up") as say:
            sleeper = _Sleeper(app, say)
            while end is None:
                if time.monotonic() > deadline:
                    raise NotReady(
                        f"the endpoint did not wake up in {timeout_seconds:.0f} s", hint="see: remora why"
                    )
                sleeper.look()
                end = _next(ends, _LOOK_SECONDS)
            if isinstance(end, NotReady):
                sleeper.look()  # why a revision cannot start says more than what the ingress answers
            if isinstance(end, BaseException):
                raise end
            say("the endpoint is awake")
    if isinstance(end, BaseException):
        raise end
    return end


def _ask(
    ask: Callable[[], T], ends: SimpleQueue[T | BaseException], deadline: float, sent_again_after: float
) -> None:
    while True:
        started = time.monotonic()
        try:
            ends.put(ask())
            return
        except BaseException as error:
            held = time.monotonic() - started >= sent_again_after
            waits = isinstance(error, NotReady)
            if not (waits and held and time.monotonic() < deadline):
                ends.put(error)
                return
            time.sleep(_LOOK_SECONDS)


def _next(ends: SimpleQueue[T | BaseException], seconds: float) -> T | BaseException | None:
    try:
        return ends.get(timeout=seconds)
    except Empty:
        return None


class _Sleeper:
    """The app while its serving revision starts: what is new in the system log and on the console."""

    def __init__(self, app: ContainerApp, say: Step) -> None:
        self._app = app
        self._say = say
        self._watch: Watch | None = None

    def look(self) -> None:
        """Tell what is new. Raises NotReady where the revision cannot start."""
        try:
            problem = self._tell()
        except RemoraError as error:  # the cloud may answer the next time
            self._say.now(error.message)
            return
        if problem:
            raise NotReady(problem, hint="see: remora why")

    def _tell(self) -> str:
        """Why waiting is useless; "" if it is not."""
        state = self._app.read()
        name = state.serving_revision or state.latest_revision
        if self._watch is None or self._watch.revision != name:
            self._watch = Watch(self._app, name)
        now, replicas = self._app.revision(name), self._app.replicas(name)
        if event := self._watch.news():
            self._say.reason(event)
        if problem := self._watch.hopeless(now, replicas):
            return self._watch.why(now, problem)
        if line := self._newest_line(name):
            self._say.line(line)
        else:
            self._say.now(f"{name}: {now.state or 'starting'}")
        return ""

    def _newest_line(self, revision: str) -> str:
        try:
            texts = [line.text for line in read_logs(self._app, revision=revision, tail=3)]
        except NotReady:  # there is no replica yet
            return ""
        return next((text[:_SHOWN_CHARACTERS] for text in reversed(texts) if text.strip()), "")
