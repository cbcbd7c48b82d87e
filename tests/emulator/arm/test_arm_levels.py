"""Deployments to the subscription, as azd makes them: a group and what is in it, from one template."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

if TYPE_CHECKING:
    from tests.emulator.arm.conftest import RunningCloud

Json = dict[str, Any]
_VERSION = {"api-version": "2022-09-01"}
_WORKSPACE = {
    "type": "Microsoft.OperationalInsights/workspaces",
    "apiVersion": "2022-10-01",
    "name": "logs-here",
    "location": "[resourceGroup().location]",
    "tags": {"of": "[parameters('of')]"},
}
_TEMPLATE: Json = {
    "$schema": "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
    "parameters": {"group": {"type": "string"}},
    "resources": [
        {
            "type": "Microsoft.Resources/resourceGroups",
            "apiVersion": "2022-09-01",
            "name": "[parameters('group')]",
            "location": "[deployment().location]",
            "tags": {"made-by": "template"},
        },
        {
            "type": "Microsoft.Resources/deployments",
            "apiVersion": "2022-09-01",
            "name": "inside",
            "resourceGroup": "[parameters('group')]",
            "dependsOn": [
                "[subscriptionResourceId('Microsoft.Resources/resourceGroups', parameters('group'))]"
            ],
            "properties": {
                "mode": "Incremental",
                "expressionEvaluationOptions": {"scope": "inner"},
                "parameters": {"of": {"value": "[subscription().displayName]"}},
                "template": {
                    "contentVersion": "1.0.0.0",
                    "parameters": {"of": {"type": "string"}},
                    "resources": [_WORKSPACE],
                    "outputs": {"place": {"type": "string", "value": "[resourceGroup().id]"}},
                },
            },
        },
    ],
    "outputs": {
        "place": {"type": "string", "value": "[reference('inside').outputs.place.value]"},
        "id": {"type": "string", "value": "[resourceId('Microsoft.App/managedEnvironments', 'e')]"},
    },
}


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, module_cloud_at: Callable[..., Any]
) -> Iterator[RunningCloud]:
    with module_cloud_at(tmp_path_factory.mktemp("levels") / "cloud") as running:
        yield running


def body(group: str, location: str | None = "westus") -> Json:
    properties = {"template": _TEMPLATE, "parameters": {"group": {"value": group}}, "mode": "Incremental"}
    return {"properties": properties} | ({"location": location} if location else {})


def test_a_group_and_what_is_in_it(shared: RunningCloud) -> None:
    client = shared.deployments().deployments
    whole = f"/subscriptions/{shared.connection.subscription_id}"
    checked = client.begin_validate_at_subscription_scope("all", body("made")).result().properties
    assert [item.id.removeprefix(whole) for item in checked.validated_resources] == [
        "/resourceGroups/made",
        "/resourceGroups/made/providers/Microsoft.Resources/deployments/inside",
        "/resourceGroups/made/providers/Microsoft.OperationalInsights/workspaces/logs-here",
    ]
    done = client.begin_create_or_update_at_subscription_scope("all", body("made")).result()
    assert (done.location, done.id) == ("westus", f"{whole}/providers/Microsoft.Resources/deployments/all")
    assert done.properties.outputs["place"]["value"] == f"{whole}/resourceGroups/made"
    assert done.properties.outputs["id"]["value"] == f"{whole}/providers/Microsoft.App/managedEnvironments/e"
    group = shared.resources().resource_groups.get("made")
    assert (group.location, group.tags) == ("westus", {"made-by": "template"})
    (logs,) = shared.resources().resources.list_by_resource_group("made")
    assert (logs.location, logs.tags) == ("westus", {"of": "Local cloud"})
    operations = shared.deployments().deployment_operations.list_at_subscription_scope("all")
    targets = {
        item.properties.target_resource.resource_type
        for item in operations
        if item.properties.target_resource
    }
    assert targets == {"Microsoft.Resources/resourceGroups", "Microsoft.Resources/deployments"}
    assert [item.name for item in client.list_at_subscription_scope()] == ["all"]
    assert client.check_existence_at_subscription_scope("all")
    assert client.export_template_at_subscription_scope("all").template["parameters"] == {
        "group": {"type": "String"}
    }
    client.begin_delete_at_subscription_scope("all").result()
    assert not client.check_existence_at_subscription_scope("all")


def test_the_wire_is_the_recorded_one(shared: RunningCloud) -> None:
    path = (
        f"/subscriptions/{shared.connection.subscription_id}/providers/Microsoft.Resources/deployments/wire"
    )
    with shared.http() as http:
        first = http.put(path, params=_VERSION, json=body("wired"))
        status = http.get(first.headers["azure-asyncoperation"]).json()
        while status["status"] not in ("Succeeded", "Failed"):
            status = http.get(first.headers["azure-asyncoperation"]).json()
        second = http.put(path, params=_VERSION, json=body("wired"))
    assert (first.status_code, second.status_code) == (201, 200)
    assert status == {"status": "Succeeded"}
    assert list(first.json()) == ["id", "name", "type", "location", "properties"]
    assert first.json()["properties"]["providers"][0]["resourceTypes"][0]["locations"] == ["westus"]


@pytest.mark.parametrize(
    ("location", "code"),
    [(None, "LocationRequired"), ("atlantis", "LocationNotAvailableForDeployment")],
)
def test_a_location_is_needed(shared: RunningCloud, location: str | None, code: str) -> None:
    client = shared.deployments().deployments
    with pytest.raises(HttpResponseError, match=code):
        client.begin_create_or_update_at_subscription_scope("nowhere", body("x", location))


def test_what_needs_a_group_is_refused(shared: RunningCloud) -> None:
    client = shared.deployments().deployments
    wrong = body("x")
    wrong["properties"]["template"] = {"resources": [{**_WORKSPACE, "location": "eastus", "tags": {}}]}
    wrong["properties"]["parameters"] = {}
    with pytest.raises(HttpResponseError, match="cannot be deployed to a subscription"):
        client.begin_create_or_update_at_subscription_scope("wrong", wrong)
    wrong["properties"]["template"] = {
        "resources": [],
        "outputs": {"g": {"type": "string", "value": "[resourceGroup().id]"}},
    }
    with pytest.raises(HttpResponseError, match="the deployment is to a subscription"):
        client.begin_create_or_update_at_subscription_scope("wrong", wrong).result()
    with pytest.raises(ResourceNotFoundError, match="DeploymentNotFound"):
        client.get_at_subscription_scope("never")
