"""Long-running work through the seam, with a service of the test's own: success, failure, interruption."""

# ruff: noqa: ARG002 - the signatures are those of the seam
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import BaseRoute

from containerapps_emulator.arm.api import create_arm_api
from containerapps_emulator.arm.http import Guard
from containerapps_emulator.arm.resources.resource import (
    ArmError,
    ResourceHandler,
    ResourceId,
    VirtualHandler,
    Wire,
)
from containerapps_emulator.arm.resources.store import ResourceStore
from containerapps_emulator.arm.subscription import LOCAL_SUBSCRIPTION
from containerapps_emulator.state import Json, State

_GROUP = f"/subscriptions/{LOCAL_SUBSCRIPTION.id}/resourceGroups/work"
_THING = f"{_GROUP}/providers/Microsoft.App/containerApps/thing"


class Things:
    """A type whose work waits for the test, and fails or refuses when told to."""

    type = "Microsoft.App/containerApps"
    put_wire = Wire.ASYNC_OPERATION
    patch_wire = Wire.LOCATION
    delete_wire = Wire.LOCATION

    def __init__(self, *, open_from_start: bool = True) -> None:
        self.may_end = asyncio.Event()
        if open_from_start:
            self.may_end.set()
        self.failure: ArmError | None = None
        self.deleted: list[str] = []

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        return {**body, "updates": (existing or {}).get("updates", -1) + 1}

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        await self.may_end.wait()
        if self.failure is not None:
            raise self.failure
        return {**stored, "completed": True}

    def show(self, resource_id: ResourceId, stored: Json) -> Json:
        return {**stored, "id": str(resource_id), "name": resource_id.name, "type": self.type}

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        if self.failure is not None:
            raise self.failure
        self.deleted.append(resource_id.name)

    async def action(self, resource_id: ResourceId, stored: Json, name: str, body: Json) -> Json | str | None:
        return f"{name} succeeded"


class Parts:
    """A derived type: two parts of every thing."""

    type = "Microsoft.App/containerApps/revisions"

    def get(self, resource_id: ResourceId) -> Json | None:
        return {"name": resource_id.name} if resource_id.name in ("a", "b") else None

    def list(self, parent: ResourceId) -> list[Json]:
        return [{"name": name, "of": parent.name} for name in ("a", "b")]

    async def action(self, resource_id: ResourceId, name: str, body: Json) -> Json | str | None:
        return f"{name} of {'/'.join(resource_id.names)}"


class ThingService:
    namespace = "Microsoft.App"
    routes: Sequence[BaseRoute] = ()

    def __init__(self, things: Things) -> None:
        self.handlers: Sequence[ResourceHandler] = (things,)
        self.virtual_handlers: Sequence[VirtualHandler] = (Parts(),)

    async def start(self) -> None:
        """Nothing runs."""

    async def stop(self) -> None:
        """Nothing runs."""


async def add_api_version(request: httpx.Request) -> None:
    """Unless it is there: addresses to poll come with it."""
    if "api-version" not in request.url.params:
        request.url = request.url.copy_merge_params({"api-version": "2025-07-01"})


@asynccontextmanager
async def arm(folder: Path, things: Things) -> AsyncIterator[httpx.AsyncClient]:
    """ARM over one service, without sockets; leaving is like a stop of the process."""
    state = State(folder / "state.sqlite3")
    api = create_arm_api(LOCAL_SUBSCRIPTION, [ThingService(things)], ResourceStore(state), state)
    guarded = Guard(api.router, accepts="t".__eq__, tenant_id=LOCAL_SUBSCRIPTION.tenant_id)
    api.operations.resume()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(guarded),
        base_url="http://arm.test",
        headers={"Authorization": "Bearer t"},
        event_hooks={"request": [add_api_version]},
    ) as client:
        await client.put(_GROUP, json={"location": "eastus"})
        yield client
    await api.operations.stop()
    state.close()


async def ended(client: httpx.AsyncClient, url: str) -> Json:
    """Poll a status until it is final."""
    async with asyncio.timeout(120):
        while True:
            status: Json = (await client.get(url)).json()
            if status["status"] not in ("InProgress", "Accepted", "Running"):
                return status
            await asyncio.sleep(0.005)


