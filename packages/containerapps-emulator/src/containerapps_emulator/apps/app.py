"""One container app at work: its revisions, which of them gets the traffic, its ingress listeners.

Owns every change of an app's and its revisions' records. Knows no ARM
documents beyond the properties in them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from dataclasses import replace
from typing import Any

from containerapps_emulator.apps.documents.defaults import essence, most_inactive
from containerapps_emulator.apps.documents.names import revision_name
from containerapps_emulator.apps.documents.not_acted_upon import not_acted_upon
from containerapps_emulator.apps.documents.records import AppRecord, RevisionRecord
from containerapps_emulator.apps.documents.refusals import IN_TEMPLATE, invalid
from containerapps_emulator.apps.documents.traffic_defaults import check_revisions, labelled
from containerapps_emulator.apps.ingress.exchange import Failure
from containerapps_emulator.apps.ingress.listener import STOPPED as NO_APP
from containerapps_emulator.apps.ingress.listener import UNREACHABLE, Backend, Ingress, Route
from containerapps_emulator.apps.ingress.traffic import WeightedTurns, asked_for, weights_of
from containerapps_emulator.apps.replicas.console import LineLog
from containerapps_emulator.apps.replicas.events import SystemLog
from containerapps_emulator.apps.revision import ASLEEP, STOPPED, Revision, RevisionParts, RevisionStatus
from containerapps_emulator.apps.runtime import Runtime
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.background import in_background, surviving
from containerapps_emulator.state import Json


class App:
    """Made from its record. `stop` takes it down, not the record.

    After `start` it listens, and sleeps: what the record says is brought up by the first who asks, be it with
    a request or for its revisions. So a control plane that comes back with ten apps starts those in use.
    """

    def __init__(self, record: AppRecord, runtime: Runtime) -> None:
        self.record = record
        self._host = host = runtime.host
        self._records = runtime.records
        self._turns = WeightedTurns()
        self._ingress: Ingress | None = None
        self._doors: dict[str, Ingress] = {}  # of single revisions
        self._running: dict[str, Revision] = {}
        self._leaving: dict[str, Revision] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._change = asyncio.Lock()
        self._closing = False
        self._asleep = False
        lines = LineLog(host.log_folder(record.group, record.name) / "system.log", host.clock)
        self.events = SystemLog(record.name, lines)
        self._parts = RevisionParts(lambda: self.record, runtime, self.events, self._on_change)

    @property
    def revisions(self) -> list[RevisionRecord]:
        return self._records.revisions(self.record)

    def running(self, revision: str) -> Revision | None:
        return self._running.get(revision)

    def at_work(self, revision: str) -> Revision | None:
        """The same, also while it ends: until then Azure shows it as it was."""
        return self._running.get(revision) or self._leaving.get(revision)

    def status(self, revision: RevisionRecord) -> RevisionStatus:
        revision_at_work = self.at_work(revision.name)
        if revision_at_work is None and revision.active and self._asleep:
            return ASLEEP
        return revision_at_work.status() if revision_at_work else STOPPED

    def weight(self, revision: str) -> int:
        """The share of the traffic that the configuration gives to a revision; none without ingress."""
        if not self.record.ingress:
            return 0
        return self._weights(self.record.latest).get(revision, 0)

    async def start(self) -> None:
        async with self._change:
            self._asleep = not self.record.stopped
            await self._open_ingress()
            for revision in self.revisions if self._asleep else ():
                if revision.active:
                    await self._open_door(revision)

    def wake_soon(self) -> None:
        """Somebody asks for it."""
        if self._asleep and not self._closing:
            self._in_background(self._wake(), "the start")

    async def _wake(self) -> None:
        async with self._change:
            await self._bring_up()

    async def _bring_up(self) -> None:
        """With `_change` held. An app that is up, or stopped, is a no-op."""
        if self._asleep and not self._closing:
            for revision in self.revisions:
                if revision.active:
                    await self._run(revision)
            self._asleep = False
            self._on_change()

    async def stop(self, most_seconds: float) -> None:
        """Take everything down for now; the records stay as they are."""
        self._closing = True
        async with self._change:
            stops = [item.stop(drain=False, most_seconds=most_seconds) for item in self._running.values()]
            await asyncio.gather(*stops)
            if self._background:
                await asyncio.wait(self._background, timeout=most_seconds)
            for revision in self._leaving.values():
                revision.kill()
            await asyncio.gather(*self._background, return_exceptions=True)  # told when they failed
            doors = [self._ingress] if self._ingress else []
            await asyncio.gather(*(door.close() for door in [*doors, *self._doors.values()]))
            self.events.lines.close()

    async def apply(self, properties: Json) -> None:
        """Take over new properties; a template that differs from the latest becomes a new revision."""
        template = properties["template"]
        async with self._change:
            await self._bring_up()
            had_several = self.record.multiple
            self._save(self.record.with_properties(properties))
            self.events.normal("ContainerAppUpdate", f"Updating containerApp: {self.record.name}")
            await self._open_ingress()
            for running in self._running.values():
                running.record = await self._open_door(running.record)
            for item in not_acted_upon(properties):
                message = f"'{item.path}' is kept and has no effect here: {item.why}."
                self.events.warning("NotActedUpon", message)
            latest = self._latest()
            if latest is None or is_new(latest, template):
                await self._add(template)
            if had_several:
                self._retire_all_but(self.record.latest, self.record.latest_ready)
            self._retire_superseded()
            self._retire_without_label()
        self._on_change()

    async def set_stopped(self, stopped: bool) -> None:
        """Stop or start the app as a whole."""
        async with self._change:
            self._asleep = False
            self._save(replace(self.record, stopped=stopped))
            for revision in self.revisions:
                if revision.active and stopped:
                    self._take_down(revision.name)
                elif revision.active:
                    await self._run(revision)
        self._on_change()

    async def activate(self, revision: RevisionRecord) -> None:
        async with self._change:
            await self._bring_up()
            # As on Azure it starts, also one that may scale to zero.
            revision = replace(revision, active=True, proven=False)
            self._records.put_revision(revision)
            if not self.record.stopped:
                await self._run(revision)
        self._on_change()

    async def deactivate(self, revision: RevisionRecord) -> None:
        async with self._change:
            await self._bring_up()
            self._retire(revision)

    async def restart(self, revision: RevisionRecord) -> None:
        await self._wake()
        running = self._running.get(revision.name)
        if running is None:
            if revision.name in self._leaving:
                return  # it ends, and restarts nothing on the way
            raise ArmError(400, "RevisionNotActive", f"Revision '{revision.name}' is not active.")
        self.events.normal("RevisionUpdate", f"Restarting revision: {revision.name}", revision=revision.name)
        running.restart()

    async def route(self, host: str) -> Backend | Failure:
        """Who gets the next request: the revision or label that its host names, else whose turn it is."""
        if self._asleep:
            await self._wake()
        if self.record.stopped:
            return NO_APP
        ready = self.record.latest_ready
        traffic = self.record.traffic if self.record.multiple else ()
        asked = asked_for(host, self.record.name, traffic, ready)
        if asked is not None:
            return self._running.get(asked, NO_APP)
        return self._running.get(self._turns.next(self._weights(ready)) or "", UNREACHABLE)

    def _weights(self, latest: str) -> dict[str, int]:
        if not self.record.multiple or not self.record.ingress:
            return {latest: 100} if latest else {}
        return weights_of(self.record.traffic, latest)

    def _on_change(self) -> None:
        """A replica got ready or not: where that makes the latest revision ready, it takes over."""
        # The next change tries again; the replicas must not end with it.
        with surviving(f"app {self.record.name}: the look at its replicas"):
            if not self._closing:
                self._take_over()

    def _take_over(self) -> None:
        for revision in self._running.values():
            if revision.is_ready and not revision.record.proven:
                revision.record = replace(revision.record, proven=True)
                self._records.put_revision(revision.record)
        latest = self._running.get(self.record.latest)
        if latest is None or not latest.can_serve:
            return
        if self.record.latest_ready == self.record.latest:
            return
        name = self.record.latest
        # Traffic moves with this one assignment: before it every request goes to the former revision,
        # after it to the new one, and the former is stopped only when its requests are done.
        self._save(replace(self.record, latest_ready=name))
        self.events.normal("RevisionReady", f"Successfully provisioned revision '{name}'", revision=name)
        self.events.normal(
            "ContainerAppReady", f"Running state reached for container app: {self.record.name}"
        )
        if not self.record.multiple:
            self.events.normal(
                "TrafficWeightUpdated", f"All traffic goes to revision '{name}'", revision=name
            )
        self._give_label(latest.record)
        self._retire_all_but(name)
        self._retire_without_label()

    def _give_label(self, revision: RevisionRecord) -> None:
        """In Labels mode: a new revision that got ready takes over its label, and the label's weight."""
        if self.record.label and revision.label:
            self._save(self.record.with_traffic(labelled(self.record.traffic, revision.label, revision.name)))
            message = f"Label '{revision.label}' goes to revision '{revision.name}'"
            self.events.normal("TrafficWeightUpdated", message, revision=revision.name)

    def _retire_without_label(self) -> None:
        """In Labels mode a revision that no label leads to ends, except one that is about to get its own."""
        if not self.record.label:
            return
        latest = self.record.latest
        kept = {str(item.get("revisionName") or latest) for item in self.record.traffic}
        if self.record.latest_ready != latest:
            kept.add(latest)
        for revision in self.revisions:
            if revision.active and revision.name not in kept:
                self._retire(revision)

    def _latest(self) -> RevisionRecord | None:
        return next((revision for revision in self.revisions if revision.name == self.record.latest), None)

    async def _add(self, template: Json) -> None:
        record = self.record
        name = revision_name(record.name, record.revisions, template.get("revisionSuffix") or "")
        created = self._host.clock.utc_now().isoformat(timespec="seconds")
        revision = RevisionRecord(record.key, name, record.revisions, created, template, label=record.label)
        # The revision first: a crash in between leaves one that the repeated operation takes for the latest.
        self._records.put_revision(revision)
        self._save(replace(record, revisions=record.revisions + 1, latest=name))
        self.events.normal("RevisionCreation", f"Creating new revision: {name}", revision=name)
        self._forget_oldest()
        if not record.stopped:
            await self._run(revision)

    def _forget_oldest(self) -> None:
        inactive = [revision for revision in self.revisions if not revision.active]
        most = most_inactive(self.record.configuration)
        for revision in inactive[: max(0, len(inactive) - most)]:
            self._records.delete_revision(revision)

    async def _run(self, record: RevisionRecord) -> None:
        if record.name in self._running:
            return
        record = await self._open_door(record)
        revision = self._running[record.name] = Revision(record, self._parts)
        revision.start()

    def _retire_superseded(self) -> None:
        """In Single mode: those that a newer one has replaced before they were ready. The others go with the
        next that gets ready, also one that somebody has activated again."""
        revisions = () if self.record.multiple else self.revisions
        ready = next((item.number for item in revisions if item.name == self.record.latest_ready), -1)
        for revision in revisions:
            if revision.active and revision.number > ready and revision.name != self.record.latest:
                self._retire(revision)

    def _retire_all_but(self, *kept: str) -> None:
        """In Single mode only the serving revision and the one that will follow it stay active."""
        if self.record.multiple:
            return
        for revision in self.revisions:
            if revision.active and revision.name not in kept:
                self._retire(revision)

    def _retire(self, revision: RevisionRecord) -> None:
        now = self._host.clock.utc_now().isoformat(timespec="seconds")
        self._records.put_revision(replace(revision, active=False, last_active_at=now))
        self.events.normal(
            "RevisionDeactivating", f"Deactivating revision: {revision.name}", revision=revision.name
        )
        self._take_down(revision.name)
        self._forget_oldest()

    def _take_down(self, name: str) -> None:
        if revision := self._running.pop(name, None):
            self._leaving[name] = revision
            self._in_background(self._see_off(name, revision), f"the end of {name}")

    async def _see_off(self, name: str, revision: Revision) -> None:
        try:
            await revision.stop()
        finally:
            # It is not stopped before its port is free; one that was activated meanwhile keeps its door.
            if name not in self._running and (door := self._doors.pop(name, None)):
                await door.close()
            if self._leaving.get(name) is revision:
                del self._leaving[name]

    def _in_background(self, work: Coroutine[Any, Any, None], what: str) -> None:
        task = in_background(work, f"app {self.record.name}: {what}")
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _open_ingress(self) -> None:
        if self.record.ingress and self._ingress is None:
            self._ingress = self._listener(self.route)
            self._save(replace(self.record, port=await self._ingress.open(self.record.port)))
        elif not self.record.ingress and self._ingress is not None:
            doors, self._doors = list(self._doors.values()), {}
            await asyncio.gather(*(door.close() for door in (self._ingress, *doors)))
            self._ingress = None

    async def _open_door(self, record: RevisionRecord) -> RevisionRecord:
        """The revision's own listener: what tries a revision before it gets traffic comes this way."""
        if not self.record.ingress:
            return record
        if record.name in self._doors:
            return record

        async def only(_: str) -> Backend | Failure:
            if self._asleep:
                await self._wake()
            return self._running.get(record.name, NO_APP)

        door = self._doors[record.name] = self._listener(only)
        record = replace(record, active=True, port=await door.open(record.port))
        self._records.put_revision(record)
        return record

    def _listener(self, route: Route) -> Ingress:
        return Ingress(self._host.address, route, self._host.limits.request_seconds)

    def _save(self, record: AppRecord) -> None:
        if record != self.record:
            self._records.put_app(record)
            self.record = record


def is_new(latest: RevisionRecord, template: Json) -> bool:
    """Whether a template asks for another revision than the latest."""
    suffix = template.get("revisionSuffix") or ""
    other_name = bool(suffix) and not latest.name.endswith(f"--{suffix}")
    return other_name or essence(template) != essence(latest.template)


def check_revision(app: AppRecord, revisions: Collection[RevisionRecord], properties: Json) -> None:
    """Refuse a new revision under the name of an existing one, and traffic to one that is not there."""
    template = properties["template"]
    suffix = template.get("revisionSuffix") or ""
    latest = next((revision for revision in revisions if revision.name == app.latest), None)
    known = {revision.name for revision in revisions}
    if latest is None or is_new(latest, template):
        new = revision_name(app.name, app.revisions, suffix)
        if suffix and new in known:
            raise _suffix_taken(suffix)
        known.add(new)
    ingress = properties["configuration"]["ingress"]
    if properties["configuration"]["activeRevisionsMode"] != "Single":
        check_revisions(ingress["traffic"] if ingress else (), known)


def _suffix_taken(suffix: str) -> ArmError:
    return invalid(
        IN_TEMPLATE, "template.revisionsuffix", suffix, f"revision with suffix {suffix} already exists."
    )
