"""A new revision beside the one that serves: made without traffic, made ready, given the traffic, taken away.

Owns every change of an app's revisions and traffic in a rollout, and the way back from each; decides nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from remora.azure.apps import AppState, ContainerApp, Revision
from remora.azure.traffic import Traffic
from remora.errors import RemoraError
from remora.rollout.steps import Steps

RELEASE_VARIABLE = "REMORA_RELEASE"
ADAPTERS_VARIABLE = "REMORA_ADAPTERS"
_CPU_PROFILES = frozenset({"", "Consumption"})


@dataclass(frozen=True, slots=True)
class Scale:
    """How many replicas the new revision may have."""

    min_replicas: int
    max_replicas: int


@dataclass(frozen=True, slots=True)
class Before:
    """What served when the rollout began. `serving` is "" where nothing ever did."""

    state: AppState
    revisions: tuple[Revision, ...]
    serving: str

    @property
    def environment(self) -> Mapping[str, str]:
        """The serving revision's plain variables; the app's own where nothing serves yet."""
        found = (revision.environment for revision in self.revisions if revision.name == self.serving)
        return next(found, self.state.environment if not self.serving else {})

    @property
    def release(self) -> str:
        """The release that serves, "" for none of ours."""
        return self.environment.get(RELEASE_VARIABLE, "") if self.serving else ""

    @property
    def scale(self) -> Scale:
        found = (revision for revision in self.revisions if revision.name == self.serving)
        serving = next(found, None) or self.state
        return Scale(serving.min_replicas, serving.max_replicas)

    @property
    def keeps_former(self) -> bool:
        """Whether what served may run on, for a rollback, without traffic.

        It costs nothing where it scales to zero, and little on CPU. On a GPU it would hold a second one, so
        there it is stopped, and a rollback waits for its start.
        """
        is_cheap = self.state.workload_profile in _CPU_PROFILES or self.scale.min_replicas == 0
        return self.release != "" and is_cheap

    def former(self, release: str) -> Revision | None:
        """The running revision that a rollback would go back to: the newest of this release.

        Where the release is not known (""), the newest that is older than the serving one: a rollout stops
        what no traffic ever reached before it makes a newer one.
        """
        names = [revision.name for revision in self.revisions]
        older = names[: names.index(self.serving)] if self.serving in names else []
        found = [
            one
            for one in self.revisions
            if one.active
            and one.name != self.serving
            and (one.environment.get(RELEASE_VARIABLE) == release if release else one.name in older)
        ]
        return found[-1] if found else None

    @property
    def strays(self) -> tuple[str, ...]:
        """Running revisions without traffic that are newer than the serving one: what dead rollouts left."""
        names = [revision.name for revision in self.revisions]
        newer = self.revisions[names.index(self.serving) + 1 :] if self.serving in names else ()
        carrying = {share.revision for share in self.state.traffic.shares if share.weight}
        return tuple(item.name for item in newer if item.active and item.name not in carrying)


def look(app: ContainerApp) -> Before:
    """The app as it is now."""
    state = app.read()
    return Before(state, tuple(app.revisions()), state.serving_revision)


class Candidate:
    """One rollout's changes to the app. `prepare` and `start` give no traffic to anybody."""

    def __init__(self, app: ContainerApp, before: Before) -> None:
        self.name = ""
        self._app = app
        self._before = before
        self._pinned: Traffic | None = None
        self._directed = False
        self._started = False

    def prepare(self, keep: Collection[str], steps: Steps) -> None:
        """Make sure that a new revision gets no traffic by itself, and stop what dead rollouts left."""
        state, before = self._before.state, self._before
        self._pinned = state.traffic
        first = before.serving or state.latest_revision
        if first and not state.traffic.is_pinned:
            self._pinned = state.traffic.pinned(first)
            mode = "" if state.traffic.multiple else "switching the app to Multiple revision mode and "
            with steps(f"{mode}pinning the traffic to {first}") as say:
                self._app.direct(self._pinned)
                say(f"the traffic stays with {first} until the new revision is checked")
        for stray in before.strays:
            if stray not in keep:
                with steps(f"stopping {stray}, which an interrupted rollout left"):
                    self._app.deactivate(stray)

    def start(self, environment: Mapping[str, str], scale: Scale) -> str:
        """Make the revision, or take up one that an interrupted rollout made; returns its name."""
        self._started = True
        self.name = self._app.roll_out(
            environment, min_replicas=scale.min_replicas, max_replicas=scale.max_replicas
        )
        if not self._app.revision(self.name).active:
            self._app.activate(self.name)
        return self.name

    def switch(self) -> None:
        """Give it all the traffic."""
        self._directed = True
        self._app.direct((self._pinned or self._before.state.traffic).all_to(self.name))

    def settle(self) -> bool:
        """Stop what is not needed any more; returns whether the former revision runs on, for a rollback."""
        keeps = self._before.keeps_former
        stop_others(self._app, self._before, {self.name, self._before.serving if keeps else ""})
        return keeps

    @contextmanager
    def or_back(self, steps: Steps) -> Iterator[None]:
        """Whatever ends the block early, Ctrl+C too: what served before serves on."""
        try:
            yield
        except BaseException:
            with suppress(RemoraError), steps("going back to what served before"):
                self.take_back()
            raise

    def take_back(self) -> None:
        """Undo: the traffic goes where it went, and the candidate, if there is one, stops."""
        if self._directed and self._pinned is not None:
            self._app.direct(self._pinned)
        if name := self.name or self._made_meanwhile():
            self._app.deactivate(name)

    def _made_meanwhile(self) -> str:
        """The revision that an interrupted `start` has made and did not get to name."""
        latest = self._app.read().latest_revision if self._started else ""
        return "" if latest in (self._before.serving, self._before.state.latest_revision) else latest


def stop_others(app: ContainerApp, before: Before, needed: Collection[str]) -> None:
    """Stop every running revision but these and those that a label of the traffic names."""
    labelled = {share.revision for share in before.state.traffic.shares if share.label}
    for revision in app.revisions():
        if revision.active and revision.name not in {*needed, *labelled}:
            app.deactivate(revision.name)
