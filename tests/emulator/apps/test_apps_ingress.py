"""The ingress listener: streams both ways, passes on who asked, fails in Azure's words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import httpx
import pytest
from tests.emulator.apps.cloud import DEADLINE_SECONDS, PATIENT, Cloud, until


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    await cloud.deploy()
    await cloud.until_ready()
    async with httpx.AsyncClient(base_url=cloud.url, timeout=DEADLINE_SECONDS) as client:
        yield client


async def test_an_event_arrives_before_the_next_is_sent(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", "/stream") as answer:
        lines = answer.aiter_lines()
        assert answer.headers["content-type"] == "text/event-stream"
        assert await anext(lines) == "data: first"
        await client.get("/release")  # only now will the app send the second
        assert [line async for line in lines if line] == ["data: second"]


async def test_the_app_learns_at_once_that_the_client_has_gone(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", "/endless") as answer:
        assert await anext(answer.aiter_lines()) == "data: tick"
    gone = False
    while not gone:
        gone = (await client.get("/gone")).json()["gone"]


async def test_large_bodies_pass(client: httpx.AsyncClient) -> None:
    size = 8 * 1024 * 1024
    answer = await client.post("/", content=b"\x01" * size)
    assert answer.json()["bytes"] == answer.json()["sum"] == size


async def test_the_app_sees_who_asked_and_for_what(client: httpx.AsyncClient) -> None:
    answer = await client.get(
        "/headers?q=a%20b&x=%2F", headers={"X-Forwarded-For": "10.0.0.1", "Host": "a.test"}
    )
    seen = {name.lower(): value for name, value in answer.json()["headers"].items()}
    assert answer.json()["target"] == "/headers?q=a%20b&x=%2F"
    assert seen["x-forwarded-for"] == "10.0.0.1,127.0.0.1"
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-host"] == seen["host"] == "a.test"


async def test_a_dropped_connection_is_502(client: httpx.AsyncClient) -> None:
    answer = await client.get("/drop")
    assert (answer.status_code, answer.text) == (502, "")


async def test_sticky_sessions_come_back_to_their_replica(cloud: Cloud) -> None:
    ingress = {"external": True, "targetPort": 7860, "stickySessions": {"affinity": "sticky"}}
    await cloud.deploy(configuration={"ingress": ingress}, replicas=2)
    await until(lambda: cloud.revision(cloud.latest)["healthState"] == "Healthy")
    strangers = {(await cloud.get())["pid"] for _ in range(4)}
    assert len(strangers) == 2
    async with httpx.AsyncClient(base_url=cloud.url, timeout=DEADLINE_SECONDS) as client:
        answers = [await client.get("/") for _ in range(6)]
        assert len({answer.json()["pid"] for answer in answers}) == 1
        assert ["set-cookie" in answer.headers for answer in answers] == [True] + [False] * 5
        assert (await client.get("/exit?code=1")).status_code == 502
        # The other one, while this one is away. A socket can take a connection in as its process dies.
        while (status := (await client.get("/")).status_code) == 502:  # noqa: ASYNC110 - the other side is a process
            await asyncio.sleep(0.01)
        assert status == 200


async def test_a_request_over_the_limit_is_504(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(limits=replace(PATIENT, request_seconds=0.2))
    await cloud.provision()
    await cloud.deploy()
    await cloud.until_ready()
    async with httpx.AsyncClient(base_url=cloud.url, timeout=DEADLINE_SECONDS) as client:
        answer = await client.get(f"/slow?until={cloud.home / 'never'}")
        assert (answer.status_code, answer.text) == (504, "stream timeout")
        with pytest.raises(httpx.RemoteProtocolError):  # an answer already begun is broken off
            await client.get("/endless")


async def test_the_address_survives_a_restart(make_cloud: Callable[..., Cloud]) -> None:
    first = make_cloud()
    await first.provision()
    await first.deploy()
    await first.until_ready()
    url = first.url
    await first.service.stop()
    second = make_cloud()
    second.documents = first.documents
    await second.service.start()
    assert second.url == url
    await until(lambda: second.revision(second.latest)["healthState"] == "Healthy")
    assert (await second.get())["pid"]
