"""Waits until a revision serves. Owns when waiting is useless; changes nothing.

Azure calls a revision "Degraded" while one replica is up and another is not, which is also how two of them
start. So that state decides nothing. Replicas that end again and again end the wait, and so does a lack of
capacity that will not change. New events of the system log are reported within a few seconds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from remora.azure.app.apps import ContainerApp
from remora.azure.app.logs import read_system_logs
from remora.azure.app.state import Replica, Revision
from remora.errors import NotReady, RemoraError

_LOOK_SECONDS = 2.0
_EVENTS_SECONDS = 2.0
_EVENTS = 40
_EXITS = 3
"""This many exits of a container that never became ready are a crash loop."""
_INACTIVE_SECONDS = 10.0  # an activation can become visible late
_NO_ROOM_SECONDS = 5.0  # a replica that was just stopped frees its place
_NOT_YET = "Readiness probe failed: HTTP probe failed with statuscode: 503"  # how every start begins
_NOT_ASSIGNED, _WAITS = "AssigningReplicaFailed", "AssigningReplica:"


class Waiting(Protocol):
    """Receives the progress of the wait."""

    def now(self, text: str) -> None:
        """Called with the current state."""

    def reason(self, text: str) -> None:
        """Called once with a reason that the cloud reports."""


def wait_until_ready(app: ContainerApp, revision: str, *, timeout_seconds: float, say: Waiting) -> None:
    """Return when the revision serves. Raises NotReady, with the reason, if it cannot or is too late."""
    watch = Watch(app, revision)
    deadline = time.monotonic() + timeout_seconds
    while True:
        now, replicas = app.revision(revision), app.replicas(revision)
        if _is_ready(now, replicas) and _is_noticed(app, revision):
            return
        if problem := watch.hopeless(now, replicas):
            raise NotReady(watch.why(now, problem), hint="see: remora logs")
        if time.monotonic() > deadline:
            late = f"was not ready in {timeout_seconds:.0f} s"
            raise NotReady(watch.why(now, late), hint="see: remora logs")
        say.now(f"revision {revision}: {now.state or 'starting'}")
        if event := watch.news():
            say.reason(event)
        time.sleep(min(app.clients.profile.poll_seconds, _LOOK_SECONDS))


class Watch:
    """What is known of one revision since the wait for it started."""

    def __init__(self, app: ContainerApp, revision: str) -> None:
        self.revision = revision
        self._app = app
        self._event = ""  # the newest one in the system log
        self._told = ""
        self._looked_at = float("-inf")
        self._restarts: dict[str, int] = {}
        self._since: dict[str, float] = {}

    def hopeless(self, now: Revision, replicas: Sequence[Replica]) -> str:
        """Why waiting is useless; "" if it is not."""
        if now.failed:
            return "failed"
        if self._lasts("inactive", _INACTIVE_SECONDS, so=not now.active):
            return "is not active: it was deactivated"
        for replica in replicas:
            first = self._restarts.setdefault(replica.name, replica.restarts)
            if not replica.ready and replica.restarts - first >= _EXITS:
                return f"cannot start: replica {replica.name} has ended {replica.restarts} times"
        waits = _NOT_ASSIGNED in self._event or any(one.details.startswith(_WAITS) for one in replicas)
        if self._lasts("no room", _NO_ROOM_SECONDS, so=waits) and self._is_in_own_way(now):
            return (
                "has no capacity next to the serving revision, which keeps its own until it is stopped"
                " (--strategy in-place stops it first)"
            )
        return ""

    def news(self) -> str:
        """The newest event of the revision in the system log; "" if none is new and worth telling.

        That a replica which loads its model is not ready yet is what is waited for.
        """
        if time.monotonic() - self._looked_at < _EVENTS_SECONDS:
            return ""
        self._looked_at = time.monotonic()
        with suppress(RemoraError):  # the reason is optional; the wait continues without it
            for line in read_system_logs(self._app, tail=_EVENTS):
                if line.replica == self.revision or line.replica.startswith(f"{self.revision}-"):
                    self._event = line.text
        told, self._told = self._told, self._event
        return "" if self._event == told or _NOT_YET in self._event else self._event

    def why(self, now: Revision, what: str) -> str:
        """A sentence: what is wrong with the revision, and the newest reason that the cloud reports."""
        reason = now.details or self._event
        told = f"revision {now.name!r} {what} (state {now.state or 'unknown'})"
        return f"{told}: {reason}" if reason else told

    def _is_in_own_way(self, now: Revision) -> bool:
        """Whether other revisions of the same app, which never scale to zero, use the capacity."""
        others = [one for one in self._app.revisions() if one.active and one.name != now.name]
        return any(one.replicas and one.scale.min_replicas for one in others)

    def _lasts(self, what: str, seconds: float, *, so: bool) -> bool:
        """Whether a condition has held for that long."""
        if not so:
            self._since.pop(what, None)
            return False
        return time.monotonic() - self._since.setdefault(what, time.monotonic()) >= seconds


def _is_ready(now: Revision, replicas: Sequence[Replica]) -> bool:
    """Whether the cloud reports it as healthy, or the required number of replicas is ready."""
    if not now.active or now.failed:
        return False
    return now.health == "Healthy" or sum(one.ready for one in replicas) >= max(now.scale.min_replicas, 1)


def _is_noticed(app: ContainerApp, revision: str) -> bool:
    """Whether the app's document, which lags behind, also shows its latest revision as ready."""
    state = app.read()
    return state.latest_revision != revision or state.latest_ready_revision == revision
