"""One active revision: its replicas, how many there are, the turns between them, how healthy they are."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final

from containerapps_emulator.apps.documents.names import replica_name, replica_set_name
from containerapps_emulator.apps.documents.records import AppRecord, RevisionRecord
from containerapps_emulator.apps.documents.template import ContainerTemplate, read_template
from containerapps_emulator.apps.replicas.container import Launch
from containerapps_emulator.apps.replicas.events import SystemLog
from containerapps_emulator.apps.replicas.replica import Replica
from containerapps_emulator.apps.replicas.replica_order import (
    CannotStart,
    CompanionOrder,
    ReplicaOrder,
    ReplicaStatus,
)
from containerapps_emulator.apps.runtime import Runtime
from containerapps_emulator.apps.scaler import Scaler
from containerapps_emulator.apps.spoiled import SPOILED
from containerapps_emulator.background import in_background, surviving
from containerapps_emulator.fault_table import Fault


@dataclass(frozen=True, slots=True)
class RevisionStatus:
    health: str
    running: str
    provisioning: str
    details: str = ""


NOT_ISOLATED: Final = (
    "This machine gives containers no mount namespaces: HOME, TMPDIR and Python are the container's own,"
    " but its commands can write wherever you can."
)
ASLEEP = RevisionStatus("None", "Activating", "Provisioned", "The local cloud is about to start it.")
STOPPED = RevisionStatus("Healthy", "Stopped", "Provisioned")
LEAVING = RevisionStatus("Healthy", "Deprovisioning", "Provisioned")


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
        self._warned = False
        self._changed = asyncio.Event()
        self._turn = 0
        self._denied = self._runtime.faults.take(Fault.IMAGE_PULL_DENIED) is not None
        self._stuck = self._runtime.faults.take(Fault.STUCK_REPLICA) is not None
        self._late = self._runtime.faults.take(Fault.SLOW_START)
        self._pulls = self._runtime.faults.take(Fault.IMAGE_PULL_SLOW)
        self._spoiled = [armed for fault in SPOILED if (armed := self._runtime.faults.take(fault))]
        limits = parts.runtime.host.limits
        self._scaler = Scaler(
            self.template.scale,
            parts.runtime.host.clock,
            name=record.name,
            period_seconds=limits.scale_period_seconds,
            stable_seconds=limits.scale_stable_seconds,
            count=lambda: len(self.replicas),
            set_count=self._scale_to,
        )
        ingress = parts.app().ingress
        own_ports, command = parts.runtime.own_ports, self.template.main.command
        # Whether its program takes the target port of this machine for itself.
        self._alone = own_ports.is_known(ingress["targetPort"], command) if ingress else False

    def start(self) -> None:
        """Run what it needs: one that has proven that it can serve may begin with none."""
        plan = self.template.scale
        if not self._pulls:
            self._pulled()
        for rule in plan.not_evaluated:
            self._parts.events.warning(
                "KEDAScalerFailed",
                f"Scale rule '{rule}' is accepted and not evaluated here: only HTTP and cron rules are.",
                revision=self.record.name,
            )
        wanted = plan.floor(self._runtime.host.clock.utc_now()) if self.record.proven else plan.initial
        self._waking = self.record.proven and wanted > 0  # it served before the control plane was started
        self._add(min(wanted, 1) if self._alone else wanted)
        if self.record.proven:  # one that sleeps must not miss a window of its scale
            self._scaler.start()

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

    async def ready(self, refused: Collection[str], affinity: str) -> Replica | None:
        """The ready replica of that affinity, else whose turn it is. Waited for while the revision wakes up,
        and for a bounded time where a replica that has served is started again."""
        most = None if self._waking else self._runtime.host.limits.recovery_seconds
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most):
                while (replica := self._choose(refused, affinity)) is None and self._will_serve(refused):
                    await self._changed.wait()
                return replica
        return None

    def _will_serve(self, refused: Collection[str]) -> bool:
        """Whether waiting may bring a replica: it wakes up, restarts, or has just been lost."""
        if self._waking:
            return True
        if self._stopping or self._has_failed or not self.record.proven:
            return False
        return any(
            replica.container_id in refused
            if replica.status.ready
            else not replica.status.was_ready or replica.status.exits_in_a_row > 0
            for replica in self.replicas
        )

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
            return LEAVING
        if not self.replicas:
            return RevisionStatus("Healthy", "ScaledToZero", "Provisioned")
        statuses = [replica.status for replica in self.replicas]
        details = next((status.problem for status in statuses if not status.ready and status.problem), "")
        if self._has_failed:
            return RevisionStatus("Unhealthy", "Failed", "Provisioned", details)
        if any(status.was_ready and not status.ready for status in statuses):
            return RevisionStatus("Unhealthy", "Degraded", "Provisioned", details)
        return self._starting(statuses, details)

    def _starting(self, statuses: Sequence[ReplicaStatus], details: str) -> RevisionStatus:
        """Where no replica has been lost: those that are not ready are on their way."""
        least = 1 if self._alone else max(self.template.scale.minimum, 1)
        if sum(status.ready for status in statuses) >= least:
            return RevisionStatus("Healthy", "Running", "Provisioned")
        if self.is_ready:  # "Degraded" on Azure too, until the last one is there: nothing is wrong
            return RevisionStatus("None", "Degraded", "Provisioning", details)
        return RevisionStatus("None", "Activating", "Provisioned", details)

    @property
    def _has_failed(self) -> bool:
        limit = self._runtime.host.limits.exits_until_failed
        return not self.is_ready and any(item.status.exits_in_a_row >= limit for item in self.replicas)

    def _choose(self, refused: Collection[str], affinity: str) -> Replica | None:
        ready = [item for item in self.replicas if item.status.ready and item.container_id not in refused]
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
        ending = in_background(self._end(replica, grace, grace), f"the end of replica {replica.name}")
        self._former[ending] = replica
        ending.add_done_callback(self._former.pop)
        return ending

    async def _end(self, replica: Replica, grace_seconds: float, drain_seconds: float) -> None:
        try:
            with surviving(f"the stop of replica {replica.name}"):  # the others stop, and successors start
                await replica.stop(grace_seconds, drain_seconds)
        finally:
            self._runtime.capacity.give_back(replica.name)

    async def _place(self, replica: Replica, former: asyncio.Task[None] | None = None) -> None:
        """Return when the replica may start: the one it replaces has ended, and there is room for it."""
        if former is not None:
            await asyncio.shield(former)
        if self._late:
            await self._runtime.faults.delay(self._late, self._runtime.host.clock.sleep)
        if self._pulls:
            self._normal("PullingImage", f"Pulling image '{self.template.main.image}'")
            await self._runtime.faults.delay(self._pulls, self._runtime.host.clock.sleep)
            self._pulled()
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
            container=self.template.main.name,
            command=self.template.main.command,
            probes=self.template.main.probes,
            grace_seconds=self.template.grace_seconds,
            target_port=app.ingress["targetPort"] if app.ingress else None,
            open_seconds=float("inf") if self._runtime.placement.has_gpu(app) else host.limits.open_seconds,
            log_path=host.log_folder(app.group, app.name) / f"{name}.log",
            prepare=lambda replica, port: self._prepare(self.template.main, replica, port),
            initial=tuple(self._companion(item, name) for item in self.template.initial),
            sidecars=tuple(self._companion(item, name) for item in self.template.sidecars),
            on_own_port=self._stay_alone,
            leave=self._leave,
        )
        runtime, events = self._runtime, self._parts.events
        return Replica(
            order,
            host,
            runtime.state,
            events,
            self._on_change,
            free_ports=runtime.free_ports,
            own_ports=runtime.own_ports,
        )

    def _companion(self, container: ContainerTemplate, replica: str) -> CompanionOrder:
        app, events = self._parts.app(), self._parts.events

        def tell(reason: str, message: str, wrong: bool) -> None:
            emit = events.warning if wrong else events.normal
            emit(reason, message, revision=self.record.name, replica=replica)

        return CompanionOrder(
            replica=replica,
            container=container,
            log_folder=self._runtime.host.log_folder(app.group, app.name),
            grace_seconds=self.template.grace_seconds,
            prepare=lambda item: self._prepare(item, replica, 0),
            tell=tell,
        )

    async def _prepare(self, container: ContainerTemplate, replica: str, port: int) -> Launch:
        app = self._parts.app()
        if self._denied:
            raise CannotStart("ImagePullUnauthorized", f"pulling image '{container.image}' was denied")
        if not container.command:
            raise CannotStart(
                "ContainerCreateFailure",
                f"the template names no command, and image '{container.image}' is not pulled here",
            )
        launch = await self._runtime.launcher.of_app(app, self.record, container, replica, port)
        if not launch.isolated and not self._warned:
            self._warned = True
            self._parts.events.warning("NotIsolated", NOT_ISOLATED, revision=self.record.name)
        if container is self.template.main:
            for fault in self._spoiled:
                launch = SPOILED[fault.name](launch, fault.seconds)
        return launch

    def _pulled(self) -> None:
        for container in (*self.template.initial, *self.template.containers):
            self._normal(
                "PulledImage",
                f"Image '{container.image}' is not pulled: its command runs on this machine as it is.",
            )

    def _normal(self, reason: str, message: str) -> None:
        self._parts.events.normal(reason, message, revision=self.record.name)
