"""The log streams over real HTTP: tokens, the recorded first lines, tails, following."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from tests.emulator.apps.cloud import ARM_URL, DEADLINE_SECONDS, Cloud, until


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=list(cloud.service.routes))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    await cloud.deploy(env={"VERSION": "1"})
    await cloud.until_ready()
    await cloud.get()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_SECONDS) as client:
        yield client
    server.should_exit = True
    await serving


async def authorized(cloud: Cloud) -> dict[str, str]:
    token = await cloud.ask("getauthtoken")
    return {"Authorization": f"Bearer {token['properties']['token']}"}


def console_path(cloud: Cloud) -> str:
    (replica,) = cloud.replicas(cloud.latest)
    endpoint: str = replica["properties"]["containers"][0]["logStreamEndpoint"]
    assert endpoint.startswith(f"{ARM_URL}/subscriptions/")
    return endpoint.removeprefix(ARM_URL)


async def test_the_console_begins_as_recorded_and_ends_without_follow(
    cloud: Cloud, client: httpx.AsyncClient
) -> None:
    headers, path = await authorized(cloud), console_path(cloud)
    answer = await client.get(path, headers=headers, params={"output": "json", "tailLines": 1})
    assert "\\u0027main\\u0027" in answer.text
    first, second, *rest = (json.loads(line) for line in answer.text.splitlines())
    replica = cloud.replicas(cloud.latest)[0]["name"]
    connected = f"[Revision: '{cloud.latest}', Replica: '{replica}']"
    assert first["Log"] == "Connecting to the container 'main'..."
    assert second["Log"] == f"Successfully Connected to container: 'main' {connected}"
    assert [line["Log"] for line in rest] == ["request /"]
    assert len(rest[0]["TimeStamp"]) == len("2024-04-18T03:07:37.88971")
    everything = await client.get(path, headers=headers, params={"output": "text"})
    assert "listening, version 1" in everything.text


async def test_following_sees_each_line_as_it_is_printed(cloud: Cloud, client: httpx.AsyncClient) -> None:
    headers, path = await authorized(cloud), console_path(cloud)
    params = {"follow": "true", "tailLines": "0"}
    async with client.stream("GET", path, headers=headers, params=params) as answer:
        lines = answer.aiter_lines()
        assert "Connecting" in await anext(lines)
        assert "Successfully Connected" in await anext(lines)
        await cloud.get("/?first")
        assert json.loads(await anext(lines))["Log"] == "request /?first"
        await cloud.get("/?second")
        assert json.loads(await anext(lines))["Log"] == "request /?second"
        await cloud.ask("stop")  # the replica goes, and with it the stream
        assert [line async for line in lines] == []


async def test_system_events_tell_the_story(cloud: Cloud, client: httpx.AsyncClient) -> None:
    endpoint: str = cloud.properties["eventStreamEndpoint"]
    answer = await client.get(
        endpoint.removeprefix(ARM_URL), headers=await authorized(cloud), params={"tailLines": 300}
    )
    events = [json.loads(line) for line in answer.text.splitlines()]
    keys = "TimeStamp Type ContainerAppName RevisionName ReplicaName Msg Reason EventSource Count"
    assert list(events[0]) == list(events[-1]) == keys.split()
    reasons = [event["Reason"] for event in events]
    assert reasons[:2] == ["StartingGettingEvents", "ConnectedToEventsServer"]
    order = [
        "RevisionCreation",
        "AssigningReplica",
        "ContainerStarted",
        "RevisionReady",
        "TrafficWeightUpdated",
    ]
    assert [reason for reason in reasons if reason in order] == order
    started = next(event for event in events if event["Reason"] == "ContainerStarted")
    assert started["ContainerAppName"] == "web"
    assert started["RevisionName"] == cloud.latest
    assert started["ReplicaName"] == cloud.replicas(cloud.latest)[0]["name"]
    assert started["Count"] == 1


async def test_an_environment_tells_the_events_of_its_apps(cloud: Cloud, client: httpx.AsyncClient) -> None:
    handler = cloud.handler(cloud.environment.type)
    token: Any = await handler.action(cloud.environment, {}, "getauthtoken", {})
    headers = {"Authorization": f"Bearer {token['properties']['token']}"}
    endpoint: str = cloud.show(cloud.environment)["properties"]["eventStreamEndpoint"]
    path = endpoint.removeprefix(ARM_URL)
    answer = await client.get(path, headers=headers, params={"tailLines": 300})
    assert "RevisionReady" in [json.loads(line)["Reason"] for line in answer.text.splitlines()]
    async with client.stream(
        "GET", path, headers=headers, params={"follow": "true", "tailLines": 0}
    ) as answer:
        lines = answer.aiter_lines()
        assert [json.loads(await anext(lines))["ContainerAppName"] for _ in range(2)] == [None, None]
        await cloud.ask_revision(cloud.latest, "restart")
        first = json.loads(await anext(lines))
        assert (first["ContainerAppName"], first["Reason"]) == ("web", "RevisionUpdate")
    assert (await client.get(path, headers=await authorized(cloud))).status_code == 401  # the token of an app


@pytest.mark.parametrize("token", ["", "Bearer x", "Bearer a.b.c", "Basic abc"])
async def test_without_a_good_token_nothing_is_told(
    cloud: Cloud, client: httpx.AsyncClient, token: str
) -> None:
    for path in (console_path(cloud), cloud.properties["eventStreamEndpoint"].removeprefix(ARM_URL)):
        answer = await client.get(path, headers={"Authorization": token})
        assert answer.status_code == 401
        assert "request /" not in answer.text


async def test_a_token_of_another_app_is_refused(cloud: Cloud, client: httpx.AsyncClient) -> None:
    other = console_path(cloud).replace("/containerApps/web/", "/containerApps/other/")
    assert (await client.get(other, headers=await authorized(cloud))).status_code == 401


async def test_a_replica_that_is_not_there_is_404(cloud: Cloud, client: httpx.AsyncClient) -> None:
    path = console_path(cloud).replace("/containers/main/", "/containers/other/")
    answer = await client.get(path, headers=await authorized(cloud))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "ReplicaNotFound")
