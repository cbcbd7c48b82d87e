"""Microsoft's clients, sync and async, live an app's whole life. Each answer on the way is held to
Microsoft's documents: nothing unknown, nothing missing, no wrong value, nothing write-only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
from azure.core.exceptions import HttpResponseError
from tests.conformance.clients import Clients, async_clients, sync_clients
from tests.conformance.differences import read
from tests.conformance.lifecycle import PARAMETERS, TEMPLATE, lifecycle
from tests.conformance.openapi import Answer, answer_violations, operation_of
from tests.conformance.recorder import Recorder
from tests.conformance.recordings import ABSENT, EVIDENCE, scenarios
from tests.conformance.typed import read_only_texts, resource_violations, versions_of
from tests.emulator.arm.conftest import RunningCloud, running_cloud

pytestmark = pytest.mark.skipif(not EVIDENCE.is_dir(), reason=ABSENT)

APP = "Microsoft.App/containerApps"
MOST_UNDOCUMENTED = ("OperationStatuses", "OperationResults", "operationStatuses", "operationresults")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("conformance") / "cloud") as running:
        yield running


USAGE_VERSIONS = ("2023-11-02-preview", "2024-03-01", "2024-08-02-preview")


@pytest.fixture(scope="module")
def azures_own() -> frozenset[str]:
    """What Azure's recorded answers have that its documents do not allow: no fault of ours."""
    found: set[str] = set()
    for exchange in (item for scenario in scenarios() for item in scenario.exchanges if item.to_arm):
        body = read(exchange.answer_body) or None
        of_usage = exchange.url.path.lower().endswith(("/usages", "/workloadprofilestates"))
        for version in {
            dict(parse_qsl(exchange.url.query)).get("api-version", ""),
            "2023-01-01",
            "2024-07-01",
            *(
                USAGE_VERSIONS if of_usage else ()
            ),  # recorded only with a version that there is no document of
        }:
            answer = Answer(exchange.method, exchange.url.path, version, exchange.status, body)
            found |= {shape(text) for text in answer_violations(answer)}
            if isinstance(body, dict) and body.get("type"):
                found |= {shape(text) for text in resource_violations(body["type"], version, body)}
    return frozenset(found)


@pytest.mark.parametrize("make", [sync_clients, async_clients])
async def test_a_life_in_answers_that_the_documents_allow(
    cloud: RunningCloud, azures_own: frozenset[str], make: Callable[..., Any]
) -> None:
    recorder = Recorder()
    clients = make(cloud.connection, recorder)
    try:
        await lifecycle(clients)
    finally:
        await clients.close()
    found = {
        f"{operation.name} {answer.status} {text}"
        for answer in recorder.answers
        if (operation := operation_of(answer)) is not None
        for text in answer_violations(answer)
        if shape(text) not in azures_own
    }
    assert not found, "\n".join(sorted(found))
    undocumented = [
        f"{answer.method} {answer.path} {answer.version}"
        for answer in recorder.answers
        if operation_of(answer) is None and not any(part in answer.path for part in MOST_UNDOCUMENTED)
    ]
    assert len(recorder.answers) > 80
    assert not [text for text in undocumented if "asyncoperations" not in text]


async def test_resources_are_what_the_typed_schemas_say(
    cloud: RunningCloud, azures_own: frozenset[str]
) -> None:
    """Of each version of Container Apps that there is a schema of."""
    found: set[str] = set()
    for version in versions_of(APP):
        recorder = Recorder()
        clients = sync_clients(cloud.connection, recorder, apps_version=version)
        await lifecycle(clients)
        await clients.close()
        for answer in recorder.answers:
            for resource in resources_in(answer):
                found |= {
                    f"{resource['type']}@{answer.version} {text}"
                    for text in resource_violations(resource["type"], answer.version, resource)
                    if shape(text) not in azures_own
                }
    assert not found, "\n".join(sorted(found))


USAGE_OPERATIONS = {
    "AvailableWorkloadProfiles_Get",
    "ManagedEnvironmentUsages_List",
    "ManagedEnvironments_ListWorkloadProfileStates",
    "Usages_List",
}


