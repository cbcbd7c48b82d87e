"""Microsoft.App: puts the handlers, the running apps and the log streams together. Wiring only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from starlette.routing import BaseRoute

from remora.localcloud.apps.capacity import Capacity
from remora.localcloud.apps.clock import Clock, SystemClock
from remora.localcloud.apps.container_apps import ContainerApps
from remora.localcloud.apps.fleet import Fleet
from remora.localcloud.apps.host import Host, Limits
from remora.localcloud.apps.log_tables import LogTables
from remora.localcloud.apps.managed_environments import EnvironmentStorages, ManagedEnvironments
from remora.localcloud.apps.mounts import Mounter
from remora.localcloud.apps.own_ports import OwnPorts
from remora.localcloud.apps.placement import Placement
from remora.localcloud.apps.quotas import Quotas
from remora.localcloud.apps.records import Records
from remora.localcloud.apps.revisions import Replicas, Revisions
from remora.localcloud.apps.runtime import Runtime
from remora.localcloud.apps.streams import LogStreams
from remora.localcloud.apps.tokens import Tokens
from remora.localcloud.apps.usages import EnvironmentUsages, LocationUsages, WorkloadProfileStates
from remora.localcloud.arm.resource import ResourceHandler, VirtualHandler
from remora.localcloud.faults import Faults
from remora.localcloud.state import State


class AppsService:
    namespace = "Microsoft.App"

    def __init__(
        self,
        state: State,
        home: Path,
        shares_root: Path,
        host: str = "127.0.0.1",
        *,
        arm_url: Callable[[], str],
        clock: Clock | None = None,
        limits: Limits | None = None,
        bind_mounts: bool = True,
        quotas: Mapping[str, int] | None = None,
        faults: Faults | None = None,
    ) -> None:
        clock = clock or SystemClock()
        faults = faults or Faults()
        limits = limits or Limits()
        machine = Host(home.resolve(), shares_root.resolve(), host, arm_url, clock, limits)
        records = Records(state)
        tokens = Tokens(state, clock)
        capacity = Capacity()
        self.quotas = counted = Quotas(records, capacity, faults, quotas)
        placement = Placement(records, counted)
        mounter = Mounter(machine.shares_root, bind_mounts)
        self._fleet = Fleet(
            Runtime(machine, state, records, mounter, capacity, placement, OwnPorts(), faults)
        )
        self.handlers: Sequence[ResourceHandler] = (
            ManagedEnvironments(machine, records, tokens, capacity, counted, faults=faults),
            EnvironmentStorages(records),
            ContainerApps(machine, records, tokens, self._fleet, placement),
        )
        self.virtual_handlers: Sequence[VirtualHandler] = (
            Revisions(machine, self._fleet),
            Replicas(machine, self._fleet),
            EnvironmentUsages(records, counted, self._fleet),
            WorkloadProfileStates(records, capacity),
        )
        self.arm_routes: Sequence[BaseRoute] = LocationUsages(counted).routes
        self.logs = LogTables(machine, records)
        self.routes: Sequence[BaseRoute] = LogStreams(self._fleet, tokens, clock).routes()

    async def start(self) -> None:
        await self._fleet.start()

    async def stop(self) -> None:
        await self._fleet.stop()
