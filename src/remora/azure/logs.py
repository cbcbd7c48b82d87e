"""The container's log stream, which no SDK covers: plain HTTP with a token of the app.

Wire format: newline-delimited `{"TimeStamp", "Log"}`; see Azure's own CLI for the same protocol.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from remora.azure.apps import AppState, ContainerApp, Replica
from remora.errors import CloudUnavailable, NotReady

MAX_TAIL_LINES = 300
_CONNECT_SECONDS = 10.0
_RECONNECT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a replica printed."""

    time: str
    replica: str
    text: str


def read_logs(app: ContainerApp, *, revision: str | None, tail: int, follow: bool) -> Iterator[LogLine]:
    """Lines of the newest replica, oldest first; with `follow`, for ever, over dropped streams.

    Raises NotReady where the revision has no replica (unless following).
    """
    last = ""
    while True:
        state = app.read()
        name = revision or state.latest_revision
        replicas = app.replicas(name)
        if replicas:
            seen_until = last
            for line in _stream(app, state, name, replicas[-1], tail=tail, follow=follow):
                if line.time > seen_until:  # a new stream begins with lines that the old one ended with
                    last = line.time
                    yield line
        elif not follow:
            raise NotReady(f"revision {name!r} has no replica", hint="run: remora deploy")
        if not follow:
            return
        time.sleep(_RECONNECT_SECONDS)


def _stream(
    app: ContainerApp, state: AppState, revision: str, replica: Replica, *, tail: int, follow: bool
) -> Iterator[LogLine]:
    base, _, resource = state.event_stream.partition("/subscriptions/")
    path = resource.rsplit("/eventstream", 1)[0]
    place = f"revisions/{revision}/replicas/{replica.name}/containers/{replica.container}"
    url = f"{base}/subscriptions/{path}/{place}/logstream"
    query = {"follow": str(follow).lower(), "output": "json", "tailLines": str(min(tail, MAX_TAIL_LINES))}
    headers = {"Authorization": f"Bearer {app.log_token()}"}
    timeout = httpx.Timeout(_CONNECT_SECONDS, read=None)
    try:
        with httpx.stream("GET", url, params=query, headers=headers, timeout=timeout) as response:
            if response.status_code != httpx.codes.OK:
                raise CloudUnavailable(
                    f"the log stream answered {response.status_code}", hint="run: remora status"
                )
            for raw in response.iter_lines():
                if raw:
                    yield _parse(raw, replica.name)
    except httpx.TransportError as error:
        if not follow:
            raise CloudUnavailable(f"the log stream broke: {error}", hint="run: remora status") from error


def _parse(raw: str, replica: str) -> LogLine:
    try:
        document = json.loads(raw)
        return LogLine(str(document.get("TimeStamp", "")), replica, str(document.get("Log", "")))
    except ValueError:
        return LogLine("", replica, raw)
