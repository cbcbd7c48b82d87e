"""What of a job survives a restart: its record, and the executions that it has had.

The only module that knows how these are spelled in the state file.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Final

from containerapps_emulator.arm.resources.resource import ResourceId
from containerapps_emulator.state import Json, State

JOBS: Final = "apps.job"
EXECUTIONS: Final = "apps.execution"
RUNNING: Final = "Running"
TYPE: Final = "Microsoft.App/jobs"


@dataclass(frozen=True, slots=True)
class JobRecord:
    subscription: str
    group: str
    name: str
    environment: str = ""
    profile: str = "Consumption"
    configuration: Json | None = None  # with the values of its secrets
    template: Json | None = None
    suspended: bool = False

    @classmethod
    def new(cls, job: ResourceId) -> JobRecord:
        return cls(job.subscription, job.group, job.name)

    @property
    def id(self) -> ResourceId:
        return ResourceId(self.subscription, self.group, TYPE, (self.name,))

    @property
    def key(self) -> str:
        return self.id.key

    @property
    def settings(self) -> Json:
        """The configuration; {} before a client has sent one."""
        return self.configuration or {}

    @property
    def trigger(self) -> Json:
        """The numbers and the schedule of its kind of trigger."""
        names = ("manualTriggerConfig", "scheduleTriggerConfig", "eventTriggerConfig")
        return next((found for name in names if (found := self.settings.get(name))), {})

    @property
    def cron(self) -> str:
        """The expression of a scheduled job; "" for others, and while the job is suspended."""
        schedule = self.settings.get("scheduleTriggerConfig") or {}
        return "" if self.suspended else str(schedule.get("cronExpression") or "")

    @property
    def secrets(self) -> dict[str, str]:
        return {item["name"]: item["value"] for item in self.settings.get("secrets") or ()}

    def with_properties(self, properties: Json) -> JobRecord:
        """The record after a client sent new properties."""
        return replace(
            self,
            environment=properties["environmentId"],
            profile=properties["workloadProfileName"],
            configuration=properties["configuration"],
            template=properties["template"],
        )


@dataclass(frozen=True, slots=True)
class ExecutionRecord:
    job: str  # key
    name: str
    started_at: str
    template: Json
    completions: int
    parallelism: int
    retries: int
    timeout_seconds: int
    status: str = RUNNING  # Running, Succeeded, Failed or Stopped
    ended_at: str = ""
    succeeded: int = 0  # replicas that have ended well
    reason: str = ""
    message: str = ""
    replicas: tuple[Json, ...] = ()  # {"name", "containers": [{"name", "code", "status"}]} of each that ended

    @property
    def key(self) -> str:
        return f"{self.job}/executions/{self.name}".lower()

    @property
    def is_running(self) -> bool:
        return self.status == RUNNING


class JobRecords:
    def __init__(self, state: State) -> None:
        self._state = state

    def jobs(self) -> list[JobRecord]:
        return [JobRecord(**body) for _, body in self._state.list(JOBS)]

    def job(self, key: str) -> JobRecord | None:
        body = self._state.get(JOBS, key)
        return None if body is None else JobRecord(**body)

    def put_job(self, job: JobRecord) -> None:
        self._state.put(JOBS, job.key, asdict(job))

    def delete_job(self, key: str) -> None:
        for execution in self.executions(key):
            self.delete_execution(execution)
        self._state.delete(JOBS, key)

    def executions(self, job: str) -> list[ExecutionRecord]:
        """Of the job of that key, newest first."""
        found = [ExecutionRecord(**body) for _, body in self._state.list(EXECUTIONS, f"{job}/executions/")]
        return sorted(found, key=lambda item: item.started_at, reverse=True)

    def execution(self, job: str, name: str) -> ExecutionRecord | None:
        body = self._state.get(EXECUTIONS, f"{job}/executions/{name}")
        return None if body is None else ExecutionRecord(**body)

    def put_execution(self, execution: ExecutionRecord) -> None:
        self._state.put(EXECUTIONS, execution.key, asdict(execution))

    def delete_execution(self, execution: ExecutionRecord) -> None:
        self._state.delete(EXECUTIONS, execution.key)
