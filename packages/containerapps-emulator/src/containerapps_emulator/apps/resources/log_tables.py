"""What apps and the platform logged, as the two tables that Azure sends to a workspace.

Read from the log files when asked; so unlike Azure's, they are never minutes late.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from containerapps_emulator.apps.documents.job_records import JobRecord, JobRecords
from containerapps_emulator.apps.documents.records import AppRecord, Records
from containerapps_emulator.apps.host import Host
from containerapps_emulator.apps.replicas.leftovers import OF_CONTAINER
from containerapps_emulator.logs.kql import Row, Table
from containerapps_emulator.state import Json

CONSOLE: Final = "ContainerAppConsoleLogs_CL"
SYSTEM: Final = "ContainerAppSystemLogs_CL"
SYSTEM_LOG: Final = "system.log"
SHARED_COLUMNS: Final = {
    "TimeGenerated": "datetime",
    "EnvironmentName_s": "string",
    "ContainerAppName_s": "string",
    "RevisionName_s": "string",
    "ContainerJobName_s": "string",
    "JobName_s": "string",
}
COLUMNS: Final = {
    CONSOLE: {
        **SHARED_COLUMNS,
        "ContainerGroupName_s": "string",
        "ContainerName_s": "string",
        "ContainerImage_s": "string",
        "Stream_s": "string",
        "Log_s": "string",
        "Type": "string",
    },
    SYSTEM: {
        **SHARED_COLUMNS,
        "ReplicaName_s": "string",
        "Type_s": "string",
        "Reason_s": "string",
        "EventSource_s": "string",
        "Count_d": "real",
        "Log_s": "string",
        "Type": "string",
    },
}


class LogTables:
    def __init__(self, host: Host, records: Records, jobs: JobRecords) -> None:
        self._host = host
        self._records = records
        self._jobs = jobs

    def table(self, customer_id: str, name: str) -> Table | None:
        """The rows of the apps whose environment logs to that workspace; None: no such table."""
        if name not in COLUMNS:
            return None
        of_app = {CONSOLE: self._console, SYSTEM: self._system}[name]
        of_job = {CONSOLE: self._job_console, SYSTEM: self._job_system}[name]
        empty = dict.fromkeys(COLUMNS[name], "")
        rows = [
            *(
                {
                    **empty,
                    **row,
                    "EnvironmentName_s": environment,
                    "ContainerAppName_s": app.name,
                    "Type": name,
                }
                for app in self._records.apps()
                if (environment := self._environment(app.environment, customer_id))
                for row in of_app(app)
            ),
            *(
                {**empty, **row, "EnvironmentName_s": environment, "Type": name}
                for job in self._jobs.jobs()
                if (environment := self._environment(job.environment, customer_id))
                for row in of_job(job)
            ),
        ]
        rows.sort(key=lambda row: str(row["TimeGenerated"]))
        return Table(name, COLUMNS[name], rows)

    def _environment(self, environment: str, customer_id: str) -> str:
        """The name of the environment of that id; "" where it logs elsewhere."""
        body = self._records.environment(environment) or {}
        known = str(body.get("customerId") or "")
        return str(body.get("name") or "") if known.lower() == customer_id.lower() else ""

    def _console(self, app: AppRecord) -> Iterator[Row]:
        templates = {item.name: item.template for item in self._records.revisions(app)}
        for path in sorted(self._host.log_folder(app.group, app.name).glob("*.log")):
            if path.name == SYSTEM_LOG:
                continue
            replica, _, name = path.stem.partition(OF_CONTAINER)
            revision = replica.rsplit("-", 2)[0]  # …-<replica set>-<replica>
            container = _container(templates.get(revision) or {}, name)
            for time, text in _lines(path):
                yield {
                    "TimeGenerated": time,
                    "RevisionName_s": revision,
                    "ContainerGroupName_s": replica,
                    "ContainerName_s": container.get("name", ""),
                    "ContainerImage_s": container.get("image", ""),
                    "Stream_s": "stdout",
                    "Log_s": text,
                }

    def _system(self, app: AppRecord) -> Iterator[Row]:
        for time, text in _lines(self._host.log_folder(app.group, app.name) / SYSTEM_LOG):
            yield _system_row(time, json.loads(text))

    def _job_console(self, job: JobRecord) -> Iterator[Row]:
        images = {
            item["name"]: item["image"]
            for execution in self._jobs.executions(job.key)
            for kind in ("containers", "initContainers")
            for item in execution.template[kind] or ()
        }
        for path in sorted(self._host.job_log_folder(job.group, job.name).glob(f"*{OF_CONTAINER}*.log")):
            replica, _, name = path.stem.partition(OF_CONTAINER)
            for time, text in _lines(path):
                yield {
                    "TimeGenerated": time,
                    "ContainerJobName_s": job.name,
                    "ContainerGroupName_s": replica,
                    "ContainerName_s": name,
                    "ContainerImage_s": images.get(name, ""),
                    "Stream_s": "stdout",
                    "Log_s": text,
                }

    def _job_system(self, job: JobRecord) -> Iterator[Row]:
        for time, text in _lines(self._host.job_log_folder(job.group, job.name) / SYSTEM_LOG):
            event = json.loads(text)
            yield {"JobName_s": job.name, **_system_row(time, event)}


def _system_row(time: str, event: Json) -> Row:
    return {
        "TimeGenerated": time,
        "RevisionName_s": event["RevisionName"] or "",
        "ReplicaName_s": event["ReplicaName"] or "",
        "Type_s": event["Type"],
        "Reason_s": event["Reason"],
        "EventSource_s": event["EventSource"],
        "Count_d": float(event["Count"]),
        "Log_s": event["Msg"],
    }


def _container(template: Json, name: str) -> Json:
    """The container of that name; the first where none is named."""
    containers = [*(template.get("containers") or ()), *(template.get("initContainers") or ())]
    found: Json = next((item for item in containers if item["name"] == name or not name), {})
    return found


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """(time, text) of each complete line: the last one may still be being written."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            time, _, text = line.rstrip("\n").partition(" ")
            if line.endswith("\n"):
                yield f"{time}Z", text
