"""One container app at work: its revisions, which of them gets the traffic, its ingress listeners.

Owns every change of an app's and its revisions' records. Knows no ARM
documents beyond the properties in them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from dataclasses import replace
from typing import Any

from remora.localcloud.apps.console import LineLog
from remora.localcloud.apps.defaults import essence
from remora.localcloud.apps.events import SystemLog
from remora.localcloud.apps.exchange import Failure
from remora.localcloud.apps.ingress import STOPPED as NO_APP
from remora.localcloud.apps.ingress import UNREACHABLE, Backend, Ingress, Route
from remora.localcloud.apps.names import revision_name
from remora.localcloud.apps.records import AppRecord, RevisionRecord
from remora.localcloud.apps.revision import STOPPED, Revision, RevisionParts, RevisionStatus
from remora.localcloud.apps.runtime import Runtime
from remora.localcloud.apps.template_defaults import INVALID
from remora.localcloud.apps.traffic import WeightedTurns, asked_for, weights_of
from remora.localcloud.apps.traffic_defaults import check_revisions
from remora.localcloud.arm.resource import ArmError
from remora.localcloud.state import Json


class App:
    """Made from its record. `start` brings up what the record says; `stop` takes it down, not the record."""

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
        lines = LineLog(host.log_folder(record.group, record.name) / "system.log", host.clock)
        self.events = SystemLog(record.name, lines)
        self._parts = RevisionParts(lambda: self.record, runtime, self.events, self._on_change)

    @property
    def revisions(self) -> list[RevisionRecord]:
        return self._records.revisions(self.record)

    def running(self, revision: str) -> Revision | None:
        return self._running.get(revision)

    def status(self, revision: RevisionRecord) -> RevisionStatus:
        revision_at_work = self._running.get(revision.name) or self._leaving.get(revision.name)
        return revision_at_work.status() if revision_at_work else STOPPED

    def weight(self, revision: str) -> int:
        """The share of the traffic that the configuration gives to a revision; none without ingress."""
        if not self.record.ingress:
            return 0
        return self._weights(self.record.latest).get(revision, 0)

    async def start(self) -> None:
        async with self._change:
            await self._open_ingress()
            if self.record.stopped:
                return
            for revision in self.revisions:
                if revision.active:
                    await self._run(revision)
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
            await asyncio.gather(*self._background)
            doors = [self._ingress] if self._ingress else []
            await asyncio.gather(*(door.close() for door in [*doors, *self._doors.values()]))
            self.events.lines.close()

    async def apply(self, properties: Json) -> None:
        """Take over new properties; a template that differs from the latest becomes a new revision."""
        template = properties["template"]
        async with self._change:
            self._save(self.record.with_properties(properties))
            self.events.normal("ContainerAppUpdate", f"Updating containerApp: {self.record.name}")
            await self._open_ingress()
            latest = self._latest()
            if latest is None or is_new(latest, template):
                await self._add(template)
            self._retire_all_but(self.record.latest, self.record.latest_ready)
        self._on_change()

    async def set_stopped(self, stopped: bool) -> None:
        """Stop or start the app as a whole."""
        async with self._change:
            self._save(replace(self.record, stopped=stopped))
            for revision in self.revisions:
                if revision.active and stopped:
                    self._take_down(revision.name)
                elif revision.active:
                    await self._run(revision)
        self._on_change()

    async def activate(self, revision: RevisionRecord) -> None:
        async with self._change:
            self._records.put_revision(replace(revision, active=True))
            if not self.record.stopped:
                await self._run(revision)
        self._on_change()

    async def deactivate(self, revision: RevisionRecord) -> None:
        async with self._change:
            self._retire(revision)

    async def restart(self, revision: RevisionRecord) -> None:
        running = self._running.get(revision.name)
        if running is None:
            raise ArmError(400, "RevisionNotActive", f"Revision '{revision.name}' is not active.")
        self.events.normal("RevisionUpdate", f"Restarting revision: {revision.name}", revision=revision.name)
        running.restart()

    def route(self, host: str) -> Backend | Failure:
        """Who gets the next request: the revision or label that its host names, else whose turn it is."""
        if self.record.stopped:
            return NO_APP
        ready = self.record.latest_ready
        traffic = self.record.ingress["traffic"] if self.record.ingress and self.record.multiple else ()
        asked = asked_for(host, self.record.name, traffic, ready)
        if asked is not None:
            return self._running.get(asked, NO_APP)
        return self._running.get(self._turns.next(self._weights(ready)) or "", UNREACHABLE)

    def _weights(self, latest: str) -> dict[str, int]:
        if not self.record.multiple or not self.record.ingress:
            return {latest: 100} if latest else {}
        return weights_of(self.record.ingress["traffic"], latest)

    def _on_change(self) -> None:
        """A replica got ready or not: where that makes the latest revision ready, it takes over."""
        if self._closing:
            return
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
        self._retire_all_but(name)

    def _latest(self) -> RevisionRecord | None:
        return next((revision for revision in self.revisions if revision.name == self.record.latest), None)

    async def _add(self, template: Json) -> None:
        record = self.record
        name = revision_name(record.name, record.revisions, template.get("revisionSuffix") or "")
        created = self._host.clock.utc_now().isoformat(timespec="seconds")
        revision = RevisionRecord(record.key, name, record.revisions, created, template)
        # The revision first: a crash in between leaves one that the repeated operation takes for the latest.
        self._records.put_revision(revision)
        self._save(replace(record, revisions=record.revisions + 1, latest=name))
        self.events.normal("RevisionCreation", f"Creating new revision: {name}", revision=name)
        self._forget_oldest()
        if not record.stopped:
            await self._run(revision)

    def _forget_oldest(self) -> None:
        inactive = [revision for revision in self.revisions if not revision.active]
        most = self.record.configuration["maxInactiveRevisions"]
        for revision in inactive[: max(0, len(inactive) - most)]:
            self._records.delete_revision(revision)

    async def _run(self, record: RevisionRecord) -> None:
        if record.name in self._running:
            return
        record = await self._open_door(record)
        revision = self._running[record.name] = Revision(record, self._parts)
        revision.start()

    def _retire_all_but(self, *kept: str) -> None:
        """In Single mode only the serving revision and the one that will follow it stay active."""
        if self.record.multiple:
            return
        for revision in self.revisions:
            if revision.active and revision.name not in kept:
                self._retire(revision)

    def _retire(self, revision: RevisionRecord) -> None:
        self._records.put_revision(replace(revision, active=False))
        self.events.normal(
            "RevisionDeactivating", f"Deactivating revision: {revision.name}", revision=revision.name
        )
        self._take_down(revision.name)
        self._forget_oldest()

    def _take_down(self, name: str) -> None:
        if revision := self._running.pop(name, None):
            self._leaving[name] = revision
            self._in_background(self._see_off(name, revision, self._doors.pop(name, None)))

    async def _see_off(self, name: str, revision: Revision, door: Ingress | None) -> None:
        await revision.stop()
        if self._leaving.get(name) is revision:
            del self._leaving[name]
        if door is not None:
            await door.close()

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _open_ingress(self) -> None:
        if self.record.ingress and self._ingress is None:
            self._ingress = self._listener(self.route)
            self._save(replace(self.record, port=await self._ingress.open(self.record.port)))
        elif not self.record.ingress and self._ingress is not None:
            await self._ingress.close()
            self._ingress = None

    async def _open_door(self, record: RevisionRecord) -> RevisionRecord:
        """The revision's own listener: what tries a revision before it gets traffic comes this way."""
        if not self.record.ingress:
            return record
        door = self._doors[record.name] = self._listener(lambda _: self._running.get(record.name, NO_APP))
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
    """Refuse a new revision under the name of an existing one, and traffic to one that cannot serve."""
    template = properties["template"]
    suffix = template.get("revisionSuffix") or ""
    latest = next((revision for revision in revisions if revision.name == app.latest), None)
    active = {revision.name for revision in revisions if revision.active}
    inactive = {revision.name for revision in revisions} - active
    if latest is None or is_new(latest, template):
        new = revision_name(app.name, app.revisions, suffix)
        if suffix and new in active | inactive:
            raise _suffix_taken(suffix)
        active.add(new)
    if properties["configuration"]["activeRevisionsMode"] == "Multiple":
        ingress = properties["configuration"]["ingress"]
        check_revisions(ingress["traffic"] if ingress else (), active, inactive)


def _suffix_taken(suffix: str) -> ArmError:
    return ArmError(
        400,
        INVALID,
        "The following field(s) are either invalid or missing. Field 'template.revisionsuffix' is invalid"
        f" with details: 'Invalid value: \"{suffix}\": revision with suffix {suffix} already exists.';.",
    )
