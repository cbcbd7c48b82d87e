"""One active revision: its replicas, how many there are, the turns between them, how healthy they are."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from remora.localcloud.apps.container import Launch
from remora.localcloud.apps.environment import container_environment
from remora.localcloud.apps.events import SystemLog
from remora.localcloud.apps.mounts import MountError
from remora.localcloud.apps.names import replica_name, replica_set_name
from remora.localcloud.apps.records import AppRecord, RevisionRecord
from remora.localcloud.apps.replica import CannotStart, Replica, ReplicaOrder
from remora.localcloud.apps.runtime import Runtime
from remora.localcloud.apps.scaler import Scaler
from remora.localcloud.apps.template import read_template
from remora.localcloud.faults import Fault


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
    runtime: Runtime
    events: SystemLog
    on_change: Callable[[], None]


class Revision:
    """`start` once, `stop` once."""

    def __init__(self, record: RevisionRecord, parts: RevisionParts) -> None:
        self.record = record
        self.template = read_template(record.template)
        self.replicas: list[Replica] = []
        self._parts = parts
        self._runtime = parts.runtime
        self._replica_set = replica_set_name(record.name)
        self._former: dict[asyncio.Task[None], Replica] = {}  # replicas on their way out, and their ends
        self._stopping = False
        self._waking = False
        self._changed = asyncio.Event()
        self._turn = 0
        self._denied = self._runtime.faults.take(Fault.IMAGE_PULL_DENIED) is not None
        self._stuck = self._runtime.faults.take(Fault.STUCK_REPLICA) is not None
        self._late = self._runtime.faults.take(Fault.SLOW_START)
        limits = parts.runtime.host.limits
        self._scaler = Scaler(
            self.template.scale,
            parts.runtime.host.clock,
            period_seconds=limits.scale_period_seconds,
            stable_seconds=limits.scale_stable_seconds,
            count=lambda: len(self.replicas),
            set_count=self._scale_to,
        )
        ingress = parts.app().ingress
        own_ports, command = parts.runtime.own_ports, self.template.command
        # Whether its program takes the target port of this machine for itself.
        self._alone = own_ports.is_known(ingress["targetPort"], command) if ingress else False

    def start(self) -> None:
        """Run what it needs: one that has proven that it can serve may begin with none."""
        plan = self.template.scale
        image = self.template.image
        self._normal(
            "PulledImage", f"Image '{image}' is not pulled: its command runs on this machine as it is."
        )
        for rule in plan.not_evaluated:
            self._parts.events.warning(
                "KEDAScalerFailed",
                f"Scale rule '{rule}' is accepted and not evaluated here: only HTTP rules are.",
                revision=self.record.name,
            )
        wanted = plan.floor if self.record.proven else plan.initial
        self._add(min(wanted, 1) if self._alone else wanted)

    async def stop(self, *, drain: bool = True, most_seconds: float = float("inf")) -> None:
        """Stop all replicas gracefully, each within its grace and `most_seconds`."""
        self._stopping = True
        self._wake_waiting()
        await self._scaler.stop()
        grace = min(self.template.grace_seconds, most_seconds)
        stops = (self._end(replica, grace, grace if drain else 0) for replica in self.replicas)
        await asyncio.gather(*stops)
        if self._former:
            await asyncio.wait(self._former, timeout=None if math.isinf(most_seconds) else most_seconds)
        self.kill()
        await asyncio.gather(*self._former)

    def kill(self) -> None:
        """End a `stop` that takes too long."""
        for replica in (*self.replicas, *self._former.values()):
            replica.kill()

    def restart(self) -> None:
        """Put a new replica in the place of each; it starts when the old one has stopped."""
        former, self.replicas = self.replicas, [self._new_replica() for _ in self.replicas]
        for old, new in zip(former, self.replicas, strict=True):
            new.start(after=partial(self._place, new, self._dismiss(old)))
        self._on_change()

    def serving(self) -> AbstractContextManager[None]:
        """Counts one request for as long as it is entered; the first wakes a revision without replicas."""
        return self._scaler.request()

    async def ready(self, refused: Collection[Replica], affinity: str) -> Replica | None:
        """The ready replica of that affinity, else whose turn it is; while it wakes up, one is waited for."""
        while (replica := self._choose(refused, affinity)) is None and self._waking:
            await self._changed.wait()
        return replica

    @property
    def sticky(self) -> bool:
        """As on Azure, only in Single mode."""
        app = self._parts.app()
        sessions = (app.ingress or {}).get("stickySessions") or {}
        return not app.multiple and sessions.get("affinity") == "sticky"

    @property
    def is_ready(self) -> bool:
        return any(replica.status.ready for replica in self.replicas)

    @property
    def can_serve(self) -> bool:
        """Whether traffic may be given to it: a replica is ready, or one was and is not needed now."""
        return self.is_ready or (self.record.proven and not self.replicas)

    def status(self) -> RevisionStatus:
        if self._stopping:
            return RevisionStatus("None", "Deprovisioning", "Deprovisioning")
        if not self.replicas:
            return RevisionStatus("Healthy", "ScaledToZero", "Provisioned")
        statuses = [replica.status for replica in self.replicas]
        details = next((status.details for status in statuses if not status.ready and status.details), "")
        if self._has_failed:
            return RevisionStatus("Unhealthy", "Failed", "Provisioned", details)
        starting = all(status.ready or not status.was_ready for status in statuses)
        least = 1 if self._alone else max(self.template.scale.minimum, 1)
        enough = sum(status.ready for status in statuses) >= least
        if enough and starting:  # those that are not ready are being added
            return RevisionStatus("Healthy", "Running", "Provisioned")
        if starting and not self.is_ready:
            provisioning = "Provisioned" if self.record.proven else "Provisioning"
            return RevisionStatus("None", "Activating", provisioning, details)
        return RevisionStatus("Unhealthy", "Degraded", "Provisioned", details)

    @property
    def _has_failed(self) -> bool:
        limit = self._runtime.host.limits.exits_until_failed
        return not self.is_ready and any(item.status.exits_in_a_row >= limit for item in self.replicas)

    def _choose(self, refused: Collection[Replica], affinity: str) -> Replica | None:
        ready = [replica for replica in self.replicas if replica.status.ready and replica not in refused]
        if not ready:
            return None
        self._turn += 1
        turn = ready[self._turn % len(ready)]
        return next((replica for replica in ready if replica.affinity == affinity), turn)

    def _scale_to(self, count: int, why: str) -> None:
        former = len(self.replicas)
        count = min(count, 1) if self._alone else count
        if count == former:
            return
        if count > former:
            self._waking = self._waking or former == 0
            self._add(count - former)
        else:
            # Those that are not ready go first, then the youngest.
            by_use = sorted(self.replicas, key=lambda replica: not replica.status.ready)
            for replica in by_use[count:]:
                self.replicas.remove(replica)
                self._dismiss(replica)
        self._normal("ScalingReplicas", f"Scaled from {former} to {count} replicas: {why}.")
        self._on_change()

    def _stay_alone(self) -> None:
        self._alone = True
        if len(self.replicas) > 1:
            self._scale_to(1, "its program takes the target port of this machine for itself")

    def _leave(self, name: str) -> None:
        """End a replica whose successor waits for its port; one that is ending already is a no-op."""
        replica = next((item for item in self.replicas if item.name == name), None)
        if replica is not None and not self._stopping:
            self.replicas.remove(replica)
            self._dismiss(replica)
            self._normal("ScalingReplicas", f"Replica '{name}' leaves its port to its successor.")
            self._on_change()

    def _add(self, count: int) -> None:
        for _ in range(count):
            replica = self._new_replica()
            self.replicas.append(replica)
            replica.start(after=partial(self._place, replica))

    def _dismiss(self, replica: Replica) -> asyncio.Task[None]:
        grace = self.template.grace_seconds
        ending = asyncio.create_task(self._end(replica, grace, grace))
        self._former[ending] = replica
        ending.add_done_callback(self._former.pop)
        return ending

    async def _end(self, replica: Replica, grace_seconds: float, drain_seconds: float) -> None:
        await replica.stop(grace_seconds, drain_seconds)
        self._runtime.capacity.give_back(replica.name)

    async def _place(self, replica: Replica, former: asyncio.Task[None] | None = None) -> None:
        """Return when the replica may start: the one it replaces has ended, and there is room for it."""
        if former is not None:
            await asyncio.shield(former)
        if self._late:
            await self._runtime.host.clock.sleep(self._late.seconds)
        if self._stuck:
            replica.on_no_room("no node is free")
            await asyncio.get_running_loop().create_future()
        await self._runtime.capacity.take(
            replica.name,
            lambda: self._runtime.placement.pool(self._parts.app(), self.template),
            replica.on_no_room,
        )

    def _on_change(self) -> None:
        if self.is_ready or self._has_failed:
            self._waking = False
        if self.is_ready:
            self._scaler.start()  # from now on a revision without requests may shrink
        self._wake_waiting()
        self._parts.on_change()

    def _wake_waiting(self) -> None:
        self._waking = self._waking and not self._stopping
        self._changed.set()
        self._changed = asyncio.Event()

    def _new_replica(self) -> Replica:
        app, host = self._parts.app(), self._runtime.host
        name = replica_name(self._replica_set)
        order = ReplicaOrder(
            app=app.key,
            number=self.record.number,
            revision=self.record.name,
            name=name,
            container=self.template.container,
            command=self.template.command,
            probes=self.template.probes,
            grace_seconds=self.template.grace_seconds,
            target_port=app.ingress["targetPort"] if app.ingress else None,
            open_seconds=float("inf") if self._runtime.placement.has_gpu(app) else host.limits.open_seconds,
            log_path=host.log_folder(app.group, app.name) / f"{name}.log",
            prepare=self._prepare,
            on_own_port=self._stay_alone,
            leave=self._leave,
        )
        runtime, events = self._runtime, self._parts.events
        return Replica(order, host, runtime.state, events, self._on_change, own_ports=runtime.own_ports)

    async def _prepare(self, replica: str, port: int) -> Launch:
        app, host = self._parts.app(), self._runtime.host
        if self._denied:
            raise CannotStart("ImagePullUnauthorized", f"pulling image '{self.template.image}' was denied")
        if not self.template.command:
            raise CannotStart(
                "ContainerCreateFailure",
                f"the template names no command, and image '{self.template.image}' is not pulled here",
            )
        folder = host.replica_folder(replica)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            mounts = await self._runtime.mounter.plan(
                self.template, lambda storage: self._runtime.records.share(app.environment, storage), folder
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

    def _normal(self, reason: str, message: str) -> None:
        self._parts.events.normal(reason, message, revision=self.record.name)
