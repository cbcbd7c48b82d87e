"""All container apps at work, by resource id: made, found, removed, started and stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from dataclasses import replace

from containerapps_emulator.apps.app import App
from containerapps_emulator.apps.documents.records import AppRecord, RevisionRecord
from containerapps_emulator.apps.replicas.leftovers import kill_leftovers
from containerapps_emulator.apps.runtime import Runtime
from containerapps_emulator.arm.resources.resource import ResourceId
from containerapps_emulator.state import Json


class Fleet:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._apps: dict[str, App] = {}
        self._promised: dict[str, int] = {}  # ports, until the app is removed

    def find(self, resource_id: ResourceId) -> App | None:
        return self._apps.get(resource_id.key)

    def wake(self, resource_id: ResourceId) -> App | None:
        """The same, for somebody who wants to see it at work."""
        app = self.find(resource_id)
        if app is not None:
            app.wake_soon()
        return app

    def in_environment(self, environment: str) -> list[App]:
        return [app for app in self._apps.values() if app.record.environment.lower() == environment.lower()]

    def port(self, resource_id: ResourceId) -> int:
        """Where an app listens, or will: an app that is being made is promised its port. 0: nowhere."""
        app = self.find(resource_id)
        if app is not None:
            return app.record.port if app.record.ingress else 0
        if resource_id.key not in self._promised:
            with contextlib.suppress(OSError):
                self._promised[resource_id.key] = self._runtime.free_ports.reserve(self._runtime.host.address)
        return self._promised.get(resource_id.key, 0)

    def ensure(self, resource_id: ResourceId, properties: Json) -> App:
        """The app of that id, made where there is none."""
        app = self._apps.get(resource_id.key)
        if app is None:
            port = self._promised.get(resource_id.key, 0) if properties["configuration"]["ingress"] else 0
            record = replace(AppRecord.new(resource_id).with_properties(properties), port=port)
            self._runtime.records.put_app(record)
            app = self._apps[resource_id.key] = self._app(record)
        return app

    def replicas(self, app: AppRecord, revision: RevisionRecord) -> int:
        """How many a revision has now."""
        running = self._apps[app.key].running(revision.name) if app.key in self._apps else None
        return len(running.replicas) if running else 0

    async def remove(self, resource_id: ResourceId) -> None:
        """Stop the app and forget it; an unknown one is a no-op."""
        self._runtime.free_ports.give_back(self._promised.pop(resource_id.key, 0))
        app = self._apps.pop(resource_id.key, None)
        if app is not None:
            await app.stop(self._runtime.host.limits.shutdown_seconds)
            self._runtime.records.delete_app(app.record)
            folder = self._runtime.host.app_folder(app.record.group, app.record.name)
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def start(self) -> None:
        kill_leftovers(self._runtime.state)
        for record in self._runtime.records.apps():
            self._apps[record.key] = self._app(record)
        await asyncio.gather(*(app.start() for app in self._apps.values()))

    async def stop(self) -> None:
        await asyncio.gather(
            *(app.stop(self._runtime.host.limits.shutdown_seconds) for app in self._apps.values())
        )
        self._apps.clear()

    def _app(self, record: AppRecord) -> App:
        return App(record, self._runtime)