async def answered(client: httpx.AsyncClient, url: str) -> httpx.Response:
    """Poll a location until it no longer says 202."""
    async with asyncio.timeout(120):
        while True:
            answer = await client.get(url)
            if answer.status_code != 202:
                return answer
            await asyncio.sleep(0.005)


async def put(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.put(_THING, json={"location": "eastus", **body})


async def test_put_is_answered_before_the_work_is_done(tmp_path: Path) -> None:
    things = Things(open_from_start=False)
    async with arm(tmp_path, things) as client:
        accepted = await put(client)
        assert accepted.status_code == 201
        assert accepted.json()["properties"]["provisioningState"] == "InProgress"
        assert accepted.headers["x-ms-async-operation-timeout"] == "PT15M"
        url = accepted.headers["azure-asyncoperation"]
        assert "/locations/eastus/containerappOperationStatuses/" in url
        assert (await client.get(url)).json()["status"] == "InProgress"
        refused = await put(client)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "AnotherOperationInProgress")
        things.may_end.set()
        status = await ended(client, url)
        assert set(status) == {"id", "name", "status", "startTime"}
        shown = (await client.get(_THING.upper())).json()
        assert (shown["completed"], shown["properties"]["provisioningState"]) == (True, "Succeeded")
        assert shown["id"] == _THING


async def test_work_that_fails_says_why(tmp_path: Path) -> None:
    things = Things()
    things.failure = ArmError(400, "Broken", "It broke.")
    async with arm(tmp_path, things) as client:
        status = await ended(client, (await put(client)).headers["azure-asyncoperation"])
        assert status["status"] == "Failed"
        assert status["error"] == {"code": "Broken", "message": "It broke."}
        assert (await client.get(_THING)).json()["properties"]["provisioningState"] == "Failed"


async def test_patch_merges_and_answers_with_both_headers(tmp_path: Path) -> None:
    async with arm(tmp_path, Things()) as client:
        first = await put(client, tags={"a": "1", "b": "2"}, list=[1, 2])
        await ended(client, first.headers["azure-asyncoperation"])
        patched = await client.patch(_THING, json={"tags": {"a": None, "c": "3"}, "list": [3]})
        assert (patched.status_code, patched.content) == (202, b"")
        await ended(client, patched.headers["azure-asyncoperation"])
        result = await client.get(patched.headers["location"])
    assert (result.status_code, result.json()["tags"], result.json()["list"]) == (
        200,
        {"b": "2", "c": "3"},
        [3],
    )


async def test_delete_is_followed_by_location(tmp_path: Path) -> None:
    things = Things()
    async with arm(tmp_path, things) as client:
        await ended(client, (await put(client)).headers["azure-asyncoperation"])
        things.failure = ArmError(409, "InUse", "Something needs it.")
        refused = await client.delete(_THING)
        url = refused.headers["location"]
        answer = await answered(client, url)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "InUse")
        things.failure = None
        going = await client.delete(_THING)
        assert (going.status_code, "azure-asyncoperation" in going.headers) == (202, False)
        answer = await answered(client, going.headers["location"])
        assert answer.status_code == 204
        assert (await client.delete(_THING)).status_code == 204
    assert things.deleted == ["thing"]


async def test_derived_resources_and_actions(tmp_path: Path) -> None:
    async with arm(tmp_path, Things()) as client:
        missing = await client.get(f"{_THING}/revisions")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "ResourceNotFound")
        await put(client)
        listed = (await client.get(f"{_THING.replace('thing', 'THING')}/revisions")).json()
        assert listed == {"value": [{"name": "a", "of": "thing"}, {"name": "b", "of": "thing"}]}
        assert (await client.get(f"{_THING}/revisions/a")).json() == {"name": "a"}
        assert (await client.get(f"{_THING}/revisions/c")).status_code == 404
        restarted = await client.post(f"{_THING}/revisions/a/Restart")
        assert restarted.content == b'"restart of thing/a"'
        assert (await client.post(f"{_THING}/Stop")).json() == "stop succeeded"
        assert (await client.put(f"{_THING}/revisions/a", json={})).status_code == 405


