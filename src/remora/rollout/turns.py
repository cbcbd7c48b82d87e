"""The three ways in which an app gets to run the payload: stay, restart, or a new revision.

All have the same steps; `deploy.py` chooses between them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from remora.azure.app.apps import ContainerApp
from remora.rollout.payload import Load
from remora.rollout.revision.candidate import Before, Candidate
from remora.rollout.revision.restart import restart_replicas
from remora.rollout.steps import Step, Steps


class Turn(Protocol):
    """`moves`: there is a candidate that must be checked before the traffic goes to it.

    `event` is its name in the history; "" means that nothing is recorded.
    """

    moves: bool
    event: str
    label: str
    outcome: str

    def prepare(self, steps: Steps) -> None:
        """Prepare the app before anything starts."""

    def start(self, say: Step) -> str:
        """Start; returns the name of the revision to wait for."""

    def switch(self) -> None:
        """Switch the traffic to it."""

    def back(self) -> None:
        """Undo everything."""

    def settle(self) -> str:
        """Clean up; returns the name of the former revision if it keeps running."""


class Stay:
    """The payload already serves: make sure that it runs, and complete a rollout that was killed."""

    moves, event = False, ""
    label, outcome = "checking the revision", "is up to date"

    def __init__(self, app: ContainerApp, before: Before, finish: Callable[[], None]) -> None:
        self._app = app
        self._before = before
        self._finish = finish

    def prepare(self, steps: Steps) -> None:
        """Nothing."""

    def start(self, say: Step) -> str:
        """Activate a revision that was stopped, for example in the portal: it never wakes by itself."""
        name = self._before.serving
        now = self._app.revision(name)
        if not now.active:
            say.reason(f"revision {name} has the traffic and was deactivated: activating it")
            self._app.activate(name)
        elif now.failed:
            self._app.restart(name)
        return name

    def switch(self) -> None:
        """Nothing."""

    def back(self) -> None:
        """Nothing: the same revision served before."""

    def settle(self) -> str:
        self._finish()
        return ""


class Restart(Stay):
    """Restart in place, as AI Toolkit does: nothing answers for a while, and there is no way back."""

    event = "restart"
    label, outcome = "restarting", "is restarted"

    def __init__(
        self, app: ContainerApp, before: Before, finish: Callable[[], None], *, timeout_seconds: float
    ) -> None:
        super().__init__(app, before, finish)
        self._timeout_seconds = timeout_seconds

    def start(self, say: Step) -> str:
        name = self._before.serving or self._before.state.latest_revision
        if not self._app.revision(name).active:
            self._app.activate(name)
            return name
        restart_replicas(self._app, name, timeout_seconds=self._timeout_seconds, say=say)
        return name


class Replace:
    """A candidate replaces the serving revision: it starts beside it, or after it stops if `in_place`."""

    moves, event = True, "deploy"
    outcome = "is ready, without traffic"

    def __init__(self, app: ContainerApp, before: Before, load: Load, *, in_place: bool) -> None:
        where = "in place of" if in_place else "beside"
        self.label = f"starting a new revision {where} the serving one"
        self._before = before
        self._load = load
        self._candidate = Candidate(app, before, in_place=in_place)

    def prepare(self, steps: Steps) -> None:
        keep = {one.name for one in self._before.revisions if self._load.runs_in(one)}
        self._candidate.prepare(keep - {self._before.serving}, steps)
        self._candidate.wake_serving(steps)

    def start(self, say: Step) -> str:
        return self._candidate.start(self._load.environment, self._load.scale, say)

    def switch(self) -> None:
        self._candidate.switch()

    def back(self) -> None:
        self._candidate.take_back()

    def settle(self) -> str:
        return self._candidate.settle()
