"""Wiring: state, services and routes of one local cloud. Owns no socket and no process."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from containerapps_emulator.apps.resources.user_identities import IdentityService
from containerapps_emulator.apps.service import AppsService
from containerapps_emulator.arm.api import create_arm_api
from containerapps_emulator.arm.http import Guard, asked_url
from containerapps_emulator.arm.identity import Identity
from containerapps_emulator.arm.metadata import Metadata
from containerapps_emulator.arm.operations import Operations
from containerapps_emulator.arm.resources.resource import Service
from containerapps_emulator.arm.resources.role_assignments import AuthorizationService
from containerapps_emulator.arm.resources.store import ResourceStore
from containerapps_emulator.arm.routes.authorization import AuthorizationRoutes
from containerapps_emulator.arm.subscription import LOCAL_SUBSCRIPTION
from containerapps_emulator.fault_table import Fault
from containerapps_emulator.faults import FaultRoutes, Faults
from containerapps_emulator.logs.service import LogsService
from containerapps_emulator.state import State
from containerapps_emulator.storage.access.keys import AccountKeys
from containerapps_emulator.storage.app import create_files_app
from containerapps_emulator.storage.management import StorageService
from containerapps_emulator.storage.store.shares import Shares


@dataclass(frozen=True, slots=True)
class Cloud:
    """Everything that one process serves. `identity` grants access to ARM; accounts have their own keys."""

    identity: Identity
    arm_app: ASGIApp
    files_app: ASGIApp
    services: Sequence[Service]
    operations: Operations
    isolates: Callable[[], Awaitable[bool]]
    """Whether the kernel can keep containers from writing outside their own folders."""

    async def start(self) -> None:
        """Start what was running before, then resume interrupted operations."""
        for service in self.services:
            await service.start()
        self.operations.resume()

    async def stop(self) -> None:
        """Interrupt operations, which resume at the next start, and stop what is running."""
        await self.operations.stop()
        for service in reversed(self.services):
            await service.stop()


def create_cloud(
    home: Path, state: State, *, arm_url: Callable[[], str], files_url: Callable[[], str]
) -> Cloud:
    """Create the local cloud of one folder. URLs are callables, because ports are bound later."""
    shares_root = home / "shares"
    keys = AccountKeys(state)
    store = ResourceStore(state)
    faults = Faults()
    forbids_keys = partial(faults.is_on, Fault.SHARED_KEYS_FORBIDDEN)
    storage = StorageService(
        store=store,
        keys=keys,
        shares=Shares(shares_root, state, time.time),
        shares_root=shares_root,
        files_url=files_url,
        forbids_keys=forbids_keys,
    )
    identity = Identity(state, LOCAL_SUBSCRIPTION)
    authorization = AuthorizationService(store)
    apps = AppsService(
        state,
        home,
        shares_root,
        arm_url=lambda: asked_url.get() or arm_url(),
        own_url=arm_url,
        issue=identity.issue,
        faults=faults,
        allows_keys=storage.allows_keys,
    )
    logs = LogsService(
        state,
        apps.logs,
        accepts=identity.accepts,
        keeps_name=lambda: faults.take(Fault.WORKSPACE_SOFT_DELETED) is not None,
    )
    services: tuple[Service, ...] = (storage, logs, apps, IdentityService(), authorization)
    roles = AuthorizationRoutes(store, authorization.assignments, forbids_keys)
    service_routes = (*storage.arm_routes, *apps.arm_routes, *roles.routes)
    api = create_arm_api(LOCAL_SUBSCRIPTION, services, store, state, service_routes)
    return Cloud(
        identity=identity,
        arm_app=Starlette(routes=_arm_routes(api.router, services, identity, faults)),
        files_app=create_files_app(
            shares_root=shares_root,
            account_keys=keys.values,
            state=state,
            is_full=lambda: faults.take(Fault.SHARE_FULL) is not None,
            fault=faults.files_error,
            claims=identity.claims,
            is_premium=storage.is_premium,
            allows_keys=storage.allows_keys,
            may=lambda account, share, principal, writes: authorization.assignments.allows(
                storage.files_scope(account, share), principal, writes=writes
            ),
            tenant_id=LOCAL_SUBSCRIPTION.tenant_id,
        ),
        services=services,
        operations=api.operations,
        isolates=apps.kernel.isolates,
    )


def _arm_routes(
    router: ASGIApp, services: Sequence[Service], identity: Identity, faults: Faults
) -> list[BaseRoute]:
    guarded = Guard(
        router,
        accepts=identity.accepts,
        tenant_id=LOCAL_SUBSCRIPTION.tenant_id,
        fault=faults.arm_answer,
    )
    return [
        Route("/healthz", _healthz),
        *Metadata(LOCAL_SUBSCRIPTION).routes,
        *identity.routes,
        *FaultRoutes(faults, identity.accepts).routes,
        *(route for service in services for route in service.routes),
        Mount("", app=guarded),
    ]


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok"})
