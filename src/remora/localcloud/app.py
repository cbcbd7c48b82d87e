"""Wiring: state, services and routes of one local cloud. Owns no socket and no process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from remora.localcloud.apps.service import AppsService
from remora.localcloud.arm.api import create_arm_api
from remora.localcloud.arm.http import Guard
from remora.localcloud.arm.identity import Identity
from remora.localcloud.arm.metadata import Metadata
from remora.localcloud.arm.operations import Operations
from remora.localcloud.arm.resource import Service
from remora.localcloud.arm.store import ResourceStore
from remora.localcloud.arm.subscription import LOCAL_SUBSCRIPTION
from remora.localcloud.faults import Fault, FaultRoutes, Faults
from remora.localcloud.logs.service import LogsService
from remora.localcloud.state import State
from remora.localcloud.storage.app import create_files_app
from remora.localcloud.storage.keys import AccountKeys
from remora.localcloud.storage.management import StorageService
from remora.localcloud.storage.shares import Shares


@dataclass(frozen=True, slots=True)
class Cloud:
    """Everything that one process serves. `identity` opens ARM; accounts have keys of their own."""

    identity: Identity
    arm_app: ASGIApp
    files_app: ASGIApp
    services: Sequence[Service]
    operations: Operations

    async def start(self) -> None:
        """Bring up what was running, then go on with what was interrupted."""
        for service in self.services:
            await service.start()
        self.operations.resume()

    async def stop(self) -> None:
        """Interrupt operations, which go on at the next start, and stop what runs."""
        await self.operations.stop()
        for service in reversed(self.services):
            await service.stop()


def create_cloud(
    home: Path, state: State, *, arm_url: Callable[[], str], files_url: Callable[[], str]
) -> Cloud:
    """The local cloud over one folder. The URLs are asked for when needed: ports are bound later."""
    shares_root = home / "shares"
    keys = AccountKeys(state)
    store = ResourceStore(state)
    storage = StorageService(
        store=store,
        keys=keys,
        shares=Shares(shares_root, state, time.time),
        shares_root=shares_root,
        files_url=files_url,
    )
    identity = Identity(state, LOCAL_SUBSCRIPTION)
    faults = Faults()
    apps = AppsService(state, home, shares_root, arm_url=arm_url, faults=faults)
    logs = LogsService(state, apps.logs, accepts=identity.accepts)
    services: tuple[Service, ...] = (storage, logs, apps)
    service_routes = (*storage.arm_routes, *apps.arm_routes)
    api = create_arm_api(LOCAL_SUBSCRIPTION, services, store, state, service_routes)
    routes = [
        Route("/healthz", _healthz),
        *Metadata(LOCAL_SUBSCRIPTION).routes,
        *identity.routes,
        *FaultRoutes(faults, identity.accepts).routes,
        *(route for service in services for route in service.routes),
        Mount("", app=Guard(api.router, accepts=identity.accepts, tenant_id=LOCAL_SUBSCRIPTION.tenant_id)),
    ]
    return Cloud(
        identity=identity,
        arm_app=Starlette(routes=routes),
        files_app=create_files_app(
            shares_root=shares_root,
            account_keys=keys.values,
            state=state,
            is_full=lambda: faults.take(Fault.SHARE_FULL) is not None,
        ),
        services=services,
        operations=api.operations,
    )


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok"})
