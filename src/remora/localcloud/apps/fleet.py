"""All container apps at work, by resource id: made, found, removed, started and stopped together."""

from __future__ import annotations

import asyncio

from remora.localcloud.apps.app import App
from remora.localcloud.apps.host import Host
from remora.localcloud.apps.mounts import Mounter
from remora.localcloud.apps.records import AppRecord, Records
from remora.localcloud.apps.replica import kill_leftovers
from remora.localcloud.arm.resource import ResourceId
from remora.localcloud.state import Json, State


class Fleet:
    def __init__(self, host: Host, state: State, records: Records) -> None:
        self._host = host
        self._state = state
        self._records = records
        self._mounter = Mounter(host.shares_root, host.bind_mounts)
        self._apps: dict[str, App] = {}

    def find(self, resource_id: ResourceId) -> App | None:
        return self._apps.get(resource_id.key)

    def ensure(self, resource_id: ResourceId, environment: str, configuration: Json) -> App:
        """The app of that id, made where there is none."""
        app = self._apps.get(resource_id.key)
        if app is None:
            record = AppRecord(
                resource_id.subscription, resource_id.group, resource_id.name, environment, configuration
            )
            self._records.put_app(record)
            app = self._apps[resource_id.key] = self._app(record)
        return app

    async def remove(self, resource_id: ResourceId) -> None:
        """Stop the app and forget it; an unknown one is a no-op."""
        app = self._apps.pop(resource_id.key, None)
        if app is not None:
            await app.stop(self._host.limits.shutdown_seconds)
            self._records.delete_app(app.record)

    async def start(self) -> None:
        kill_leftovers(self._state)
        for record in self._records.apps():
            self._apps[record.key] = self._app(record)
        await asyncio.gather(*(app.start() for app in self._apps.values()))

    async def stop(self) -> None:
        await asyncio.gather(*(app.stop(self._host.limits.shutdown_seconds) for app in self._apps.values()))
        self._apps.clear()

    def _app(self, record: AppRecord) -> App:
        return App(record, self._host, self._state, self._records, self._mounter)
