"""One active revision: its replicas, the turns between them, and how healthy they are together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

from remora.localcloud.apps.container import Launch
from remora.localcloud.apps.environment import container_environment
from remora.localcloud.apps.events import SystemLog
from remora.localcloud.apps.host import Host
from remora.localcloud.apps.mounts import Mounter, MountError
from remora.localcloud.apps.names import replica_name, replica_set_name
from remora.localcloud.apps.records import AppRecord, Records, RevisionRecord
from remora.localcloud.apps.replica import CannotStart, Replica, ReplicaOrder
from remora.localcloud.apps.template import read_template
from remora.localcloud.state import State


@dataclass(frozen=True, slots=True)
class RevisionStatus:
    health: str
    running: str
    provisioning: str
    details: str = ""


STOPPED = RevisionStatus("None", "Stopped", "Deprovisioned")


@dataclass(frozen=True, slots=True)
class RevisionParts:
    """What a revision is given by its app."""

    app: Callable[[], AppRecord]
    host: Host
    state: State
    records: Records
    mounter: Mounter
    events: SystemLog
    on_change: Callable[[], None]


class Revision:
    def __init__(self, record: RevisionRecord, parts: RevisionParts) -> None:
        self.record = record
        self.template = read_template(record.template)
        self.replicas: list[Replica] = []
        self._parts = parts
        self._replica_set = replica_set_name(record.name)
        self._former: set[asyncio.Task[None]] = set()  # replicas that a restart replaced, on their way out
        self._stopping = False
        self._turn = 0

    def start(self) -> None:
        image = self.template.image
        self._parts.events.normal(
            "PulledImage", f"Image '{image}' is not pulled: its command runs on this machine as it is.",
            revision=self.record.name,
        )  # fmt: skip
        for _ in range(self.template.replicas):
            replica = self._new_replica()
            self.replicas.append(replica)
            replica.start()

    async def stop(self, *, drain: bool = True, most_seconds: float = float("inf")) -> None:
        """Stop all replicas gracefully, each within its grace and `most_seconds`."""
        self._stopping = True
        grace = min(self.template.grace_seconds, most_seconds)
        stops = (replica.stop(grace, grace if drain else 0) for replica in self.replicas)
        await asyncio.gather(*stops, *self._former)

    def kill(self) -> None:
        """End a `stop` that takes too long."""
        for replica in self.replicas:
            replica.kill()

    def restart(self) -> None:
        """Put a new replica in the place of each; it starts when the old one has stopped."""
        grace = self.template.grace_seconds
        former, self.replicas = self.replicas, [self._new_replica() for _ in self.replicas]
        for old, new in zip(former, self.replicas, strict=True):
            stopped = asyncio.create_task(old.stop(grace, grace))
            self._former.add(stopped)
            stopped.add_done_callback(self._former.discard)
            new.start(after=asyncio.shield(stopped))
        self._parts.on_change()

    def choose(self, excluded: Collection[Replica] = ()) -> Replica | None:
        """The ready replica whose turn it is."""
        ready = [replica for replica in self.replicas if replica.status.ready and replica not in excluded]
        if not ready:
            return None
        self._turn += 1
        return ready[self._turn % len(ready)]

    @property
    def can_serve(self) -> bool:
        """Whether traffic may be given to it: a replica is ready, or it is meant to have none."""
        return not self.replicas or any(replica.status.ready for replica in self.replicas)

    def status(self) -> RevisionStatus:
        if self._stopping:
            return RevisionStatus("None", "Deprovisioning", "Deprovisioning")
        if not self.replicas:
            return RevisionStatus("Healthy", "ScaledToZero", "Provisioned")
        statuses = [replica.status for replica in self.replicas]
        if all(status.ready for status in statuses):
            return RevisionStatus("Healthy", "Running", "Provisioned")
        details = next((status.details for status in statuses if not status.ready and status.details), "")
        limit = self._parts.host.limits.exits_until_failed
        if not any(status.ready for status in statuses):
            if any(status.exits_in_a_row >= limit for status in statuses):
                return RevisionStatus("Unhealthy", "Failed", "Provisioned", details)
            if not any(status.was_ready for status in statuses):
                return RevisionStatus("None", "Activating", "Provisioning", details)
        return RevisionStatus("Unhealthy", "Degraded", "Provisioned", details)

    def _new_replica(self) -> Replica:
        app, host = self._parts.app(), self._parts.host
        name = replica_name(self._replica_set)
        order = ReplicaOrder(
            revision=self.record.name,
            name=name,
            container=self.template.container,
            probes=self.template.probes,
            grace_seconds=self.template.grace_seconds,
            target_port=app.ingress["targetPort"] if app.ingress else None,
            log_path=host.log_folder(app.group, app.name) / f"{name}.log",
            prepare=self._prepare,
        )
        return Replica(order, host, self._parts.state, self._parts.events, self._parts.on_change)

    async def _prepare(self, replica: str, port: int) -> Launch:
        app, host = self._parts.app(), self._parts.host
        if not self.template.command:
            raise CannotStart(
                "ContainerCreateFailure",
                f"the template names no command, and image '{self.template.image}' is not pulled here",
            )
        folder = host.replica_folder(replica)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            mounts = await self._parts.mounter.plan(
                self.template, lambda storage: self._parts.records.share(app.environment, storage), folder
            )
        except MountError as error:
            raise CannotStart("VolumeMountFailure", str(error)) from None
        environment = container_environment(
            self.template,
            app.secrets,
            mounts,
            app=app.name,
            revision=self.record.name,
            replica=replica,
            address=host.address,
            port=port,
        )
        command = tuple(mounts.translate(word) for word in self.template.command)
        return Launch(command, environment, folder, mounts.binds)
