"""The system log of one app: what the platform did to it and why, in Azure's words."""

from __future__ import annotations

import json

from containerapps_emulator.apps.replicas.console import LineLog
from containerapps_emulator.state import Json


class SystemLog:
    """Lines `{Type, ContainerAppName, RevisionName, ReplicaName, Msg, Reason, EventSource, Count}`.

    `Count` says how often the same thing happened to the same replica.
    """

    def __init__(self, app: str, lines: LineLog) -> None:
        self._app = app
        self.lines = lines
        self._counts: dict[tuple[str, str, str, str], int] = {}

    def normal(self, reason: str, message: str, *, revision: str = "", replica: str = "") -> None:
        self._emit("Normal", reason, message, revision, replica)

    def warning(self, reason: str, message: str, *, revision: str = "", replica: str = "") -> None:
        self._emit("Warning", reason, message, revision, replica)

    def _emit(self, kind: str, reason: str, message: str, revision: str, replica: str) -> None:
        same = (revision, replica, reason, message)
        self._counts[same] = self._counts.get(same, 0) + 1
        event = event_of(kind, reason, message)
        names = {"ContainerAppName": self._app, "RevisionName": revision, "ReplicaName": replica}
        self.lines.append(json.dumps({**event, **names, "Count": self._counts[same]}))


def connection_events() -> list[Json]:
    """What every stream begins with, whatever the app."""
    return [
        event_of("Normal", "StartingGettingEvents", "Connecting to the events collector..."),
        event_of("Normal", "ConnectedToEventsServer", "Successfully connected to events server"),
    ]


def event_of(kind: str, reason: str, message: str) -> Json:
    return {
        "Type": kind,
        "ContainerAppName": None,
        "RevisionName": None,
        "ReplicaName": None,
        "Msg": message,
        "Reason": reason,
        "EventSource": "ContainerAppController",
        "Count": 1,
    }
