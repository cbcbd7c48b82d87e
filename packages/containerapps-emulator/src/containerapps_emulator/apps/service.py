"""Microsoft.App: puts the handlers, the running apps and the log streams together. Wiring only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from starlette.routing import BaseRoute

from containerapps_emulator.apps.capacity.placement import Placement
from containerapps_emulator.apps.capacity.pools import Capacity
from containerapps_emulator.apps.capacity.quotas import Quotas
from containerapps_emulator.apps.clock import Clock, SystemClock
from containerapps_emulator.apps.documents.job_records import JobRecords
from containerapps_emulator.apps.documents.records import Records
from containerapps_emulator.apps.fleet import Fleet
from containerapps_emulator.apps.host import Host, Limits
from containerapps_emulator.apps.jobs.execution import JobRuntime
from containerapps_emulator.apps.jobs.jobs import Jobs
from containerapps_emulator.apps.replicas.free_ports import FreePorts
from containerapps_emulator.apps.replicas.isolation import Kernel
from containerapps_emulator.apps.replicas.launch import Launcher
from containerapps_emulator.apps.replicas.mounts import Mounter
from containerapps_emulator.apps.replicas.own_ports import OwnPorts
from containerapps_emulator.apps.resources.certificates import Certificates, ManagedCertificates
from containerapps_emulator.apps.resources.container_apps import ContainerApps
from containerapps_emulator.apps.resources.custom_domains import CustomDomains
from containerapps_emulator.apps.resources.identity_endpoint import IdentityEndpoint, Issue
from containerapps_emulator.apps.resources.jobs import Executions, JobResources, StopOfExecution
from containerapps_emulator.apps.resources.log_tables import LogTables
from containerapps_emulator.apps.resources.managed_environments import (
    EnvironmentStorages,
    ManagedEnvironments,
)
from containerapps_emulator.apps.resources.revisions import Replicas, Revisions
from containerapps_emulator.apps.resources.streams import LogStreams
from containerapps_emulator.apps.resources.tokens import Tokens
from containerapps_emulator.apps.resources.usages import (
    EnvironmentUsages,
    LocationUsages,
    WorkloadProfileStates,
)
from containerapps_emulator.apps.runtime import Runtime
from containerapps_emulator.arm.resources.resource import ResourceHandler, VirtualHandler
from containerapps_emulator.faults import Faults
from containerapps_emulator.state import State


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
        own_url: Callable[[], str],
        issue: Issue,
        clock: Clock | None = None,
        limits: Limits | None = None,
        namespaces: bool = True,
        quotas: Mapping[str, int] | None = None,
        faults: Faults | None = None,
        allows_keys: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """`arm_url` is where the client of a request finds ARM, `own_url` where the containers do; `issue`
        signs the tokens of their identities; `allows_keys` says whether an account can be mounted."""
        clock, faults, limits = clock or SystemClock(), faults or Faults(), limits or Limits()
        machine = Host(home.resolve(), shares_root.resolve(), host, arm_url, clock, limits)
        records = Records(state)
        tokens = Tokens(state, clock)
        capacity = Capacity()
        self.quotas = counted = Quotas(records, capacity, faults, quotas)
        placement = Placement(records, counted)
        self.kernel = Kernel(allowed=namespaces)
        identities = IdentityEndpoint(state, records, own_url, issue)
        mounter = Mounter(machine.shares_root, self.kernel, allows_keys)
        launcher = Launcher(machine, records, mounter, self.kernel, identities.variables)
        job_records = JobRecords(state)
        self._jobs = jobs = Jobs(JobRuntime(machine, state, job_records, launcher, capacity, placement))
        self._fleet = Fleet(
            Runtime(machine, state, records, launcher, capacity, placement, FreePorts(), OwnPorts(), faults)
        )
        self.handlers: Sequence[ResourceHandler] = (
            ManagedEnvironments(
                machine, records, job_records, tokens, capacity, quotas=counted, faults=faults
            ),
            EnvironmentStorages(records, job_records),
            Certificates(records, clock),
            ManagedCertificates(records, clock),
            ContainerApps(machine, records, tokens, self._fleet, placement),
            JobResources(machine, records, tokens, jobs, placement),
        )
        self.virtual_handlers: Sequence[VirtualHandler] = (
            Revisions(machine, self._fleet),
            Replicas(machine, self._fleet),
            Executions(jobs),
            EnvironmentUsages(records, counted, self._fleet),
            WorkloadProfileStates(records, capacity, clock),
        )
        self.arm_routes: Sequence[BaseRoute] = (
            *LocationUsages(counted).routes,
            *CustomDomains(records, self._fleet).routes,
            *StopOfExecution(jobs).routes,
        )
        self.logs = LogTables(machine, records, job_records)
        streams = LogStreams(self._fleet, tokens, clock, faults).routes()
        self.routes: Sequence[BaseRoute] = (*identities.routes, *streams)

    async def start(self) -> None:
        await self._fleet.start()
        await self._jobs.start()

    async def stop(self) -> None:
        await asyncio.gather(self._jobs.stop(), self._fleet.stop())
