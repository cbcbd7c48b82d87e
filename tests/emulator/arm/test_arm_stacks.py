"""Deployment stacks through Microsoft's client: what a stack makes, keeps, releases and deletes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from tests.azure.local_cloud import until

if TYPE_CHECKING:
    from tests.emulator.arm.conftest import RunningCloud

Json = dict[str, Any]
GROUP = "stacked"
ACCOUNTS = "Microsoft.Storage/storageAccounts"
_SCHEMAS = "https://schema.management.azure.com/schemas"


def account(name: str) -> Json:
    return {
        "type": ACCOUNTS,
        "apiVersion": "2023-01-01",
        "name": name,
        "location": "westeurope",
        "kind": "StorageV2",
        "sku": {"name": "Standard_LRS"},
    }


def template(*names: str) -> Json:
    return {
        "$schema": f"{_SCHEMAS}/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": {
            "number": {"type": "int", "defaultValue": 1},
            "key": {"type": "securestring", "defaultValue": ""},
        },
        "resources": [account(name) for name in names],
        "outputs": {"number": {"type": "int", "value": "[parameters('number')]"}},
    }


def whole(group: str, *names: str) -> Json:
    """A template for the subscription: a group with accounts in it."""
    nested = {
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "2022-09-01",
        "name": "inner",
        "resourceGroup": group,
        "dependsOn": [f"[subscriptionResourceId('Microsoft.Resources/resourceGroups', '{group}')]"],
        "properties": {
            "mode": "Incremental",
            "expressionEvaluationOptions": {"scope": "inner"},
            "template": template(*names),
        },
    }
    made = {
        "type": "Microsoft.Resources/resourceGroups",
        "apiVersion": "2022-09-01",
        "name": group,
        "location": "westeurope",
    }
    return {
        "$schema": f"{_SCHEMAS}/2018-05-01/subscriptionDeploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [made, nested],
    }


def stack(content: Json, action: str = "delete", **more: Any) -> Json:
    return {
        "properties": {
            "template": content,
            "actionOnUnmanage": {"resources": action, "resourceGroups": action},
            "denySettings": {"mode": "none"},
            **more,
        }
    }


@pytest.fixture
def stacks(cloud: RunningCloud) -> Any:
    cloud.resources().resource_groups.create_or_update(GROUP, {"location": "westeurope"})
    return cloud.stacks()


def names_in(cloud: RunningCloud, group: str = GROUP) -> list[str]:
    return sorted(item.name for item in cloud.resources().resources.list_by_resource_group(group))


def last_parts(items: Any) -> list[str]:
    return sorted(item.id.rpartition("/")[2] for item in items)


def test_a_stack_manages_what_it_made(cloud: RunningCloud, stacks: Any) -> None:
    given = {"number": {"value": 7}, "key": {"value": "s3cret"}}
    body = stack(template("first", "second"), parameters=given, description="two")
    made = stacks.begin_create_or_update_at_resource_group(
        GROUP, "Pair", {**body, "tags": {"a": "b"}}
    ).result()
    properties = made.properties
    assert (made.name, made.type, made.tags) == ("Pair", "Microsoft.Resources/deploymentStacks", {"a": "b"})
    assert properties.provisioning_state == "succeeded"
    assert last_parts(properties.resources) == ["first", "second"]
    assert {(item.status, item.deny_status) for item in properties.resources} == {("managed", "none")}
    assert properties.outputs == {"number": {"type": "Int", "value": 7}}
    parameters = made.as_dict()["properties"]["parameters"]
    assert parameters == {
        "number": {"value": 7, "type": "int"},
        "key": {"value": "", "type": "securestring"},
    }
    assert "s3cret" not in str(made.as_dict())
    assert properties.action_on_unmanage.as_dict() == {
        "resources": "delete",
        "resourceGroups": "delete",
        "managementGroups": "detach",
        "resourcesWithoutDeleteSupport": "fail",
    }
    assert made.system_data.created_by == "local"
    assert (properties.detached_resources, properties.deleted_resources) == ([], [])
    assert properties.description == "two"
    assert names_in(cloud) == ["first", "second"]
    name = properties.deployment_id.rpartition("/")[2]
    assert name.startswith("Pair-")
    assert cloud.deployments().deployments.get(GROUP, name).properties.provisioning_state == "Succeeded"
    assert [item.name for item in stacks.list_at_resource_group(GROUP)] == ["Pair"]
    assert list(stacks.list_at_subscription()) == []
    exported = stacks.export_template_at_resource_group(GROUP, "pair").template
    assert [item["name"] for item in exported["resources"]] == ["first", "second"]


@pytest.mark.parametrize(
    ("action", "left"), [("delete", ["second", "third"]), ("detach", ["first", "second", "third"])]
)
def test_what_a_later_template_leaves_out_is_deleted_or_detached(
    cloud: RunningCloud, stacks: Any, action: str, left: list[str]
) -> None:
    stacks.begin_create_or_update_at_resource_group(GROUP, "s", stack(template("first", "second"))).result()
    later = stack(template("second", "third"), action)
    properties = stacks.begin_create_or_update_at_resource_group(GROUP, "s", later).result().properties
    assert last_parts(properties.resources) == ["second", "third"]
    gone = properties.deleted_resources if action == "delete" else properties.detached_resources
    assert last_parts(gone) == ["first"]
    assert names_in(cloud) == left


@pytest.mark.parametrize(("how", "left"), [("delete", []), ("detach", ["first"]), (None, ["first"])])
def test_a_deleted_stack_takes_its_resources_with_it_or_leaves_them(
    cloud: RunningCloud, stacks: Any, how: str | None, left: list[str]
) -> None:
    stacks.begin_create_or_update_at_resource_group(GROUP, "s", stack(template("first"))).result()
    stacks.begin_delete_at_resource_group(GROUP, "s", unmanage_action_resources=how).result()
    assert names_in(cloud) == left
    with pytest.raises(ResourceNotFoundError, match="DeploymentStackNotFound"):
        stacks.get_at_resource_group(GROUP, "s")
    stacks.begin_delete_at_resource_group(GROUP, "s").result()


def test_a_stack_of_the_subscription_takes_its_group_with_it(cloud: RunningCloud, stacks: Any) -> None:
    body = {"location": "westeurope", **stack(whole("theirs", "inside"))}
    made = stacks.begin_create_or_update_at_subscription("all", body).result()
    assert last_parts(made.properties.resources) == ["inside", "theirs"]
    assert names_in(cloud, "theirs") == ["inside"]
    stacks.begin_delete_at_subscription(
        "all", unmanage_action_resources="delete", unmanage_action_resource_groups="delete"
    ).result()
    assert not cloud.resources().resource_groups.check_existence("theirs")


def test_a_stack_of_the_subscription_can_deploy_to_a_group(cloud: RunningCloud, stacks: Any) -> None:
    scope = cloud.resources().resource_groups.get(GROUP).id
    body = {"location": "westeurope", **stack(template("inside"), deploymentScope=scope)}
    made = stacks.begin_create_or_update_at_subscription("far", body).result()
    assert made.properties.deployment_scope == scope
    assert names_in(cloud) == ["inside"]


def test_a_failed_stack_keeps_what_was_made(cloud: RunningCloud, stacks: Any) -> None:
    content = template("first")
    broken = {**account("second"), "dependsOn": ["first"], "sku": {"name": "Wooden_LRS"}}
    content["resources"].append(broken)
    with pytest.raises(HttpResponseError, match="DeploymentStackDeploymentFailed"):
        stacks.begin_create_or_update_at_resource_group(GROUP, "s", stack(content)).result()
    shown = stacks.get_at_resource_group(GROUP, "s").properties
    assert shown.provisioning_state == "failed"
    assert shown.error.code == "DeploymentStackDeploymentFailed"
    assert last_parts(shown.resources) == ["first"]
    stacks.begin_create_or_update_at_resource_group(GROUP, "s", stack(template("first"))).result()
    assert stacks.get_at_resource_group(GROUP, "s").properties.error is None
    stacks.begin_delete_at_resource_group(GROUP, "s", unmanage_action_resources="delete").result()
    assert names_in(cloud) == []


def test_a_stack_whose_deployment_is_refused_fails(stacks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("containerapps_emulator.arm.deployments.deployments._MOST_DEPLOYMENTS", 0)
    with pytest.raises(HttpResponseError, match="DeploymentQuotaExceeded"):
        stacks.begin_create_or_update_at_resource_group(GROUP, "s", stack(template("first"))).result()
    shown = stacks.get_at_resource_group(GROUP, "s").properties
    assert (shown.provisioning_state, shown.error.code) == ("failed", "DeploymentQuotaExceeded")


def test_stacks_go_with_their_group(cloud: RunningCloud, stacks: Any) -> None:
    stacks.begin_create_or_update_at_resource_group(GROUP, "s", stack(template("first"))).result()
    cloud.resources().resource_groups.begin_delete(GROUP).result()
    cloud.resources().resource_groups.create_or_update(GROUP, {"location": "westeurope"})
    assert list(stacks.list_at_resource_group(GROUP)) == []


def test_validation_changes_nothing(cloud: RunningCloud, stacks: Any) -> None:
    found = stacks.begin_validate_stack_at_resource_group(GROUP, "s", stack(template("first"))).result()
    assert last_parts(found.properties.validated_resources) == ["first"]
    assert found.properties.action_on_unmanage.resources == "Delete"
    assert found.properties.parameters["number"].value == 1
    assert list(stacks.list_at_resource_group(GROUP)) == []
    assert names_in(cloud) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"actionOnUnmanage": None}, "'properties.actionOnUnmanage.resources' is required"),
        ({"actionOnUnmanage": {"resources": "burn"}}, "must be one of delete, detach, not 'burn'"),
        (
            {"actionOnUnmanage": {"resources": "delete", "pets": "delete"}},
            "actionOnUnmanage.pets' is unknown",
        ),
        ({"denySettings": None}, "'properties.denySettings.mode' is required"),
        ({"denySettings": {"mode": "denyDelete"}}, "'denyDelete' is not supported by the local cloud"),
        ({"templateLink": {"uri": "https://x"}}, "'properties.templateLink' is not supported"),
        ({"deploymentScope": "/subscriptions/other"}, "must be the stack's own or below it"),
        ({"template": None}, "InvalidTemplate|template"),
    ],
)
def test_what_is_wrong_is_refused_and_changes_nothing(
    cloud: RunningCloud, stacks: Any, change: Json, what: str
) -> None:
    body = copy.deepcopy(stack(template("first")))
    body["properties"] |= change
    with pytest.raises(HttpResponseError, match=what) as caught:
        stacks.begin_create_or_update_at_resource_group(GROUP, "s", body)
    assert caught.value.status_code == 400
    assert list(stacks.list_at_resource_group(GROUP)) == []
    assert names_in(cloud) == []


def test_an_interrupted_stack_goes_on_after_a_restart(tmp_path: Path, cloud_at: Callable[..., Any]) -> None:
    """The process ends right after it has said yes."""
    running: RunningCloud
    version = {"api-version": "2024-03-01"}
    with cloud_at(tmp_path / "cloud") as running:
        path = f"{running.groups_path}/{GROUP}"
        one = f"{path}/providers/Microsoft.Resources/deploymentStacks/s"
        with running.http() as http:
            http.put(path, params=version, json={"location": "westeurope"}).raise_for_status()
            accepted = http.put(one, params=version, json=stack(template("first", "second")))
            assert accepted.status_code == 201
            status = accepted.headers["azure-asyncoperation"].partition("/subscriptions/")[2]
    with cloud_at(tmp_path / "cloud") as running, running.http() as http:
        until(lambda: http.get(f"/subscriptions/{status}").json()["status"] != "running")
        assert http.get(f"/subscriptions/{status}").json()["status"] == "succeeded"
        assert http.get(one, params=version).json()["properties"]["provisioningState"] == "succeeded"
        assert names_in(running) == ["first", "second"]
