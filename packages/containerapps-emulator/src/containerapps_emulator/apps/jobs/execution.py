"""One execution of a job at work: replicas that run to their end until enough of them have ended well.

Owns the changes of its record. Knows neither schedules nor ARM.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final

from containerapps_emulator.apps.capacity.placement import Placement
from containerapps_emulator.apps.capacity.pools import Capacity
from containerapps_emulator.apps.documents.job_records import ExecutionRecord, JobRecord, JobRecords
from containerapps_emulator.apps.documents.names import replica_name
from containerapps_emulator.apps.documents.template import ContainerTemplate, read_template
from containerapps_emulator.apps.host import Host
from containerapps_emulator.apps.jobs.job_events import JobEvents
from containerapps_emulator.apps.replicas.companions import Companion
from containerapps_emulator.apps.replicas.container import Launch
from containerapps_emulator.apps.replicas.launch import Launcher
from containerapps_emulator.apps.replicas.replica_order import CannotStart, CompanionOrder
from containerapps_emulator.background import surviving, to_the_end
from containerapps_emulator.errors import said
from containerapps_emulator.state import Json, State

GRACE_SECONDS: Final = 30.0
TIMED_OUT: Final = "DeadlineExceeded"
TOO_MANY_FAILURES: Final = "BackoffLimitExceeded"
SUCCEEDED: Final = "Succeeded"
FAILED: Final = "Failed"
STOPPED: Final = "Stopped"


@dataclass(frozen=True, slots=True)
class JobRuntime:
    """What all executions share. Owns no behaviour."""

    host: Host
    state: State
    records: JobRecords
    launcher: Launcher
    capacity: Capacity
    placement: Placement


class JobFailed(Exception):
    """No replica is started any more; the reason is Azure's word for why."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Execution:
    """`run` once. Where it is cancelled, its containers are ended and its record stays as it is."""

    def __init__(
        self, record: ExecutionRecord, job: JobRecord, runtime: JobRuntime, events: JobEvents
    ) -> None:
        self.record = record
        self._job = job
        self._runtime = runtime
        self._events = events
        self._template = read_template(record.template)
        self._failures = 0
        self._begun = record.succeeded
        self.replicas: dict[str, list[Companion]] = {}  # at work, by name

    async def run(self) -> None:
        """To its end. What a control plane before this one saw end well is not run again."""
        count = min(self.record.parallelism, self.record.completions - self.record.succeeded)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(self._work())
        except* JobFailed as failures:
            error = next(iter(failures.exceptions))
            reason = error.reason if isinstance(error, JobFailed) else ""
            self.end(FAILED, reason, said(error))
        else:
            self.end(SUCCEEDED)

    def end(self, status: str, reason: str = "", message: str = "") -> None:
        """Write down how it has ended, once."""
        if not self.record.is_running:
            return
        now = self._runtime.host.clock.utc_now()
        ended_at = now.isoformat(timespec="seconds")
        self._save(replace(self.record, status=status, reason=reason, message=message, ended_at=ended_at))
        tell = self._events.normal if status == SUCCEEDED else self._events.warning
        what = f"Execution '{self.record.name}' has ended: {status}"
        tell(reason or "Completed", f"{what}{f', {message}' if message else ''}", self.record.name)

    async def _work(self) -> None:
        """Run one replica after another while there is need for one. Raises JobFailed."""
        delays = self._runtime.host.limits.back_off_seconds
        while self._begun < self.record.completions:
            self._begun += 1
            while (problem := await self._replica()) is not None:
                self._failures += 1
                if self._failures > self.record.retries:
                    message = f"Job has reached the specified backoff limit: {problem}"
                    raise JobFailed(TOO_MANY_FAILURES, message)
                await self._runtime.host.clock.sleep(delays[min(self._failures, len(delays)) - 1])
            self._save(replace(self.record, succeeded=self.record.succeeded + 1))

    async def _replica(self) -> str | None:
        """One replica from its start to its end; what went wrong, or None. Raises JobFailed."""
        name = replica_name(self.record.name)
        runtime = self._runtime
        companions = [self._companion(item, name) for item in self._template.containers]
        initial = [self._companion(item, name) for item in self._template.initial]
        self.replicas[name] = [*initial, *companions]
        try:
            await runtime.capacity.take(
                name,
                lambda: runtime.placement.pool(self._job, self._template),
                lambda why: self._events.warning("AssigningReplicaFailed", f"'{name}' waits: {why}.", name),
            )
            return await self._in_time(self._run(initial, companions), name)
        finally:
            await to_the_end(self._clean(name), f"the end of replica {name}")

    def kill(self) -> None:
        """End its containers at once."""
        for companions in self.replicas.values():
            for item in companions:
                item.kill()

    async def _run(self, initial: list[Companion], companions: list[Companion]) -> str | None:
        running: list[asyncio.Task[int]] = []
        try:
            for item in initial:
                await item.initialize()
            running += [asyncio.create_task(item.run()) for item in companions]
            codes = await asyncio.gather(*running)
        except CannotStart as error:
            return f"{error.reason}: {said(error)}"
        finally:  # where one cannot start, none of the others may start later
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running)
        ends = zip(companions, codes, strict=True)
        problems = (f"container '{item.name}' ended with exit code {code}" for item, code in ends if code)
        return ", ".join(problems) or None

    async def _in_time(self, work: Coroutine[Any, Any, str | None], name: str) -> str | None:
        """Raises JobFailed where the replica takes longer than the job allows."""
        seconds = self.record.timeout_seconds
        running = asyncio.create_task(work)
        clock = asyncio.create_task(self._runtime.host.clock.sleep(seconds))
        try:
            await asyncio.wait({running, clock}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return running.result()
            message = f"replica '{name}' was active longer than the replicaTimeout of {seconds} s"
            raise JobFailed(TIMED_OUT, message)
        finally:
            for task in (running, clock):
                task.cancel()
            await asyncio.wait({running, clock})

    async def _clean(self, name: str) -> None:
        companions = self.replicas[name]
        try:
            with surviving(f"the stop of the containers of replica {name}"):
                await asyncio.gather(*(item.stop() for item in companions))
            ended = {"name": name, "containers": [_ended(item) for item in companions]}
            self._save(replace(self.record, replicas=(*self.record.replicas, ended)))
        finally:
            del self.replicas[name]
            self._runtime.capacity.give_back(name)
        folder = self._runtime.host.replica_folder(name)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _companion(self, container: ContainerTemplate, replica: str) -> Companion:
        host = self._runtime.host

        def tell(reason: str, message: str, wrong: bool) -> None:
            emit = self._events.warning if wrong else self._events.normal
            emit(reason, message, replica)

        order = CompanionOrder(
            replica=replica,
            container=container,
            log_folder=host.job_log_folder(self._job.group, self._job.name),
            grace_seconds=GRACE_SECONDS,
            prepare=lambda item: self._prepare(item, replica),
            tell=tell,
        )
        return Companion(order, host, self._runtime.state, lambda: None)

    async def _prepare(self, container: ContainerTemplate, replica: str) -> Launch:
        if not container.command:
            raise CannotStart(
                "ContainerCreateFailure",
                f"the template names no command, and image '{container.image}' is not pulled here",
            )
        return await self._runtime.launcher.of_job(self._job, self.record, container, replica)

    def _save(self, record: ExecutionRecord) -> None:
        self.record = record
        self._runtime.records.put_execution(record)


def _ended(companion: Companion) -> Json:
    """A container as the status of its replica shows it; one without a code was never started."""
    code = companion.exit_code
    return {
        "name": companion.name,
        **({} if code is None else {"code": code}),
        "status": SUCCEEDED if code == 0 else FAILED,
        "additionalInformation": companion.status.problem,
    }
