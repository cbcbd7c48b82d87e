"""A control plane that comes back starts the apps that somebody asks for, and no others."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from tests.emulator.apps.cloud import DEADLINE_SECONDS, Cloud, resource, until, web_template

from containerapps_emulator.apps.replicas.leftovers import PROCESSES
from containerapps_emulator.state import Json

OTHER = resource("containerApps", "other")


async def came_back(make_cloud: Callable[..., Cloud]) -> Cloud:
    """With two apps, which served before."""
    before = make_cloud()
    await before.service.start()
    await before.provision()
    await before.deploy(env={"VERSION": "1"})
    await before.put(OTHER, body(before))
    await until(lambda: latest_ready(before) != "")
    await before.until_ready()
    await before.service.stop()
    again = make_cloud()
    again.documents = before.documents
    await again.service.start()
    return again


def body(cloud: Cloud) -> Json:
    configuration = {"ingress": {"external": True, "targetPort": 7860}}
    properties = {
        "environmentId": str(cloud.environment),
        "configuration": configuration,
        "template": web_template(),
    }
    return {"location": "westus3", "properties": properties}


def latest_ready(cloud: Cloud) -> str:
    return str(cloud.show(OTHER)["properties"]["latestReadyRevisionName"])


def running(cloud: Cloud) -> set[str]:
    return {name.partition("--")[0] for name, _ in cloud.state.list(PROCESSES)}


async def test_a_request_wakes_its_app_and_waits_for_it(make_cloud: Callable[..., Cloud]) -> None:
    cloud = await came_back(make_cloud)
    assert running(cloud) == set()
    assert cloud.properties["runningStatus"] == "Running"
    assert (await cloud.get())["version"] == "1"
    assert running(cloud) == {"web"}


async def test_looking_at_its_revisions_wakes_it_and_only_it(make_cloud: Callable[..., Cloud]) -> None:
    cloud = await came_back(make_cloud)
    cloud.virtual("containerApps/revisions").list(OTHER)
    await until(lambda: running(cloud) == {"other"})


async def test_a_revision_is_reached_at_its_own_address_at_once(make_cloud: Callable[..., Cloud]) -> None:
    cloud = await came_back(make_cloud)
    records = cloud.service._fleet._runtime.records
    (web,) = [app for app in records.apps() if app.name == "web"]
    (port,) = [revision.port for revision in records.revisions(web)]
    async with httpx.AsyncClient(timeout=300) as client:
        answer = await client.get(f"http://127.0.0.1:{port}")
    assert answer.json()["version"] == "1"


async def test_an_app_that_was_stopped_stays_so(make_cloud: Callable[..., Cloud]) -> None:
    before = make_cloud()
    await before.service.start()
    await before.provision()
    await before.deploy()
    await before.until_ready()
    await before.ask("stop")
    await before.service.stop()
    cloud = make_cloud()
    cloud.documents = before.documents
    await cloud.service.start()
    cloud.revisions()
    async with httpx.AsyncClient(timeout=DEADLINE_SECONDS) as client:
        assert (await client.get(cloud.url)).status_code == 404
    assert running(cloud) == set()
