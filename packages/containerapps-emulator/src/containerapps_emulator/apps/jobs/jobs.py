"""All jobs, by resource id: their executions at work and their schedules.

Owns every change of a job's records. What one execution does is in `execution.py`.
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from datetime import datetime
from typing import Final

from containerapps_emulator.apps.documents.cron import Cron
from containerapps_emulator.apps.documents.job_records import ExecutionRecord, JobRecord
from containerapps_emulator.apps.documents.names import execution_name
from containerapps_emulator.apps.documents.not_acted_upon import OF_JOBS, not_acted_upon
from containerapps_emulator.apps.jobs.execution import FAILED, STOPPED, Execution, JobRuntime
from containerapps_emulator.apps.jobs.job_events import JobEvents
from containerapps_emulator.apps.replicas.console import LineLog
from containerapps_emulator.arm.resources.resource import ResourceId
from containerapps_emulator.background import in_background, surviving
from containerapps_emulator.state import Json

KEPT_EXECUTIONS: Final = 100


class Jobs:
    """`start` it, then `put`, `begin` and the rest; `stop` ends the containers and keeps the records."""

    def __init__(self, runtime: JobRuntime) -> None:
        self._runtime = runtime
        self._records = runtime.records
        self._events: dict[str, JobEvents] = {}
        self._running: dict[str, tuple[Execution, asyncio.Task[None]]] = {}  # by key of the execution
        self._schedules: dict[str, asyncio.Task[None]] = {}  # by key of the job

    async def start(self) -> None:
        """Go on: executions that were cut off run what is left of them, schedules begin at now."""
        for job in self._records.jobs():
            for execution in self._records.executions(job.key):
                if execution.is_running:
                    self._run(job, execution)
            self._schedule(job)

    async def stop(self) -> None:
        for task in self._schedules.values():
            task.cancel()
        self._schedules.clear()
        running = list(self._running.values())
        ending = asyncio.create_task(self._cancel(list(self._running)))
        await asyncio.wait({ending}, timeout=self._runtime.host.limits.shutdown_seconds)
        for execution, _ in running:
            execution.kill()
        await ending
        for events in self._events.values():
            events.lines.close()
        self._events.clear()

    def find(self, job: ResourceId) -> JobRecord | None:
        return self._records.job(job.key)

    def put(self, job: ResourceId, properties: Json) -> None:
        """Take new properties; executions under way go on with what they began with."""
        record = (self.find(job) or JobRecord.new(job)).with_properties(properties)
        self._records.put_job(record)
        for item in not_acted_upon(properties, OF_JOBS):
            message = f"'{item.path}' is kept and has no effect here: {item.why}."
            self._events_of(record).warning("NotActedUpon", message)
        self._schedule(record)

    async def remove(self, job: ResourceId) -> None:
        """End what runs and forget the job; an unknown one is a no-op."""
        record = self.find(job)
        if record is None:
            return
        self._unschedule(record.key)
        while await self.stop_executions(record):
            pass  # one may have been started meanwhile
        self._unschedule(record.key)  # and the job resumed
        self._records.delete_job(record.key)
        if (events := self._events.pop(record.key, None)) is not None:
            events.lines.close()
        host = self._runtime.host
        for folder in (
            host.job_folder(record.group, record.name),
            host.job_log_folder(record.group, record.name),
        ):
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def begin(self, job: JobRecord, template: Json, name: str = "") -> ExecutionRecord:
        """Start an execution. Without a name it is given a random one."""
        record = ExecutionRecord(
            job=job.key,
            name=name or execution_name(job.name),
            started_at=self._runtime.host.clock.utc_now().isoformat(timespec="microseconds"),
            template=template,
            completions=job.trigger["replicaCompletionCount"],
            parallelism=job.trigger["parallelism"],
            retries=job.settings["replicaRetryLimit"],
            timeout_seconds=job.settings["replicaTimeout"],
        )
        self._records.put_execution(record)
        for old in self._records.executions(job.key)[KEPT_EXECUTIONS:]:
            if not old.is_running:
                self._records.delete_execution(old)
                for log in self._runtime.host.job_log_folder(job.group, job.name).glob(f"{old.name}-*@*.log"):
                    log.unlink(missing_ok=True)
        self._run(job, record)
        return record

    async def stop_executions(self, job: JobRecord, names: set[str] | None = None) -> list[ExecutionRecord]:
        """End those of the names, or all; returns the ones that were running."""
        running = [
            (execution, key)
            for key, (execution, _) in self._running.items()
            if execution.record.job == job.key and (names is None or execution.record.name in names)
        ]
        for execution, _ in running:
            execution.end(STOPPED)  # written first: a cloud that stops meanwhile does not run it again
        await self._cancel([key for _, key in running])
        return [execution.record for execution, _ in running]

    def suspend(self, job: JobRecord, suspended: bool) -> None:
        """A suspended job is not started by its schedule."""
        record = replace(job, suspended=suspended)
        self._records.put_job(record)
        self._schedule(record)

    def executions(self, job: ResourceId) -> list[ExecutionRecord]:
        return self._records.executions(job.key)

    def execution(self, job: ResourceId, name: str) -> ExecutionRecord | None:
        return self._records.execution(job.key, name)

    def _run(self, job: JobRecord, record: ExecutionRecord) -> None:
        execution = Execution(record, job, self._runtime, self._events_of(job))
        task = in_background(self._until_end(execution), f"execution {record.name}")
        self._running[record.key] = (execution, task)
        task.add_done_callback(lambda _: self._running.pop(record.key, None))

    async def _until_end(self, execution: Execution) -> None:
        try:
            await execution.run()
        except Exception:
            execution.end(FAILED, "InternalError", "The local cloud failed; see its log.")
            raise

    async def _cancel(self, keys: list[str]) -> None:
        tasks = [self._running[key][1] for key in keys]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _schedule(self, job: JobRecord) -> None:
        self._unschedule(job.key)
        if job.cron:
            follow = self._follow(job.id, Cron.parse(job.cron))
            self._schedules[job.key] = in_background(follow, f"the schedule of job {job.name}")

    def _unschedule(self, key: str) -> None:
        task = self._schedules.pop(key, None)
        if task is not None:
            task.cancel()

    async def _follow(self, job: ResourceId, cron: Cron) -> None:
        """Start the job whenever it is time; what falls in a time without a control plane is left out."""
        clock = self._runtime.host.clock
        while (due := cron.after(clock.utc_now())) is not None:
            while (now := clock.utc_now()) < due:
                await clock.sleep((due - now).total_seconds())
            record = self.find(job)
            if record is not None and record.template is not None:
                with surviving(f"the scheduled start of job {record.name}"):  # the next one is tried again
                    self.begin(record, record.template, f"{record.name}-{_minutes(due)}")

    def _events_of(self, job: JobRecord) -> JobEvents:
        if job.key not in self._events:
            host = self._runtime.host
            path = host.job_log_folder(job.group, job.name) / "system.log"
            self._events[job.key] = JobEvents(job.name, LineLog(path, host.clock))
        return self._events[job.key]


def _minutes(time: datetime) -> int:
    """Since 1970: what the name of a scheduled execution ends with."""
    return int(time.timestamp()) // 60
