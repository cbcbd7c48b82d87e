"""All container apps at work, by resource id: made, found, removed, started and stopped together."""

from __future__ import annotations

import asyncio

from remora.localcloud.apps.app import App
from remora.localcloud.apps.records import AppRecord, RevisionRecord
from remora.localcloud.apps.replica import kill_leftovers
from remora.localcloud.apps.runtime import Runtime
from remora.localcloud.arm.resource import ResourceId
from remora.localcloud.state import Json


class Fleet:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._apps: dict[str, App] = {}

    def find(self, resource_id: ResourceId) -> App | None:
        return self._apps.get(resource_id.key)

    def in_environment(self, environment: str) -> list[App]:
        return [app for app in self._apps.values() if app.record.environment.lower() == environment.lower()]

    def ensure(self, resource_id: ResourceId, properties: Json) -> App:
        """The app of that id, made where there is none."""
        app = self._apps.get(resource_id.key)
        if app is None:
            record = AppRecord.new(resource_id).with_properties(properties)
            self._runtime.records.put_app(record)
            app = self._apps[resource_id.key] = self._app(record)
        return app

    def replicas(self, app: AppRecord, revision: RevisionRecord) -> int:
        """How many a revision has now."""
        running = self._apps[app.key].running(revision.name) if app.key in self._apps else None
        return len(running.replicas) if running else 0

    async def remove(self, resource_id: ResourceId) -> None:
        """Stop the app and forget it; an unknown one is a no-op."""
        app = self._apps.pop(resource_id.key, None)
        if app is not None:
            await app.stop(self._runtime.host.limits.shutdown_seconds)
            self._runtime.records.delete_app(app.record)

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
