"""Answers have the properties of the api-version asked for, and first answers repeat what was sent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.emulator.arm.conftest import RunningCloud, running_cloud

from containerapps_emulator.arm.resources.api_versions import PROPERTIES, Property, cut
from containerapps_emulator.state import Json

APP: Json = {
    "location": "westus3",
    "properties": {
        "configuration": {"ingress": {"external": True, "targetPort": 80}, "secrets": []},
        "template": {"containers": [{"name": "main", "image": "nginx", "resources": {"memory": "1.0Gi"}}]},
    },
}
NEWER = ("patchingMode", "identitySettings", "runtime", "targetLabel", "imageType", "cooldownPeriod")


@pytest.mark.parametrize(
    ("version", "has"),
    [
        ("2024-03-01", set()),
        ("2025-01-01", {"identitySettings", "runtime", "cooldownPeriod"}),
        ("2025-02-02-preview", set(NEWER)),
        ("2026-07-01", {"identitySettings", "runtime", "cooldownPeriod"}),
    ],
)
def test_an_app_is_cut_to_the_version(apps: RunningCloud, version: str, has: set[str]) -> None:
    with apps.http() as http:
        shown = http.get(_url(apps, "web"), params={"api-version": version}).json()
        (listed,) = http.get(_url(apps), params={"api-version": version}).json()["value"]
    assert {name for name in NEWER if f'"{name}"' in httpx.Response(200, json=shown).text} == has
    assert shown["properties"] == listed["properties"]


@pytest.mark.parametrize(
    ("version", "has"),
    [
        ("2024-03-01", set()),
        ("2025-01-01", {"enableFips", "certificateKeyVaultProperties"}),
        ("2024-10-02-preview", {"enableFips", "openTelemetryConfiguration", "diskEncryptionConfiguration"}),
        ("2025-07-01", {"enableFips", "publicNetworkAccess", "ingressConfiguration"}),
    ],
)
def test_an_environment_is_cut_to_the_version(apps: RunningCloud, version: str, has: set[str]) -> None:
    url = _url(apps, "env", kind="managedEnvironments")
    with apps.http() as http:
        text = http.get(url, params={"api-version": version}).text
    asked = {"enableFips", "certificateKeyVaultProperties", "openTelemetryConfiguration"}
    asked |= {"diskEncryptionConfiguration", "publicNetworkAccess", "ingressConfiguration"}
    found = {name for name in asked if f'"{name}"' in text}
    assert has <= found
    assert ("publicNetworkAccess" in found) == (version not in ("2024-03-01", "2025-01-01"))


def test_a_first_answer_repeats_what_was_sent_and_the_next_shows_the_defaults(apps: RunningCloud) -> None:
    with apps.http() as http:
        version = {"api-version": "2025-02-02-preview"}
        first = http.put(_url(apps, "other"), params=version, json=_app(apps)).json()["properties"]
        older = http.put(_url(apps, "older"), params={"api-version": "2024-03-01"}, json=_app(apps))
        shown = http.get(_url(apps, "other"), params=version).json()["properties"]
    assert "latestRevisionName" not in first
    assert first["template"]["scale"] is None
    assert first["template"]["containers"][0]["resources"]["memory"] == "1.0Gi"
    assert first["configuration"]["secrets"] == []
    assert (first["configuration"]["targetLabel"], first["configuration"]["ingress"]["traffic"]) == (
        None,
        None,
    )
    assert shown["template"]["scale"]["maxReplicas"] == 10
    assert shown["configuration"]["targetLabel"] == ""
    assert older.json()["properties"]["template"]["scale"]["maxReplicas"] == 10
    assert older.json()["properties"]["configuration"]["ingress"]["fqdn"]  # its port is promised at once


@pytest.mark.parametrize(("version", "has_status"), [("2024-03-01", False), ("2025-01-01", True)])
def test_a_patch_of_an_app_tells_its_status_in_newer_versions(
    apps: RunningCloud, version: str, has_status: bool
) -> None:
    change = {"properties": {"configuration": {"maxInactiveRevisions": 5}}}
    with apps.http() as http:
        answer = http.patch(_url(apps, "web"), params={"api-version": version}, json=change)
    assert answer.status_code == 202
    assert ("azure-asyncoperation" in answer.headers) == has_status
    assert "x-ms-async-operation-timeout" not in answer.headers


def test_a_patch_of_an_environment_without_properties_is_done_at_once(apps: RunningCloud) -> None:
    url = _url(apps, "env", kind="managedEnvironments")
    with apps.http() as http:
        at_once = http.patch(url, params={"api-version": "2025-01-01"}, json={"location": "West US 3"})
    assert (at_once.status_code, at_once.json()["location"]) == (200, "West US 3")


def test_an_app_answers_addresses_of_the_way_that_it_was_asked_by(tmp_path: Path) -> None:
    """Clients put wss:// before the host of the event stream, once its https:// is taken away."""
    with running_cloud(tmp_path, tls=True) as cloud:
        _prepare(cloud)
        asked = cloud.connection.arm_tls_url
        assert asked
        with cloud.http() as http:
            plain = http.get(_url(cloud, "web"), params={"api-version": "2025-01-01"}).json()
            headers = {"authorization": http.headers["authorization"]}
        url = _url(cloud, "web").replace(cloud.connection.arm_url, asked)
        with httpx.Client(verify=False, headers=headers) as secure:  # noqa: S501 - its own certificate
            answer = secure.get(url, params={"api-version": "2025-01-01"})
    assert answer.json()["properties"]["eventStreamEndpoint"].startswith(f"{asked}/subscriptions/")
    assert plain["properties"]["eventStreamEndpoint"].startswith(f"{cloud.connection.arm_url}/subscriptions/")


