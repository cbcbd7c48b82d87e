"""`POST /v1/workspaces/{customer id}/query`: the query service of Log Analytics, over the logs of apps."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from containerapps_emulator.arm.http import read_json
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.logs.kql import KqlError, Table, as_json, parse_time, run_query

DURATION: Final = re.compile(
    r"P(?:(?P<days>N)D)?(?:T(?:(?P<hours>N)H)?(?:(?P<minutes>N)M)?(?:(?P<seconds>N)S)?)?".replace(
        "N", r"\d+(?:\.\d+)?"
    )
)


class LogSource(Protocol):
    """Where the rows come from."""

    def table(self, customer_id: str, name: str) -> Table | None:
        """All rows that a workspace has in a table, oldest first; None if there is no such table."""


class LogQuery:
    def __init__(
        self, source: LogSource, *, accepts: Callable[[str], bool], exists: Callable[[str], bool]
    ) -> None:
        self._source = source
        self._accepts = accepts
        self._exists = exists
        self.routes = (Route("/v1/workspaces/{workspace}/query", self.query, methods=["POST"]),)

    async def query(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._accepts(token):
            return _error(401, "AuthorizationRequiredError", "Valid authentication was not provided.")
        workspace = str(request.path_params["workspace"])
        if not self._exists(workspace):
            return _error(404, "WorkspaceNotFoundError", f"The workspace '{workspace}' was not found.")
        try:
            body = await read_json(request)
            now = datetime.now(UTC)
            span = _span(str(body.get("timespan") or ""), now)
            table = await asyncio.to_thread(self._run, workspace, str(body.get("query") or ""), span, now)
        except KqlError as error:
            inner = {"code": error.code, "message": str(error)}
            message = "The request had some invalid properties"
            return _error(400, "BadArgumentError", message, innererror=inner)
        except OverflowError:
            return _error(400, "BadArgumentError", f"The timespan '{body.get('timespan')}' is out of range.")
        except ArmError as error:
            return _error(400, "BadArgumentError", error.message)
        return JSONResponse({"tables": [as_json(table)]})

    def _run(self, workspace: str, text: str, span: tuple[datetime, datetime] | None, now: datetime) -> Table:
        def in_span(name: str) -> Table | None:
            table = self._source.table(workspace, name)
            if table is None or span is None:
                return table
            rows = [row for row in table.rows if span[0] <= parse_time(row["TimeGenerated"]) <= span[1]]
            return Table(table.name, table.columns, rows)

        return run_query(text, in_span, now)


def _span(text: str, now: datetime) -> tuple[datetime, datetime] | None:
    """`PT1H` (until now), `start/end` or `start/PT1H`; None if there is no limit. Raises KqlError."""
    if not text:
        return None
    first, _, last = text.partition("/")
    if not last:
        return now - _duration(first), now
    start = parse_time(first)
    return start, start + _duration(last) if last.startswith("P") else parse_time(last)


def _duration(text: str) -> timedelta:
    match = DURATION.fullmatch(text)
    if match is None:
        raise KqlError("SyntaxError", f"'{text}' is not a duration.")
    return timedelta(**{unit: float(number) for unit, number in match.groupdict().items() if number})


def _error(status: int, code: str, message: str, **more: object) -> Response:
    return JSONResponse({"error": {"code": code, "message": message, **more}}, status_code=status)
