"""What azd sends: parameters with a null reference, a group and its content in one template, and previews."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.emulator.arm.conftest import RunningCloud

Json = dict[str, Any]
_INNER: Json = {
    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
    "parameters": {"password": {"type": "securestring"}},
    "resources": [
        {
            "type": "Microsoft.Storage/storageAccounts",
            "apiVersion": "2022-05-01",
            "name": "azdstore",
            "location": "[resourceGroup().location]",
            "tags": {"password": "[parameters('password')]"},
            "kind": "StorageV2",
            "sku": {"name": "Standard_LRS"},
            "properties": {"allowSharedKeyAccess": False},
        }
    ],
}
_TEMPLATE: Json = {
    "$schema": "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#",
    "languageVersion": "2.0",
    "contentVersion": "1.0.0.0",
    "parameters": {
        "name": {"type": "string"},
        "deleteAfter": {"type": "string", "defaultValue": "[dateTimeAdd(utcNow('o'), 'PT1H')]"},
        "secret": {"type": "securestring"},
        "nothing": {"type": "string", "nullable": True},
    },
    "variables": {"tags": {"after": "[parameters('deleteAfter')]", "secret": "[parameters('secret')]"}},
    "resources": {
        "rg": {
            "type": "Microsoft.Resources/resourceGroups",
            "apiVersion": "2021-04-01",
            "name": "[format('rg-{0}', parameters('name'))]",
            "location": "westus",
            "tags": "[variables('tags')]",
        },
        "resources": {
            "type": "Microsoft.Resources/deployments",
            "apiVersion": "2025-04-01",
            "name": "resources",
            "resourceGroup": "[format('rg-{0}', parameters('name'))]",
            "properties": {
                "expressionEvaluationOptions": {"scope": "inner"},
                "mode": "Incremental",
                "parameters": {"password": {"value": "[parameters('secret')]"}},
                "template": _INNER,
            },
            "dependsOn": ["rg"],
        },
    },
    "outputs": {"nothing": {"type": "string", "nullable": True, "value": "[parameters('nothing')]"}},
}
_VERSION = {"api-version": "2021-04-01"}


def _body(secret: str) -> Json:
    given = {"name": {"value": "azd", "reference": None}, "secret": {"value": secret, "reference": None}}
    properties = {"mode": "Incremental", "parameters": given, "template": _TEMPLATE}
    return {"location": "westus", "properties": properties}


def _deployment(cloud: RunningCloud) -> str:
    return (
        f"/subscriptions/{cloud.connection.subscription_id}/providers/Microsoft.Resources/deployments/azd-1"
    )


def _preview(cloud: RunningCloud, secret: str) -> list[Json]:
    with cloud.http() as http:
        asked = http.post(f"{_deployment(cloud)}/whatIf", params=_VERSION, json=_body(secret))
        assert asked.status_code == 202, asked.text
        changes: list[Json] = http.get(asked.headers["location"]).json()["properties"]["changes"]
        return changes


def test_a_preview_looks_into_a_group_that_is_not_there_yet_and_tells_no_secret(cloud: RunningCloud) -> None:
    group, account = _preview(cloud, "hunter2")
    assert (group["changeType"], account["changeType"]) == ("Create", "Create")
    assert account["after"]["location"] == "westus"
    assert group["after"]["tags"] == {
        "after": "[dateTimeAdd(utcNow('o'), 'PT1H')]",
        "secret": "[parameters('secret')]",
    }
    assert account["after"]["tags"] == {"password": "[parameters('password')]"}


def test_provision_preview_and_down(cloud: RunningCloud) -> None:
    url = _deployment(cloud)
    with cloud.http() as http:
        checked = http.post(f"{url}/validate", params=_VERSION, json=_body("")).json()["properties"]
        assert [item["id"].rpartition("/")[2] for item in checked["validatedResources"]] == [
            "rg-azd",
            "resources",
            "azdstore",
        ]
        accepted = http.put(url, params=_VERSION, json=_body(""))
        assert accepted.json()["properties"]["parameters"]["nothing"] == {"type": "String", "value": None}
        cloud.deployments().deployments.begin_create_or_update_at_subscription_scope(
            "azd-2", _body("")
        ).result()
        done = cloud.deployments().deployments.get_at_subscription_scope("azd-2").as_dict()
        shown = http.get(url.replace("azd-1", "azd-2"), params=_VERSION).json()["properties"]
    assert done
    assert shown["parameters"]["nothing"] == {"type": "String"}
    assert shown["outputs"] == {"nothing": {"type": "String"}}
    group, account = _preview(cloud, "")
    assert [entry["path"] for entry in group["delta"]] == ["tags.after", "tags.secret"]
    assert account["changeType"] == "Modify"  # of the tag, whose value the preview does not tell
    assert "properties" not in group["before"]
    assert account["before"]["properties"]["networkAcls"] == {
        "bypass": "AzureServices",
        "defaultAction": "Allow",
    }
    assert account["before"]["sku"] == {"name": "Standard_LRS"}
    assert "services" not in account["before"]["properties"]["encryption"]
