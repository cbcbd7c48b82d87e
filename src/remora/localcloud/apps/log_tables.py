"""What apps and the platform logged, as the two tables that Azure sends to a workspace.

Read from the log files when asked; so unlike Azure's, they are never minutes late.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from remora.localcloud.apps.host import Host
from remora.localcloud.apps.records import AppRecord, Records
from remora.localcloud.logs.kql import Row, Table

CONSOLE: Final = "ContainerAppConsoleLogs_CL"
SYSTEM: Final = "ContainerAppSystemLogs_CL"
SYSTEM_LOG: Final = "system.log"
SHARED_COLUMNS: Final = {
    "TimeGenerated": "datetime",
    "EnvironmentName_s": "string",
    "ContainerAppName_s": "string",
    "RevisionName_s": "string",
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
    def __init__(self, host: Host, records: Records) -> None:
        self._host = host
        self._records = records

    def table(self, customer_id: str, name: str) -> Table | None:
        """The rows of the apps whose environment logs to that workspace; None: no such table."""
        if name not in COLUMNS:
            return None
        read = {CONSOLE: self._console, SYSTEM: self._system}[name]
        rows = [
            {**row, "EnvironmentName_s": environment, "ContainerAppName_s": app.name, "Type": name}
            for app in self._records.apps()
            if (environment := self._environment(app, customer_id))
            for row in read(app)
        ]
        rows.sort(key=lambda row: str(row["TimeGenerated"]))
        return Table(name, COLUMNS[name], rows)

    def _environment(self, app: AppRecord, customer_id: str) -> str:
        """The name of the app's environment; "" where that logs elsewhere."""
        body = self._records.environment(app.environment) or {}
        known = str(body.get("customerId") or "")
        return str(body.get("name") or "") if known.lower() == customer_id.lower() else ""

    def _console(self, app: AppRecord) -> Iterator[Row]:
        containers = {item.name: item.template["containers"][0] for item in self._records.revisions(app)}
        for path in sorted(self._host.log_folder(app.group, app.name).glob("*.log")):
            if path.name == SYSTEM_LOG:
                continue
            revision = path.stem.rsplit("-", 2)[0]  # …-<replica set>-<replica>
            container = containers.get(revision, {})
            for time, text in _lines(path):
                yield {
                    "TimeGenerated": time,
                    "RevisionName_s": revision,
                    "ContainerGroupName_s": path.stem,
                    "ContainerName_s": container.get("name", ""),
                    "ContainerImage_s": container.get("image", ""),
                    "Stream_s": "stdout",
                    "Log_s": text,
                }

    def _system(self, app: AppRecord) -> Iterator[Row]:
        for time, text in _lines(self._host.log_folder(app.group, app.name) / SYSTEM_LOG):
            event = json.loads(text)
            yield {
                "TimeGenerated": time,
                "RevisionName_s": event["RevisionName"] or "",
                "ReplicaName_s": event["ReplicaName"] or "",
                "Type_s": event["Type"],
                "Reason_s": event["Reason"],
                "EventSource_s": event["EventSource"],
                "Count_d": float(event["Count"]),
                "Log_s": event["Msg"],
            }


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """(time, text) of each complete line: the last one may still be being written."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            time, _, text = line.rstrip("\n").partition(" ")
            if line.endswith("\n"):
                yield f"{time}Z", text