async def test_interrupted_work_is_done_after_a_restart(tmp_path: Path) -> None:
    async with arm(tmp_path, Things(open_from_start=False)) as client:
        url = (await put(client)).headers["azure-asyncoperation"]
        assert (await client.get(url)).json()["status"] == "InProgress"
    async with arm(tmp_path, Things()) as client:
        assert (await ended(client, url))["status"] == "Succeeded"
        assert (await client.get(_THING)).json()["completed"] is True


async def test_an_interrupted_deployment_ends_after_a_restart(tmp_path: Path) -> None:
    resource = {
        "type": "Microsoft.App/containerApps",
        "apiVersion": "2025-07-01",
        "name": "[parameters('name')]",
        "location": "eastus",
    }
    template = {
        "parameters": {"name": {"type": "string", "defaultValue": "[concat('x', newGuid())]"}},
        "resources": [resource],
        "outputs": {"name": {"type": "string", "value": "[parameters('name')]"}},
    }
    url = f"{_GROUP}/providers/Microsoft.Resources/deployments/first"
    body = {"properties": {"template": template}}
    async with arm(tmp_path, Things(open_from_start=False)) as client:
        created = await client.put(url, json=body)
        active = await client.put(url, json=body)
        assert (active.status_code, active.json()["error"]["code"]) == (409, "DeploymentActive")
    async with arm(tmp_path, Things()) as client:
        status_url = created.headers["azure-asyncoperation"]
        assert (await ended(client, status_url))["status"] == "Succeeded"
        properties = (await client.get(url)).json()["properties"]
        things = (await client.get(f"{_GROUP}/resources")).json()["value"]
    # a default that differs each time was decided once, when the deployment was accepted
    assert (
        properties["outputs"]["name"]["value"] == created.json()["properties"]["parameters"]["name"]["value"]
    )
    assert [thing["name"] for thing in things] == [properties["outputs"]["name"]["value"]]


async def test_cancel_stops_a_deployment(tmp_path: Path) -> None:
    template = {
        "resources": [
            {
                "type": "Microsoft.App/containerApps",
                "apiVersion": "2025-07-01",
                "name": "thing",
                "location": "eastus",
            }
        ]
    }
    url = f"{_GROUP}/providers/Microsoft.Resources/deployments/first"
    async with arm(tmp_path, Things(open_from_start=False)) as client:
        created = await client.put(url, json={"properties": {"template": template}})
        assert (await client.post(f"{url}/cancel")).status_code == 204
        assert (await ended(client, created.headers["azure-asyncoperation"])) == {"status": "Canceled"}


async def test_deleting_what_is_being_made_stops_the_making(tmp_path: Path) -> None:
    things = Things(open_from_start=False)
    async with arm(tmp_path, things) as client:
        url = (await put(client)).headers["azure-asyncoperation"]
        going = await client.delete(_THING)
        answer = await answered(client, going.headers["location"])
        assert answer.status_code == 204
        assert (await client.get(url)).json()["status"] == "Canceled"
        assert (await client.get(_THING)).status_code == 404


async def test_an_end_that_cannot_be_written_down_is_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    things, write = Things(open_from_start=False), State.put

    def put_but_no_end(state: State, kind: str, key: str, body: Json) -> None:
        if kind == "operations" and body["status"] != "InProgress":
            raise RuntimeError("memory is short")
        write(state, kind, key, body)

    async with arm(tmp_path, things) as client:
        url = (await put(client)).headers["azure-asyncoperation"]
        monkeypatch.setattr(State, "put", put_but_no_end)
        things.may_end.set()
        assert (await ended(client, url))["status"] == "Succeeded"
    assert "is not written down" in caplog.text


async def test_work_that_waited_for_something_cancelled_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def complete(*_: object) -> Json:
        other = asyncio.ensure_future(asyncio.sleep(60))
        other.cancel()
        await other
        return {}

    things = Things()
    monkeypatch.setattr(things, "complete", complete)
    async with arm(tmp_path, things) as client:
        assert (await ended(client, (await put(client)).headers["azure-asyncoperation"]))[
            "status"
        ] == "Failed"