def test_the_given_document_stays_whole() -> None:
    document = {"properties": {"template": {"containers": [{"imageType": "x", "name": "a"}]}}}
    shown = cut(document, "Microsoft.App/containerApps", "2024-03-01")
    assert shown == {"properties": {"template": {"containers": [{"name": "a"}]}}}
    assert document["properties"]["template"]["containers"][0]["imageType"] == "x"


def test_preview_and_stable_versions_have_their_own_order() -> None:
    item = Property("x", "2025-07-01", "2024-08-02-preview")
    versions = ("2024-02-02-preview", "2024-08-02-preview", "2025-01-01", "2025-07-01", "2026-01-01")
    assert [item.is_in(version) for version in versions] == [False, True, False, True, True]
    assert all(item.path for items in PROPERTIES.values() for item in items)


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running_cloud(tmp_path_factory.mktemp("versions") / "cloud") as cloud:
        _prepare(cloud)
        yield cloud


def _prepare(cloud: RunningCloud) -> None:
    cloud.resources().resource_groups.create_or_update("here", {"location": "westus3"})
    body = {"location": "westus3", "properties": {}}
    with cloud.http() as http:
        for url, document in (
            (_url(cloud, "env", kind="managedEnvironments"), body),
            (_url(cloud, "web"), _app(cloud)),
        ):
            answer = http.put(url, params={"api-version": "2025-01-01"}, json=document)
            assert answer.status_code == 201, answer.text
            _until_done(http, answer.headers["azure-asyncoperation"])


def _until_done(http: httpx.Client, operation: str) -> None:
    deadline = time.monotonic() + 60
    while (state := http.get(operation).json()["status"]) != "Succeeded":
        assert state == "InProgress", state
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _app(cloud: RunningCloud) -> Json:
    environment = _url(cloud, "env", kind="managedEnvironments").removeprefix(cloud.connection.arm_url)
    return {**APP, "properties": {**APP["properties"], "environmentId": environment}}


def _url(cloud: RunningCloud, name: str = "", kind: str = "containerApps") -> str:
    own = f"{cloud.groups_path}/here/providers/Microsoft.App/{kind}"
    base = own if own.startswith("http") else f"{cloud.connection.arm_url}{own}"
    return f"{base}/{name}" if name else base
