"""The first request to an endpoint that sleeps: waits for its answer, and shows what happens meanwhile.

With `min_replicas = 0` the ingress holds a request until a replica is ready; Azure's cuts it after 240 s.
Such a cut is no failure while a replica starts, so the request is sent again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

from remora.azure.app.apps import ContainerApp
from remora.azure.app.log_stream import LogLine
from remora.azure.app.logs import read_logs
from remora.cli.output.console import Output
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
    """The answer to a request that may wake the endpoint. Raises what it raises, NotReady if it is too late.

    A request that failed after `sent_again_after` seconds or more is sent again.
    """
    ends: SimpleQueue[T | BaseException] = SimpleQueue()
    deadline = time.monotonic() + timeout_seconds
    asking = Thread(target=_ask, args=(ask, ends, deadline, sent_again_after), daemon=True)
    asking.start()
    end = _next(ends, _QUIET_SECONDS)
    if end is None:
        with out.step("the endpoint wakes up") as say:
            while end is None:
                if time.monotonic() > deadline:
                    raise NotReady(
                        f"the endpoint did not wake up in {timeout_seconds:.0f} s", hint="see: remora why"
                    )
                say.now(_progress(app))
                end = _next(ends, _LOOK_SECONDS)
            if not isinstance(end, BaseException):
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


def _progress(app: ContainerApp) -> str:
    """The newest line of the replica that starts, else the state of its revision."""
    try:
        state = app.read()
        name = state.serving_revision or state.latest_revision
        lines = [line.text for line in _lines(app, name) if line.text.strip()]
        return lines[-1][:_SHOWN_CHARACTERS] if lines else f"{name}: {app.revision(name).state or 'starting'}"
    except RemoraError as error:
        return error.message


def _lines(app: ContainerApp, revision: str) -> list[LogLine]:
    try:
        return list(read_logs(app, revision=revision, tail=3))
    except NotReady:  # there is no replica yet
        return []