@pytest.mark.parametrize("version", USAGE_VERSIONS)
async def test_usages_and_profiles_are_what_the_documents_allow(
    cloud: RunningCloud, azures_own: frozenset[str], version: str
) -> None:
    """Of a region, of an environment with a dedicated profile, and of neither."""
    recorder = Recorder()
    clients = sync_clients(cloud.connection, recorder, apps_version=version)
    clients.resources.resource_groups.create_or_update("usages", {"location": "westus3"})
    profiles = [
        {"name": "Consumption", "workloadProfileType": "Consumption"},
        {"name": "large", "workloadProfileType": "NC24-A100", "minimumCount": 1, "maximumCount": 2},
    ]
    environment = {"location": "westus3", "properties": {"workloadProfiles": profiles}}
    clients.apps.managed_environments.begin_create_or_update("usages", "main", environment).result()
    states = clients.apps.managed_environments.list_workload_profile_states
    assert [item.name for item in states("usages", "main")] == ["Consumption", "large"]
    offered = {item.name for item in clients.apps.available_workload_profiles.get("westus3")}
    assert {"Consumption", "D4", "NC24-A100"} <= offered
    assert list(clients.apps.usages.list("westus3"))
    assert list(clients.apps.managed_environment_usages.list("usages", "main"))
    _ask_in_vain(clients)
    clients.resources.resource_groups.begin_delete("usages").result()
    await clients.close()
    asked = [(operation_of(answer), answer) for answer in recorder.answers]
    held = [
        (item.name, answer) for item, answer in asked if item is not None and item.name in USAGE_OPERATIONS
    ]
    assert {name for name, answer in held if answer.status == 200} == USAGE_OPERATIONS
    assert {name for name, answer in held if answer.status >= 400} == USAGE_OPERATIONS
    found = {
        f"{name} {answer.status} {text}"
        for name, answer in held
        for text in answer_violations(answer)
        if shape(text) not in azures_own
    }
    assert not found, "\n".join(sorted(found))


def _ask_in_vain(clients: Clients) -> None:
    """About an environment and a region that are not there."""
    refusals: tuple[Callable[[], Any], ...] = (
        lambda: list(clients.apps.managed_environments.list_workload_profile_states("usages", "nobody")),
        lambda: list(clients.apps.managed_environment_usages.list("usages", "nobody")),
        lambda: list(clients.apps.usages.list("nowhere")),
        lambda: list(clients.apps.available_workload_profiles.get("nowhere")),
    )
    for refused in refusals:
        with pytest.raises(HttpResponseError):
            refused()


OWNED = {
    "Microsoft.App/containerApps": "2024-03-01",
    "Microsoft.App/managedEnvironments": "2024-03-01",
    "Microsoft.Storage/storageAccounts": "2023-01-01",
    "Microsoft.OperationalInsights/workspaces": "2022-10-01",
}


def test_what_only_the_service_sets_is_not_taken_from_a_client(cloud: RunningCloud) -> None:
    properties = {
        "template": json.loads(TEMPLATE.read_text()),
        "parameters": PARAMETERS,
        "mode": "Incremental",
    }
    cloud.resources().resource_groups.create_or_update("owned", {"location": "eastus"})
    deployments = cloud.deployments().deployments
    deployments.begin_create_or_update("owned", "first", {"properties": properties}).result()
    with cloud.http() as http:
        for full_type, version in OWNED.items():
            query = {"api-version": version}
            path = f"{cloud.groups_path}/owned/providers/{full_type}"
            (body,) = http.get(path, params=query).raise_for_status().json()["value"]
            names = read_only_texts(full_type, version)
            assert names, full_type
            body["properties"] |= dict.fromkeys(names, "not-yours")
            sent = {**body, "id": "/not-yours", "name": "not-yours", "type": "not-yours"}
            answer = http.put(f"{path}/{body['name']}", params=query, json=sent)
            assert answer.status_code < 300, answer.text
            shown = http.get(f"{path}/{body['name']}", params=query).text
            assert "not-yours" not in answer.text + shown, full_type
    cloud.resources().resource_groups.begin_delete("owned").result()


def resources_in(answer: Answer) -> list[dict[str, Any]]:
    """The resources of an answer: itself, or those in its list."""
    body = answer.body if isinstance(answer.body, dict) and answer.status < 300 else {}
    items = body.get("value", [body])
    return [item for item in items if isinstance(item, dict) and item.get("type") and item.get("id")]


def shape(violation: str) -> str:
    """A violation wherever it is found: in a resource or in a list of them."""
    return violation.replace("body.value[].", "body.")
