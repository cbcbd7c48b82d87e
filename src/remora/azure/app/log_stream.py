"""One connection to a log stream, and which of its lines were read before. Plain HTTP: no SDK covers it.

Wire format: newline-delimited JSON, `{"TimeStamp", "Log"}` for a container, `{"TimeStamp", "Type",
"Reason", "Msg", …}` for the system; Azure's own CLI uses the same protocol. A stream starts by repeating the
last lines, so a client that reconnects must tell old lines from new ones.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from remora.errors import CloudUnavailable, DeploymentNotFound, RemoraError, SignInRequired, said

MAX_TAIL_LINES = 300
_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 120.0  # a dead connection looks like a container that prints nothing
_SYSTEM_GREETINGS = frozenset({"StartingGettingEvents", "ConnectedToEventsServer"})
_GREETINGS = ("Connecting to the container '", "Successfully Connected to container: '")
_STATUS_ERRORS: Mapping[int, type[RemoraError]] = {401: SignInRequired, 404: DeploymentNotFound}


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a replica printed, or one event of the system."""

    time: str
    replica: str
    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """A stream: a replica's console, or the events of the whole app (`replica` empty)."""

    url: str
    replica: str


@dataclass(slots=True)
class Seen:
    """How far one stream was read: the newest time, and the count of each line with that time."""

    time: str = ""
    newest: Counter[str] = field(default_factory=Counter)

    def fresh(self, lines: Iterator[LogLine]) -> Iterator[LogLine]:
        """The lines of a new connection that were not read on an earlier one."""
        repeated = Counter(self.newest)
        catching_up = bool(self.time)
        for line in lines:
            time = _comparable(line.time)
            if catching_up and time == self.time and repeated[line.text]:
                repeated[line.text] -= 1
                continue
            if catching_up and time < self.time:
                continue
            catching_up = catching_up and time == self.time
            self._note(time, line.text)
            yield line

    def _note(self, time: str, text: str) -> None:
        if time > self.time:
            self.time = time
            self.newest.clear()
        if time == self.time:
            self.newest[text] += 1


def read_stream(source: Source, token: str, *, tail: int, follow: bool) -> Iterator[LogLine]:
    """Yield the last `tail` lines, and with `follow` new ones, until the stream ends or breaks.

    Raises SignInRequired (the token has expired), DeploymentNotFound (the replica no longer exists) or
    CloudUnavailable (a broken connection, or any other response).
    """
    query = {"follow": str(follow).lower(), "output": "json", "tailLines": str(min(tail, MAX_TAIL_LINES))}
    headers = {"Authorization": f"Bearer {token}"}
    timeout = httpx.Timeout(_CONNECT_SECONDS, read=_SILENCE_SECONDS)
    try:
        with httpx.stream("GET", source.url, params=query, headers=headers, timeout=timeout) as response:
            if response.status_code != httpx.codes.OK:
                kind = _STATUS_ERRORS.get(response.status_code, CloudUnavailable)
                raise kind(f"the log stream answered {response.status_code}", hint="run: remora status")
            documents = (_parse(raw) for raw in response.iter_lines() if raw)
            yield from (_line(source, document) for document in _without_greeting(documents))
    except httpx.HTTPError as error:
        raise CloudUnavailable(f"the log stream broke: {said(error)}", hint="run: remora status") from error


def _parse(raw: str) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except ValueError:
        return {"Log": raw}
    return document if isinstance(document, dict) else {"Log": raw}


def _without_greeting(documents: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Skip the greetings at the start of a connection, which are not lines of the app."""
    greeting = True
    for document in documents:
        greeting = greeting and _greets(document)
        if not greeting:
            yield document


def _greets(document: Mapping[str, Any]) -> bool:
    return document.get("Reason") in _SYSTEM_GREETINGS or str(document.get("Log")).startswith(_GREETINGS)


def _line(source: Source, document: Mapping[str, Any]) -> LogLine:
    time = str(document.get("TimeStamp") or "")
    if "Log" in document:
        return LogLine(time, source.replica, str(document["Log"]))
    who = str(document.get("ReplicaName") or document.get("RevisionName") or "")
    words = (document.get("Type"), document.get("Reason"), document.get("Msg"))
    return LogLine(time, who, " ".join(str(word) for word in words if word))


def _comparable(time: str) -> str:
    """Remove the UTC suffix that only some times have, so that times sort as text."""
    return time.removesuffix("Z").removesuffix("+00:00")
