"""A new revision beside the serving one, or in its place: created, given the traffic, or removed.

Owns every change of an app's revisions and traffic in a rollout, and how to undo each; decides nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from remora.azure.app.apps import ContainerApp
from remora.azure.app.scale import Scale
from remora.azure.app.state import AppState, Revision
from remora.azure.app.traffic import Traffic
from remora.rollout.steps import Step, Steps

RELEASE_VARIABLE = "REMORA_RELEASE"
ADAPTERS_VARIABLE = "REMORA_ADAPTERS"
_CPU_PROFILES = frozenset({"", "Consumption"})


@dataclass(frozen=True, slots=True)
class Before:
    """The state of the app when the rollout began. `serving` is "" if nothing has served yet."""

    state: AppState
    revisions: tuple[Revision, ...]
    serving: str

    @property
    def environment(self) -> Mapping[str, str]:
        """The serving revision's plain variables; the app's own if nothing serves yet."""
        found = (revision.environment for revision in self.revisions if revision.name == self.serving)
        return next(found, self.state.environment if not self.serving else {})

    @property
    def release(self) -> str:
        """The release that serves, "" if it is not one of ours."""
        return self.environment.get(RELEASE_VARIABLE, "") if self.serving else ""

    @property
    def latest_active(self) -> str:
        """The latest revision, "" if it was put to sleep: then no traffic can be pinned to it."""
        names = [revision.name for revision in self.revisions if revision.active]
        return self.state.latest_revision if self.state.latest_revision in names else ""

    @property
    def scale(self) -> Scale:
        found = (revision for revision in self.revisions if revision.name == self.serving)
        serving = next(found, None) or self.state
        return serving.scale

    @property
    def keeps_former(self) -> bool:
        """Whether the former revision keeps running without traffic, for a rollback.

        It costs nothing if it scales to zero, and little on CPU. On a GPU it would occupy a second one, so
        it is stopped there, and a rollback waits for its start.
        """
        is_cheap = self.state.workload_profile in _CPU_PROFILES or not self.scale.stays_awake
        return self.release != "" and is_cheap

    def former(self, release: str) -> Revision | None:
        """The running revision that a rollback would go back to: the newest one of this release.

        If the release is not known (""), the newest one that is older than the serving revision: before a
        rollout creates a revision, it stops those that never got traffic.
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
        """Running revisions without traffic, newer than the serving one: leftovers of killed rollouts."""
        names = [revision.name for revision in self.revisions]
        newer = self.revisions[names.index(self.serving) + 1 :] if self.serving in names else ()
        carrying = {share.revision for share in self.state.traffic.shares if share.weight}
        return tuple(item.name for item in newer if item.active and item.name not in carrying)


def look(app: ContainerApp) -> Before:
    """Read the current state of the app."""
    state, revisions = app.read(), tuple(app.revisions())
    serving = state.serving_revision
    # Before the first release there is no revision to pin the traffic to. If the first release fails its
    # check and is stopped, the traffic still follows it as the latest revision: then nothing serves.
    stopped = any(revision.name == serving and not revision.active for revision in revisions)
    return Before(state, revisions, "" if stopped and not state.traffic.is_pinned else serving)


class Candidate:
    """One rollout's changes to the app. `prepare` and `start` move no traffic.

    `in_place` stops the serving revision as soon as the new one is created, for an app that has no room for
    both; the new one starts in the freed room. Nothing answers until the switch, or until `take_back` has
    restarted the former one. ARM requires this order: if the traffic goes to a stopped revision, it accepts
    no new revision.
    """

    def __init__(self, app: ContainerApp, before: Before, *, in_place: bool = False) -> None:
        self.name = ""
        self._app = app
        self._before = before
        self._in_place = in_place
        self._pinned: Traffic | None = None
        self._directed = False
        self._started = False
        self._ran_before = False
        self._stopped: list[str] = []

    def prepare(self, keep: Collection[str], steps: Steps) -> None:
        """Make sure that a new revision gets no traffic by itself, and stop leftovers of killed rollouts."""
        state, before = self._before.state, self._before
        self._pinned = state.traffic
        first = before.serving or before.latest_active
        if first and not state.traffic.is_pinned:
            self._pinned = state.traffic.pinned(first)
            mode = "" if state.traffic.multiple else "switching the app to Multiple revision mode and "
            with steps(f"{mode}pinning the traffic to {first}") as say:
                self._app.direct(self._pinned)
                say(f"the traffic stays on {first} until the new revision has passed its check")
        for stray in before.strays:
            if stray not in keep:
                with steps(f"stopping {stray}, which an interrupted rollout left"):
                    self._app.deactivate(stray)

    def wake_serving(self, steps: Steps) -> None:
        """Activate the serving revision if it was deactivated: else ARM accepts no new revision."""
        before = self._before
        serving = next((one for one in before.revisions if one.name == before.serving), None)
        if serving is not None and not serving.active:
            with steps(f"activating {serving.name}, which has the traffic and was deactivated"):
                self._app.activate(serving.name)

    def start(self, environment: Mapping[str, str], scale: Scale, say: Step) -> str:
        """Create the revision, or reuse one that an interrupted rollout created; returns its name."""
        self._started = True
        self.name = self._app.roll_out(environment, scale)
        if not self._app.revision(self.name).active:
            self._app.activate(self.name)
        if self._in_place:
            self._make_room(say)
        return self.name

    def adopt(self, revision: Revision) -> None:
        """Use a revision that exists instead of a new one; an undo leaves it as it was."""
        self.name, self._ran_before = revision.name, revision.active and not revision.ending

    def resume(self, say: Step) -> None:
        """Start the adopted revision."""
        if not self._ran_before:
            self._app.activate(self.name)
        if self._in_place:
            self._make_room(say)

    def switch(self) -> None:
        """Switch all traffic to it."""
        self._directed = True
        self._app.direct((self._pinned or self._before.state.traffic).all_to(self.name))

    def settle(self) -> str:
        """Stop the revisions that are no longer needed; returns the former one if it keeps running."""
        keeps = self._before.keeps_former and not self._in_place
        kept = self._before.serving if keeps else ""
        stop_others(self._app, self._before, {self.name, kept})
        return kept

    def take_back(self) -> None:
        """Undo: start the revisions that made room, restore the traffic, and stop what did not run before."""
        for name in self._stopped:
            self._app.activate(name)
        if self._directed and self._pinned is not None:
            self._app.direct(self._pinned)
        name = self.name or self._made_meanwhile()
        if name and not self._ran_before:
            self._app.deactivate(name)

    def _make_room(self, say: Step) -> None:
        for revision in self._app.revisions():
            if revision.active and revision.name != self.name:
                say.reason(f"stopping {revision.name} to make room: nothing answers until the new one does")
                self._stopped.append(revision.name)
                self._app.deactivate(revision.name)

    def _made_meanwhile(self) -> str:
        """The revision that an interrupted `start` created without returning its name."""
        latest = self._app.read().latest_revision if self._started else ""
        return "" if latest in (self._before.serving, self._before.state.latest_revision) else latest


def stop_others(app: ContainerApp, before: Before, needed: Collection[str]) -> None:
    """Stop every running revision, except these and those with a traffic label."""
    labelled = {share.revision for share in before.state.traffic.shares if share.label}
    for revision in app.revisions():
        if revision.active and revision.name not in {*needed, *labelled}:
            app.deactivate(revision.name)
