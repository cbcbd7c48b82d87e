"""The log streams over HTTP: console lines of one replica, system events of one app or environment.

Outside of ARM's paths. Checks its own tokens (getAuthToken), as Azure's stream hosts do.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from containerapps_emulator.apps.app import App
from containerapps_emulator.apps.clock import Clock
from containerapps_emulator.apps.fleet import Fleet
from containerapps_emulator.apps.replicas.console import Line, LineLog, timestamp
from containerapps_emulator.apps.replicas.events import connection_events
from containerapps_emulator.apps.replicas.replica import Replica
from containerapps_emulator.apps.resources.tokens import Tokens
from containerapps_emulator.arm.resources.resource import ResourceId
from containerapps_emulator.background import surviving
from containerapps_emulator.fault_table import Fault
from containerapps_emulator.faults import Faults
from containerapps_emulator.state import Json

DEFAULT_TAIL = 20


class LogStreams:
    def __init__(self, fleet: Fleet, tokens: Tokens, clock: Clock, faults: Faults) -> None:
        self._faults = faults
        self._fleet = fleet
        self._tokens = tokens
        self._clock = clock

    def routes(self) -> list[BaseRoute]:
        app = "/subscriptions/{subscription}/resourceGroups/{group}/containerApps/{app}"
        environment = "/subscriptions/{subscription}/resourceGroups/{group}/managedEnvironments/{environment}"
        replica = f"{app}/revisions/{{revision}}/replicas/{{replica}}"
        return [
            Route(f"{replica}/containers/{{container}}/logstream", self.console),
            Route(f"{app}/eventstream", self.system),
            Route(f"{environment}/eventstream", self.environment),
        ]

    async def console(self, request: Request) -> Response:
        app = self._app(request)
        if isinstance(app, Response):
            return app
        name = request.path_params["replica"]
        replica = _replica(app, request.path_params["revision"], name)
        log = replica.log_of(request.path_params["container"]) if replica else None
        if replica is None or log is None:
            return _error(
                404, "ReplicaNotFound", f"Container replica '{name}' was not found or is not running."
            )
        return _stream(self._console_lines(replica, log, request), _writer(request, _console_text))

    async def system(self, request: Request) -> Response:
        app = self._app(request)
        if isinstance(app, Response):
            return app
        return _stream(self._system_lines([app], request), _writer(request, _system_text))

    async def environment(self, request: Request) -> Response:
        """The system events of all apps that the environment has when the stream begins."""
        name = request.path_params["environment"]
        resource_id = _resource_id(request, "managedEnvironments", name)
        if refusal := self._refusal(request, resource_id):
            return refusal
        apps = self._fleet.in_environment(resource_id.key)
        return _stream(self._system_lines(apps, request), _writer(request, _system_text))

    async def _console_lines(self, replica: Replica, log: LineLog, request: Request) -> AsyncIterator[Json]:
        now = timestamp(self._clock.utc_now())
        container = request.path_params["container"]
        connected = f"[Revision: '{replica.order.revision}', Replica: '{replica.name}']"
        yield {"TimeStamp": now, "Log": f"Connecting to the container '{container}'..."}
        yield {"TimeStamp": now, "Log": f"Successfully Connected to container: '{container}' {connected}"}
        async for line in _lines(log.follow, log.tail, request):
            yield {"TimeStamp": line.time, "Log": line.text}

    async def _system_lines(self, apps: Sequence[App], request: Request) -> AsyncIterator[Json]:
        now = timestamp(self._clock.utc_now())
        for event in connection_events():
            yield {"TimeStamp": now, **event}
        logs = (app.events.lines for app in apps)
        async for line in merged([_lines(log.follow, log.tail, request) for log in logs]):
            yield {"TimeStamp": line.time, **json.loads(line.text)}

    def _app(self, request: Request) -> App | Response:
        name = request.path_params["app"]
        resource_id = _resource_id(request, "containerApps", name)
        if refusal := self._refusal(request, resource_id):
            return refusal
        app = self._fleet.wake(resource_id)
        return app or _error(404, "ContainerAppNotFound", f"Container app '{name}' was not found.")

    def _refusal(self, request: Request, resource_id: ResourceId) -> Response | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        denied = self._faults.take(Fault.LOG_STREAM_DENIED) is not None
        if scheme.lower() == "bearer" and self._tokens.accepts(token, resource_id.key) and not denied:
            return None
        response = _error(401, "Unauthorized", "The log stream needs a fresh token of getAuthToken.")
        response.headers["www-authenticate"] = "Bearer"
        return response


async def merged(streams: Sequence[AsyncIterator[Line]]) -> AsyncIterator[Line]:
    """The lines of all streams as they come, until all have ended."""
    lines: asyncio.Queue[Line | None] = asyncio.Queue(1)

    async def pump(stream: AsyncIterator[Line]) -> None:
        with surviving("a log stream"):  # the other streams go on
            async for line in stream:
                await lines.put(line)
        await lines.put(None)

    pumps = [asyncio.create_task(pump(stream)) for stream in streams]
    try:
        left = len(pumps)
        while left:
            line = await lines.get()
            if line is None:
                left -= 1
            else:
                yield line
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


def _resource_id(request: Request, kind: str, name: str) -> ResourceId:
    names = request.path_params
    return ResourceId(names["subscription"], names["group"], f"Microsoft.App/{kind}", (name,))


def _replica(app: App, revision: str, name: str) -> Replica | None:
    at_work = app.at_work(revision)
    replicas = at_work.replicas if at_work else ()
    return next((replica for replica in replicas if replica.name.startswith(name)), None)


async def _lines(
    follow: Callable[[int], AsyncIterator[Line]], tail: Callable[[int], list[Line]], request: Request
) -> AsyncIterator[Line]:
    count = _tail_count(request)
    if request.query_params.get("follow", "false").lower() == "true":
        async for line in follow(count):
            yield line
        return
    for line in tail(count):
        yield line


def _tail_count(request: Request) -> int:
    asked = request.query_params.get("tailLines", "")
    return int(asked) if asked.isdecimal() else DEFAULT_TAIL


def _writer(request: Request, as_text: Callable[[Json], str]) -> Callable[[Json], str]:
    return as_text if request.query_params.get("output") == "text" else _json_line


def _json_line(document: Json) -> str:
    return json.dumps(document, separators=(",", ":")).replace("'", "\\u0027")


def _console_text(document: Json) -> str:
    return f"{document['TimeStamp']} {document['Log']}"


def _system_text(document: Json) -> str:
    return f"{document['TimeStamp']} {document['Type']} {document['Reason']} {document['Msg']}"


def _stream(documents: AsyncIterator[Json], write: Callable[[Json], str]) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        async for document in documents:
            yield write(document) + "\n"

    return StreamingResponse(lines(), media_type="application/json")


def _error(status: int, code: str, message: str) -> JSONResponse:
    content: dict[str, Any] = {"error": {"code": code, "message": message}}
    return JSONResponse(content, status_code=status)
