"""The other containers of a replica: init containers, which run to their ends first, and sidecars beside it.

Each has its own process, log and restarts. The first container, its port and its probes are the replica's.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace

from containerapps_emulator.apps.documents.template import Probe
from containerapps_emulator.apps.host import Host
from containerapps_emulator.apps.replicas.console import LineLog
from containerapps_emulator.apps.replicas.container import Container, started_at
from containerapps_emulator.apps.replicas.leftovers import OF_CONTAINER, PROCESSES
from containerapps_emulator.apps.replicas.probes import check_port, watch
from containerapps_emulator.apps.replicas.replica_order import (
    STARTED,
    CannotStart,
    CompanionOrder,
    ReplicaStatus,
)
from containerapps_emulator.background import in_background, surviving
from containerapps_emulator.errors import said
from containerapps_emulator.state import State


class Companion:
    """One container. `run` or `initialize` it to its end once, or `start` it; `stop` it in any case."""

    def __init__(
        self, order: CompanionOrder, host: Host, state: State, on_change: Callable[[], None]
    ) -> None:
        self.name = order.container.name
        self.container_id = ""
        self.exit_code: int | None = None
        self.status = ReplicaStatus()
        self._order = order
        self._host = host
        self._state = state
        self._on_change = on_change
        self._key = f"{order.replica}{OF_CONTAINER}{self.name}"
        self.log = LineLog(order.log_folder / f"{self._key}.log", host.clock)
        self._container: Container | None = None
        self._supervisor: asyncio.Task[None] | None = None

    async def initialize(self) -> None:
        """Run it to its end. Raises CannotStart where it could not be started or did not end well."""
        if code := await self.run():
            raise CannotStart(
                "InitContainerFailed", f"init container '{self.name}' ended with exit code {code}"
            )

    async def run(self) -> int:
        """Once, to its end: the exit code. Raises CannotStart where it could not be started."""
        container = await self._started()
        code = await container.wait()
        self._ended(code)
        if code:
            self._update(details=f"Container '{self.name}' ended with exit code {code}.")
        else:
            self._update(ready=True, started=True, was_ready=True)
        return code

    def start(self) -> None:
        what = f"the supervision of container {self.name} of replica {self._order.replica}"
        self._supervisor = in_background(self._supervise(), what)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL after the grace; one that does not run is a no-op."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})
        try:
            if self._container is not None:
                self._ended(await self._container.terminate(self._order.grace_seconds))
        finally:
            self.log.close()

    def kill(self) -> None:
        if self._container is not None:
            self._container.kill()

    def on_started(self) -> None:
        self._update(started=True)

    def on_ready(self, ready: bool) -> None:
        exits = 0 if ready else self.status.exits_in_a_row
        self._update(ready=ready, was_ready=self.status.was_ready or ready, exits_in_a_row=exits)

    def on_probe_failed(self, probe: Probe, problem: str) -> None:
        self._order.tell("ReplicaUnhealthy", f"{probe.kind} probe of '{self.name}' failed: {problem}", True)

    async def _supervise(self) -> None:
        delays = self._host.limits.back_off_seconds
        while True:
            problem = await self._attempt()
            exits = self.status.exits_in_a_row + 1
            self._update(ready=False, started=False, running=False, exits_in_a_row=exits, details=problem)
            delay = delays[min(exits, len(delays)) - 1]
            message = f"Back-off {delay:g} s before container '{self.name}' is restarted: {problem}"
            self._order.tell("ContainerBackOff", message, True)
            await self._host.clock.sleep(delay)
            self._update(restarts=self.status.restarts + 1)

    async def _attempt(self) -> str:
        """From its start to its end; returns what ended it."""
        try:
            container = await self._started()
        except CannotStart as error:
            return f"{error.reason}: {said(error)}"
        ended = asyncio.create_task(container.wait())
        probes = asyncio.create_task(
            watch(self._order.container.probes, None, self._check, self._host.clock, self)
        )
        try:
            await asyncio.wait({ended, probes}, return_when=asyncio.FIRST_COMPLETED)
            problem = "" if ended.done() else probes.result()
        finally:
            ended.cancel()
            probes.cancel()
            await asyncio.wait({ended, probes})
        code = await container.terminate(self._order.grace_seconds)
        self._ended(code)
        return f"it ended with exit code {code}{f', {problem}' if problem else ''}"

    async def _check(self, probe: Probe) -> str | None:
        return await check_port(self._host.address, probe.port, probe)

    async def _started(self) -> Container:
        """Raises CannotStart."""
        try:
            launch = await self._order.prepare(self._order.container)
            self._container = container = await Container.start(launch, self.log.append)
        except OSError as error:
            raise CannotStart("ContainerCreateFailure", said(error)) from None
        self.container_id = f"process://{secrets.token_hex(16)}"
        record = {"pid": container.pid, "started": started_at(container.pid) or ""}
        self._state.put(PROCESSES, self._key, record)
        now = self._host.clock.utc_now()
        self._update(running=True, details=f"{STARTED}{now:%m/%d/%Y %I:%M:%S %p}.")
        self._order.tell("ContainerStarted", f"Started container '{self.name}'", False)
        return container

    def _ended(self, code: int) -> None:
        self._container = None
        self.exit_code = code
        self._state.delete(PROCESSES, self._key)
        self._update(ready=False, started=False, running=False)
        message = f"Container '{self.name}' was terminated with exit code '{code}'"
        self._order.tell("ContainerTerminated", message, False)

    def _update(self, **changes: bool | int | str) -> None:
        status = replace(self.status, **changes)  # type: ignore[arg-type]
        if status != self.status:
            self.status = status
            self._on_change()


class Companions:
    """Those of one replica. `initialize` first, then `start`, then `stop`."""

    def __init__(
        self,
        initial: Sequence[CompanionOrder],
        sidecars: Sequence[CompanionOrder],
        host: Host,
        state: State,
        on_change: Callable[[], None],
    ) -> None:
        self.initial = [Companion(order, host, state, on_change) for order in initial]
        self.sidecars = [Companion(order, host, state, on_change) for order in sidecars]

    @property
    def are_ready(self) -> bool:
        return all(item.status.ready for item in self.sidecars)

    async def initialize(self) -> None:
        """Run the init containers that have not ended well yet. Raises CannotStart."""
        for item in self.initial:
            if not item.status.ready:
                await item.initialize()

    def start(self) -> None:
        for item in self.sidecars:
            item.start()

    async def stop(self) -> None:
        with surviving("the stop of the other containers of a replica"):
            await asyncio.gather(*(item.stop() for item in (*self.initial, *self.sidecars)))

    def kill(self) -> None:
        for item in (*self.initial, *self.sidecars):
            item.kill()
