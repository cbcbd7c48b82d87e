"""One replica: starts its container, watches its probes, restarts it with back-off, stops it gracefully.

Knows its revision by name only; who routes to it and why it runs is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import math
import secrets
import shutil
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Final

from containerapps_emulator.apps.documents.template import Probe
from containerapps_emulator.apps.host import Host
from containerapps_emulator.apps.replicas.companions import Companions
from containerapps_emulator.apps.replicas.console import LineLog
from containerapps_emulator.apps.replicas.container import Container, started_at
from containerapps_emulator.apps.replicas.events import SystemLog
from containerapps_emulator.apps.replicas.free_ports import FreePorts
from containerapps_emulator.apps.replicas.leftovers import PROCESSES
from containerapps_emulator.apps.replicas.own_ports import OwnPorts, PortTaken, Tenant, listening_address
from containerapps_emulator.apps.replicas.probes import REFUSED, check_port, watch
from containerapps_emulator.apps.replicas.replica_order import (
    STARTED,
    CannotStart,
    ReplicaOrder,
    ReplicaStatus,
)
from containerapps_emulator.background import in_background, surviving
from containerapps_emulator.errors import said
from containerapps_emulator.state import State

LAST_LINES: Final = 5

_log = logging.getLogger(__name__)


class Replica:
    """`start` once, `stop` once. `on_change` is called after every change of `status`."""

    def __init__(
        self,
        order: ReplicaOrder,
        host: Host,
        state: State,
        events: SystemLog,
        on_change: Callable[[], None],
        *,
        free_ports: FreePorts,
        own_ports: OwnPorts,
    ) -> None:
        self.order = order
        self.name = order.name
        self.port = 0
        self.status = ReplicaStatus()
        self.created_at: datetime = host.clock.utc_now()
        self.container_id = ""
        self.affinity = hashlib.sha256(self.name.encode()).hexdigest()[:16]
        self.log = LineLog(order.log_path, host.clock)
        self.companions = Companions(order.initial, order.sidecars, host, state, self._on_companion)
        self._own_ready = False  # whether the first container is
        self._initialized = False
        self._host = host
        self._state = state
        self._events = events
        self._free_ports = free_ports
        self._own_ports = own_ports
        self._may_replace = True
        self._on_change = on_change
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False
        self._container: Container | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._after: Callable[[], Awaitable[None]] | None = None
        self._ready_since: float | None = None
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)

    def start(self, after: Callable[[], Awaitable[None]]) -> None:
        """Run, once `after` (its predecessor ended, there is room) is done."""
        self._normal("AssigningReplica", f"Replica '{self.name}' has been scheduled to run on this machine.")
        self._after = after
        self._supervisor = in_background(self._supervise(), f"the supervision of replica {self.name}")

    async def stop(self, grace_seconds: float, drain_seconds: float) -> None:
        """No new requests; those in flight may finish within `drain_seconds`; then SIGTERM, then SIGKILL."""
        self._stopping = True
        self._update(ready=False)
        if self._in_flight:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(drain_seconds):
                    await self._idle.wait()
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})
        others = asyncio.create_task(self.companions.stop())
        try:
            if self._container is not None:
                self._ended(await self._container.terminate(grace_seconds), "ManuallyStopped")
        finally:
            await others
            self._clear()

    def _clear(self) -> None:
        self._leave_own_port()
        self.log.close()
        shutil.rmtree(self._host.replica_folder(self.name), ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL now; a `stop` under way then ends."""
        self.companions.kill()
        if self._container is not None:
            self._container.kill()

    def log_of(self, container: str) -> LineLog | None:
        """What one of its containers prints; None for a container that it does not have."""
        if container == self.order.container:
            return self.log
        others = (*self.companions.initial, *self.companions.sidecars)
        return next((item.log for item in others if item.name == container), None)

    @property
    def shown_status(self) -> ReplicaStatus:
        """As it is answered: one that is about to end gets no requests, and is shown as it was until then."""
        as_it_was = self._stopping and self.status.running
        return replace(self.status, ready=self.status.was_ready) if as_it_was else self.status

    @contextmanager
    def serving(self) -> Iterator[int]:
        """Holds the replica up while a request is in flight to the port that this gives."""
        self._in_flight += 1
        self._idle.clear()
        try:
            yield self.port
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    def on_started(self) -> None:
        self._update(started=True)

    def on_ready(self, ready: bool) -> None:
        self._own_ready = ready
        self._settle()

    def _on_companion(self) -> None:
        self._settle()
        self._on_change()

    def _settle(self) -> None:
        """It is ready when all of its containers are."""
        ready = self._own_ready and self.companions.are_ready
        if ready == self.status.ready or self._stopping:
            return
        if not ready:
            self._update(ready=False)
            return
        self._ready_since = self._host.clock.monotonic()
        self._update(ready=True, was_ready=True, exits_in_a_row=0)

    def on_probe_failed(self, probe: Probe, problem: str) -> None:
        message = f"{probe.kind} probe failed: {problem}"
        self._warning("ReplicaUnhealthy", message)
        if not self.status.ready:
            self._update(details=message)

    def on_no_room(self, why: str) -> None:
        message = f"Replica '{self.name}' waits to be assigned: {why}."
        self._warning("AssigningReplicaFailed", message)
        self._update(details=f"AssigningReplica: {why}")

    async def _supervise(self) -> None:
        attempts = 0
        while True:
            problem = await self._attempt()
            attempts = 1 if self._was_healthy() else attempts + 1
            self._ready_since = None
            self._own_ready = False
            delays = self._host.limits.back_off_seconds
            delay = delays[min(attempts, len(delays)) - 1]
            self._update(
                ready=False, started=False, running=False,
                exits_in_a_row=self.status.exits_in_a_row + 1, details=problem,
            )  # fmt: skip
            self._warning(
                "ContainerBackOff", f"Back-off {delay:g} s before container '{self._name}' is restarted."
            )
            await self._host.clock.sleep(delay)
            self._update(restarts=self.status.restarts + 1)

    async def _attempt(self) -> str:
        """As `_run_once`; an error that nobody expected ends this attempt, not the replica."""
        try:
            if self._after is not None:
                await self._after()
                self._after = None
            await self._initialize()
            return await self._run_once()
        except CannotStart as error:
            return self._not_started(error.reason, error)
        except Exception as error:
            _log.exception("replica %s", self.name)
            container, self._container = self._container, None
            if container is not None:
                with surviving(f"the end of the container of replica {self.name}"):
                    await container.terminate(0)
            self._leave_own_port()
            return f"{type(error).__name__}: {said(error)}"

    async def _initialize(self) -> None:
        """Once for the replica, not for each restart of its first container. Raises CannotStart."""
        if not self._initialized:
            await self.companions.initialize()
            self.companions.start()
            self._initialized = True

    async def _run_once(self) -> str:
        """From start to end of the container; returns what ended it."""
        self._last_lines.clear()
        try:
            self.port = reserved = self._free_ports.reserve(self._host.address)
        except OSError as error:
            return self._not_started("ContainerCreateFailure", error)
        try:
            return await self._run_at(reserved)
        finally:
            self._free_ports.give_back(reserved)

    async def _run_at(self, port: int) -> str:
        try:
            await self._own_port_free()
            launch = await self.order.prepare(self.name, port)
            self._container = await Container.start(launch, self._on_line)
        except CannotStart as error:
            return self._not_started(error.reason, error)
        except OSError as error:
            return self._not_started("ContainerCreateFailure", error)
        self._started(self._container)
        problem = await self._until_end(self._container)
        reason = "ProbeFailure" if problem else "ProcessExited"
        code = await self._container.terminate(self.order.grace_seconds)
        return self._ended(code, reason, problem)

    def _not_started(self, reason: str, error: Exception) -> str:
        self._leave_own_port()
        self._warning(reason, f"Container '{self._name}' was not started: {said(error)}")
        return f"{reason}: {said(error)}"

    async def _until_end(self, container: Container) -> str:
        """Returns why the container must be killed, or "" when it has ended by itself."""
        probes = asyncio.create_task(
            watch(self.order.probes, self._port_probe(), self._check, self._host.clock, self)
        )
        ended = asyncio.create_task(container.wait())
        try:
            await asyncio.wait({probes, ended}, return_when=asyncio.FIRST_COMPLETED)
            return probes.result() if probes.done() and not ended.done() else ""
        finally:
            probes.cancel()
            ended.cancel()
            await asyncio.wait({probes, ended})

    def _port_probe(self) -> Probe | None:
        target = self.order.target_port
        if target is None:
            return None
        period, most_seconds = self._host.limits.port_poll_seconds, self.order.open_seconds
        if math.isinf(most_seconds):
            return Probe("Readiness", None, target, (), 0, period, 1, 1, 1)
        return Probe("Startup", None, target, (), 0, period, 1, 1, math.ceil(most_seconds / period))

    async def _check(self, probe: Probe) -> str | None:
        """A probe of the target port goes to the port that this replica was given, or has taken."""
        if probe.port != self.order.target_port:
            return await check_port(self._host.address, probe.port, probe)
        problem = await check_port(self._host.address, self.port, probe)
        if problem == REFUSED and self._takes_own_port():
            return await check_port(self._host.address, self.port, probe)
        return problem

    async def _own_port_free(self) -> None:
        """A program that is known to take the target port waits for it.

        It may end another: at its first start, and after one that found the port taken. A program that ended
        for another reason would only take the port from one that works.
        """
        if self.order.target_port is None:
            return
        may_replace, self._may_replace = self._may_replace, False
        try:
            await self._own_ports.wait_for(self._tenant(self.order.target_port), may_replace=may_replace)
        except PortTaken as error:
            raise CannotStart("PortInUse", str(error)) from None

    def _takes_own_port(self) -> bool:
        """Whether the program turns out to listen on the target port, not on the one that it was given."""
        target, container = self.order.target_port, self._container
        if target is None or container is None or self.port == target:
            return False
        address = listening_address(container.pid, target)
        if address is None:
            return False
        self.port = target
        self._own_ports.take(self._tenant(target))
        message = (
            f"The program listens on {address}:{target}, not on PORT: one replica at a time on this machine."
        )
        self._warning("OwnPort", message)
        self._update(details=message)
        self.order.on_own_port()
        return True

    def _leave_own_port(self) -> None:
        if self.order.target_port is not None:
            self._own_ports.give_back(self.order.target_port, self.name)

    def _tenant(self, port: int) -> Tenant:
        order, leave = self.order, self.order.leave
        return Tenant(self.name, order.app, order.number, port, order.command, lambda: leave(self.name))

    def _started(self, container: Container) -> None:
        self.container_id = f"process://{secrets.token_hex(16)}"
        record = {"pid": container.pid, "started": started_at(container.pid) or ""}
        self._state.put(PROCESSES, self.name, record)
        now = self._host.clock.utc_now()
        self._update(running=True, details=f"{STARTED}{now:%m/%d/%Y %I:%M:%S %p}.")
        self._normal("ContainerStarted", f"Started container '{self._name}'")

    def _ended(self, code: int, reason: str, problem: str = "") -> str:
        self._container = None
        self._state.delete(PROCESSES, self.name)
        problem = problem or self._port_problem()
        self._leave_own_port()
        message = f"Container '{self._name}' was terminated with exit code '{code}' and reason '{reason}'"
        message += f": {problem}" if problem else ""
        emit = self._normal if reason == "ManuallyStopped" else self._warning
        emit("ContainerTerminated", message)
        self._own_ready = False
        self._update(ready=False, started=False, running=False)
        return " | ".join([message, *self._last_lines])

    def _port_problem(self) -> str:
        """Why it ended, where it wanted the target port and another has it; it waits for it from now on."""
        target = self.order.target_port
        if target is None or not any("in use" in line.lower() for line in self._last_lines):
            return ""
        holder = self._own_ports.holder(target)
        if holder in (None, self.name):
            return ""
        self._own_ports.learn(target, self.order.command)
        self._may_replace = True
        return f"port {target} of this machine is in use by replica '{holder}'"

    def _was_healthy(self) -> bool:
        if self._ready_since is None:
            return False
        return self._host.clock.monotonic() - self._ready_since >= self._host.limits.back_off_reset_seconds

    def _on_line(self, line: str) -> None:
        self.log.append(line)
        if line.strip():
            self._last_lines.append(line)

    def _update(self, **changes: bool | int | str) -> None:
        status = replace(self.status, **changes)  # type: ignore[arg-type]
        if status != self.status:
            self.status = status
            self._on_change()

    def _normal(self, reason: str, message: str) -> None:
        self._events.normal(reason, message, revision=self.order.revision, replica=self.name)

    def _warning(self, reason: str, message: str) -> None:
        self._events.warning(reason, message, revision=self.order.revision, replica=self.name)

    @property
    def _name(self) -> str:
        return self.order.container
