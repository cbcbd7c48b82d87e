"""Microsoft.App: puts the handlers, the running apps and the log streams together. Wiring only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from starlette.routing import BaseRoute

from remora.localcloud.apps.capacity.placement import Placement
from remora.localcloud.apps.capacity.pools import Capacity
from remora.localcloud.apps.capacity.quotas import Quotas
from remora.localcloud.apps.clock import Clock, SystemClock
from remora.localcloud.apps.documents.job_records import JobRecords
from remora.localcloud.apps.documents.records import Records
from remora.localcloud.apps.fleet import Fleet
from remora.localcloud.apps.host import Host, Limits
from remora.localcloud.apps.jobs.execution import JobRuntime
from remora.localcloud.apps.jobs.jobs import Jobs
from remora.localcloud.apps.replicas.free_ports import FreePorts
from remora.localcloud.apps.replicas.isolation import Kernel
from remora.localcloud.apps.replicas.launch import Launcher
from remora.localcloud.apps.replicas.mounts import Mounter
from remora.localcloud.apps.replicas.own_ports import OwnPorts
from remora.localcloud.apps.resources.certificates import Certificates, ManagedCertificates
from remora.localcloud.apps.resources.container_apps import ContainerApps
from remora.localcloud.apps.resources.custom_domains import CustomDomains
from remora.localcloud.apps.resources.identity_endpoint import IdentityEndpoint, Issue
from remora.localcloud.apps.resources.jobs import Executions, JobResources, StopOfExecution
from remora.localcloud.apps.resources.log_tables import LogTables
from remora.localcloud.apps.resources.managed_environments import EnvironmentStorages, ManagedEnvironments
from remora.localcloud.apps.resources.revisions import Replicas, Revisions
from remora.localcloud.apps.resources.streams import LogStreams
from remora.localcloud.apps.resources.tokens import Tokens
from remora.localcloud.apps.resources.usages import EnvironmentUsages, LocationUsages, WorkloadProfileStates
from remora.localcloud.apps.runtime import Runtime
from remora.localcloud.arm.resources.resource import ResourceHandler, VirtualHandler
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
        own_url: Callable[[], str],
        issue: Issue,
        clock: Clock | None = None,
        limits: Limits | None = None,
        namespaces: bool = True,
        quotas: Mapping[str, int] | None = None,
        faults: Faults | None = None,
    ) -> None:
        """`arm_url` is where the client of a request finds ARM, `own_url` where the containers do; `issue`
        signs the tokens of their identities."""
        clock, faults, limits = clock or SystemClock(), faults or Faults(), limits or Limits()
        machine = Host(home.resolve(), shares_root.resolve(), host, arm_url, clock, limits)
        records = Records(state)
        tokens = Tokens(state, clock)
        capacity = Capacity()
        self.quotas = counted = Quotas(records, capacity, faults, quotas)
        placement = Placement(records, counted)
        self.kernel = Kernel(allowed=namespaces)
        identities = IdentityEndpoint(state, records, own_url, issue)
        mounter = Mounter(machine.shares_root, self.kernel)
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
