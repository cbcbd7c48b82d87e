"""Log Analytics: the language over made-up rows, and what a deployed app printed, asked over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from tests.emulator.apps.cloud import SUBSCRIPTION, Cloud, until

from containerapps_emulator.arm.resources.resource import ResourceId
from containerapps_emulator.logs.kql import KqlError, Table, run_query
from containerapps_emulator.logs.service import LogsService

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ROWS = [
    {"TimeGenerated": "2026-11-22T09:00:00.5Z", "App": "web", "Log": "Ready to serve", "Count": 1.0},
    {"TimeGenerated": "2026-11-22T11:30:00Z", "App": "web", "Log": "request /a's", "Count": 3.0},
    {"TimeGenerated": "2026-11-22T11:45:00Z", "App": "other", "Log": "error: not ready", "Count": 2.0},
]
COLUMNS = {"TimeGenerated": "datetime", "App": "string", "Log": "string", "Count": "real"}


def query(text: str) -> list[list[Any]]:
    table = run_query(text, lambda name: Table(name, COLUMNS, ROWS) if name == "Logs" else None, NOW)
    return [list(row.values()) for row in table.rows]


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("Logs", [1, 3, 2]),
        ("Logs | where App == 'web'", [1, 3]),
        ("Logs | where App == 'Web'", []),
        ('Logs | where App =~ "WEB" and Log contains "READY"', [1]),
        ("Logs | where Log !contains 'ready'", [3]),
        ("Logs | where Log has 'ready' | take 1", [1]),
        ("Logs | where Log has 'read'", []),
        ("Logs | where Log startswith 'error:' or Count >= 3", [3, 2]),
        ("Logs | where not(App == 'web')", [2]),
        ("Logs | where (App == 'web' or App == 'other') and Count < 3", [1, 2]),
        ("Logs | where App in ('other', 'none')", [2]),
        (r"Logs | where Log endswith 'a\'s'", [3]),
        ("Logs | where Log endswith @'s'", [3]),
        ("Logs | where TimeGenerated > ago(45m)", [3, 2]),
        ("Logs | where TimeGenerated < datetime(2026-11-22T10:00:00Z)", [1]),
        ("Logs | where TimeGenerated <= now() | top 1 by Count", [3]),
        ("Logs | order by Count", [3, 2, 1]),
        ("Logs | sort by App asc, Count desc | limit 2", [2, 3]),
        ("Logs\n| where Count > 1\n| order by TimeGenerated asc\n;", [3, 2]),
    ],
)
def test_rows(text: str, counts: list[int]) -> None:
    assert [row[-1] for row in query(text)] == counts


def test_columns() -> None:
    assert query("Logs | where Count == 3 | project Log, Name = App") == [["request /a's", "web"]]
    assert query("Logs | where App != 'web' | count") == [[1]]


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("Nothing", "SemanticError", "named 'Nothing'"),
        ("Logs | where Nothing == 1", "SemanticError", "named 'Nothing'"),
        ("Logs | where Count > 'a'", "SemanticError", "different types"),
        ("Logs | summarize count()", "SyntaxError", "does not support the operator 'summarize'"),
        ("Logs | where Log matches 'x'", "SyntaxError", "does not support the comparison 'matches'"),
        ("Logs | where App == tolower('x')", "SyntaxError", "does not support the function 'tolower'"),
        ("Logs | take many", "SyntaxError", "not 'many'"),
        ("Logs where", "SyntaxError", "'|' is expected before 'where'"),
        ("Logs | where App == 'open", "SyntaxError", "near ''open'"),
        ("", "SyntaxError", "recognition error"),
    ],
)
def test_what_is_not_known_is_refused_by_name(text: str, code: str, message: str) -> None:
    with pytest.raises(KqlError, match=re.escape(message)) as refused:
        query(text)
    assert refused.value.code == code


KEYWORDS = "where project order by take top count and or not in contains ago now datetime Logs"
LITERALS = "( ) , = == > 1h 9d 'a' App Count TimeGenerated 1 99999999999d"
WORDS = f"{KEYWORDS} | {LITERALS}".split(" ")


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=12))
def test_any_query_is_answered_or_refused(words: list[str]) -> None:
    with contextlib.suppress(KqlError):
        query("Logs | where " + " ".join(words))


def test_what_is_out_of_bounds_is_refused() -> None:
    with pytest.raises(KqlError, match="out of range"):
        query("Logs | where TimeGenerated > ago(99999999999d)")
    with pytest.raises(KqlError, match="nested too deeply"):
        query("Logs | where " + "(" * 5000 + "App == 'a'")


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    """The query service over the apps of `cloud`, whose environment logs to the workspace `logs`."""
    logs = LogsService(cloud.state, cloud.service.logs, accepts=lambda token: token == "good")
    (handler,) = logs.handlers
    workspace = ResourceId(SUBSCRIPTION, "group", handler.type, ("logs",))
    stored = await handler.complete(workspace, handler.accept(workspace, {"location": "westus3"}, None))
    customer = stored["properties"]["customerId"]
    analytics = {"customerId": customer, "sharedKey": "key"}
    properties = {
        "appLogsConfiguration": {"destination": "log-analytics", "logAnalyticsConfiguration": analytics}
    }
    await cloud.put(cloud.environment, {"location": "westus3", "properties": properties})
    server = uvicorn.Server(
        uvicorn.Config(Starlette(routes=list(logs.routes)), port=0, log_config=None, lifespan="off")
    )
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}/v1/workspaces/{customer}/"
    async with httpx.AsyncClient(base_url=url, headers={"authorization": "Bearer good"}) as client:
        yield client
    server.should_exit = True
    await serving


async def rows(client: httpx.AsyncClient, text: str, **body: str) -> list[list[Any]]:
    answer = await client.post("query", json={"query": text, **body})
    assert answer.status_code == 200, answer.text
    (table,) = answer.json()["tables"]
    assert table["name"] == "PrimaryResult"
    found: list[list[Any]] = table["rows"]
    return found


async def test_what_an_app_printed_can_be_asked_for(cloud: Cloud, client: httpx.AsyncClient) -> None:
    await cloud.deploy(env={"VERSION": "1"})
    await cloud.until_ready()
    await cloud.get("/?who")
    console = (
        "ContainerAppConsoleLogs_CL"
        f"| where ContainerAppName_s == 'web' and RevisionName_s == '{cloud.latest}'"
    )
    printed = await rows(client, f"{console} | project TimeGenerated, Log_s")
    assert [text for _, text in printed] == ["listening, version 1", "request /?who"]
    times = [datetime.fromisoformat(time) for time, _ in printed]
    assert times == sorted(times)
    (replica,) = cloud.replicas(cloud.latest)
    where = await rows(
        client, f"{console} | project ContainerGroupName_s, ContainerName_s, EnvironmentName_s"
    )
    assert where[0] == [replica["name"], "main", "env"]
    assert len(await rows(client, f"{console} | take 1")) == 1
    assert await rows(client, console, timespan="2020-01-01/P1D") == []
    assert len(await rows(client, console, timespan="PT1H")) == 2


async def test_what_the_platform_did_can_be_asked_for(cloud: Cloud, client: httpx.AsyncClient) -> None:
    await cloud.deploy(env={"FAIL": "3"})
    await until(lambda: "exit code '3'" in cloud.events())
    system = "ContainerAppSystemLogs_CL | where Reason_s == 'ContainerTerminated'"
    found = await rows(client, f"{system} | project RevisionName_s, Type_s, Count_d, Log_s | take 1")
    message = "Container 'main' was terminated with exit code '3' and reason 'ProcessExited'"
    assert found == [[cloud.latest, "Warning", 1.0, message]]


async def test_refusals(client: httpx.AsyncClient) -> None:
    wrong = await client.post("query", json={"query": "Logs"}, headers={"authorization": "Bearer bad"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "AuthorizationRequiredError")
    unknown = await client.post("query", json={"query": "Logs"})
    assert unknown.status_code == 400
    assert unknown.json()["error"]["innererror"]["code"] == "SemanticError"
    assert (await client.post("query", content=b"[")).status_code == 400
    soon = await client.post("query", json={"query": "ContainerAppSystemLogs_CL", "timespan": "soon"})
    assert "'soon' is not a duration" in soon.text
    table = {"query": "ContainerAppSystemLogs_CL"}
    for timespan in ("P1.1.1D", "P99999999999D", "2026-01-01/P99999999999D", "2026-13-01/P1D"):
        assert (await client.post("query", json={**table, "timespan": timespan})).status_code == 400
    nowhere = str(client.base_url.copy_with(path="/v1/workspaces/other/query"))
    assert (await client.post(nowhere, json={"query": "Logs"})).status_code == 404
