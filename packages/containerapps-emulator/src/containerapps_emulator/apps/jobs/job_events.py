"""The system log of one job: what the platform did to it and why."""

from __future__ import annotations

import json

from containerapps_emulator.apps.replicas.console import LineLog
from containerapps_emulator.apps.replicas.events import event_of


class JobEvents:
    """Lines like those of an app's system log, with `JobName` instead of an app and a revision."""

    def __init__(self, job: str, lines: LineLog) -> None:
        self._job = job
        self.lines = lines

    def normal(self, reason: str, message: str, replica: str = "") -> None:
        self._emit("Normal", reason, message, replica)

    def warning(self, reason: str, message: str, replica: str = "") -> None:
        self._emit("Warning", reason, message, replica)

    def _emit(self, kind: str, reason: str, message: str, replica: str) -> None:
        names = {"JobName": self._job, "ReplicaName": replica}
        self.lines.append(json.dumps({**event_of(kind, reason, message), **names}))
