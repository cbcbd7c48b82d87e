"""Files for a subscription, a management group or the tenant, and modules with a scope of their own.

The forms of ids are those of ARM's functions: https://learn.microsoft.com/azure/azure-resource-manager/templates/
template-functions-resource.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.azure.bicep_builders import compiled

from remora.azure.profile import Clients
from remora.errors import InvalidFile

PART = """
param size int = 1
resource store 'Microsoft.Storage/storageAccounts@2023-01-01' = {
  name: 'scoped${uniqueString(resourceGroup().id)}'
  location: resourceGroup().location
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  tags: { size: '${size}' }
}
output id string = store.id
"""
GROUPS = """
targetScope = 'subscription'
param location string = deployment().location
resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'made-by-bicep'
  location: location
}
module part 'part.bicep' = {
  name: 'part'
  scope: group
  params: { size: 3 }
}
output group string = group.id
output store string = part.outputs.id
"""
SUBSCRIPTION = "[subscription().subscriptionId]"
IN_GROUP = "/subscriptions/{0}/resourceGroups/{1}"
TOP = "tenantResourceId('Microsoft.Management/managementGroups', 'top')"
DEPLOYMENT = "'Microsoft.Resources/deployments', 'm'"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "part.bicep").write_text(PART)
    for target in ("subscription", "managementGroup", "tenant"):
        (tmp_path / f"{target}.bicep").write_text(f"targetScope = '{target}'\noutput x string = 'x'\n")
    return tmp_path


@pytest.mark.parametrize(
    ("target", "schema", "identifier"),
    [
        ("resourceGroup", "2019-04-01/deploymentTemplate", "resourceId('Some.Provider/things', 'a')"),
        (
            "subscription",
            "2018-05-01/subscriptionDeploymentTemplate",
            "subscriptionResourceId('Some.Provider/things', 'a')",
        ),
        (
            "managementGroup",
            "2019-08-01/managementGroupDeploymentTemplate",
            "extensionResourceId(managementGroup().id, 'Some.Provider/things', 'a')",
        ),
        ("tenant", "2019-08-01/tenantDeploymentTemplate", "tenantResourceId('Some.Provider/things', 'a')"),
    ],
)
def test_a_file_is_for_its_target(target: str, schema: str, identifier: str) -> None:
    template = compiled(
        f"targetScope = '{target}'\n"
        "resource a 'Some.Provider/things@2024-01-01' = {\n  name: 'a'\n}\noutput id string = a.id\n"
    )
    assert template["$schema"] == f"https://schema.management.azure.com/schemas/{schema}.json#"
    assert template["outputs"]["id"]["value"] == f"[{identifier}]"


@pytest.mark.parametrize(
    ("target", "module", "scope", "place", "identifier"),
    [
        ("resourceGroup", "part", "resourceGroup('g')", {"resourceGroup": "g"},
         f"extensionResourceId(format('{IN_GROUP}', subscription().subscriptionId, 'g'), {DEPLOYMENT})"),
        ("resourceGroup", "part", "resourceGroup('s', 'g')", {"subscriptionId": "s", "resourceGroup": "g"},
         f"extensionResourceId(format('{IN_GROUP}', 's', 'g'), {DEPLOYMENT})"),
        ("resourceGroup", "subscription", "subscription()",
         {"subscriptionId": SUBSCRIPTION, "location": "[resourceGroup().location]"},
         f"subscriptionResourceId({DEPLOYMENT})"),
        ("resourceGroup", "managementGroup", "managementGroup('top')",
         {"scope": f"[{TOP}]",
          "location": "[resourceGroup().location]"},
         f"extensionResourceId({TOP}, {DEPLOYMENT})"),
        ("subscription", "subscription", "subscription()", {"location": "[deployment().location]"},
         f"subscriptionResourceId({DEPLOYMENT})"),
        ("subscription", "subscription", "subscription('s')",
         {"subscriptionId": "s", "location": "[deployment().location]"},
         f"subscriptionResourceId('s', {DEPLOYMENT})"),
        ("subscription", "part", "resourceGroup('g')", {"resourceGroup": "g"},
         f"extensionResourceId(format('{IN_GROUP}', subscription().subscriptionId, 'g'), {DEPLOYMENT})"),
        ("managementGroup", "managementGroup", "managementGroup()", {"location": "[deployment().location]"},
         f"extensionResourceId(managementGroup().id, {DEPLOYMENT})"),
        ("tenant", "managementGroup", "managementGroup('top')",
         {"scope": "[format('Microsoft.Management/managementGroups/{0}', 'top')]",
          "location": "[deployment().location]"},
         f"extensionResourceId({TOP}, {DEPLOYMENT})"),
        ("subscription", "tenant", "tenant()", {"scope": "/", "location": "[deployment().location]"},
         f"tenantResourceId({DEPLOYMENT})"),
    ],
)  # fmt: skip
def test_a_module_is_deployed_where_its_scope_is(  # noqa: PLR0917
    folder: Path, target: str, module: str, scope: str, place: dict[str, str], identifier: str
) -> None:
    source = f"targetScope = '{target}'\nmodule m '{module}.bicep' = {{\n  name: 'm'\n  scope: {scope}\n}}\n"
    after = "resource late 'Some.Provider/things@2024-01-01' = {\n  name: 'late'\n  dependsOn: [m]\n}\n"
    late, nested = sorted(
        compiled(source + after, folder / "main.bicep")["resources"], key=lambda entry: entry["name"]
    )
    assert {key: nested.get(key) for key in ("scope", "subscriptionId", "resourceGroup", "location")} == {
        "scope": None,
        "subscriptionId": None,
        "resourceGroup": None,
        "location": None,
        **place,
    }
    assert late["dependsOn"] == [f"[{identifier}]"]


def test_a_module_can_be_in_a_management_group_of_the_file(folder: Path) -> None:
    template = compiled(
        "targetScope = 'tenant'\n"
        "resource top 'Microsoft.Management/managementGroups@2023-04-01' = {\n  name: 'top'\n}\n"
        "module m 'managementGroup.bicep' = {\n  name: 'm'\n  scope: top\n}\n",
        folder / "main.bicep",
    )
    (nested,) = [entry for entry in template["resources"] if entry["name"] == "m"]
    assert nested["scope"] == "[format('Microsoft.Management/managementGroups/{0}', 'top')]"
    assert nested["dependsOn"] == [f"[{TOP}]"]


def test_a_module_needs_the_scope_that_its_file_is_for(folder: Path) -> None:
    source = "module m 'subscription.bicep' = {\n  name: 'm'\n}\n"
    with pytest.raises(InvalidFile, match=r"1:8: the module is for a subscription, and its scope is"):
        compiled(source, folder / "main.bicep")


def test_a_file_for_a_subscription_makes_a_group_and_what_is_in_it(clients: Clients, folder: Path) -> None:
    body: dict[str, Any] = {
        "location": "westeurope",
        "properties": {"mode": "Incremental", "template": compiled(GROUPS, folder / "main.bicep")},
    }
    poller = clients.deployments.deployments.begin_create_or_update_at_subscription_scope(
        "whole", body, polling_interval=0
    )
    outputs = poller.result().as_dict()["properties"]["outputs"]
    group = clients.resources.resource_groups.get("made-by-bicep")
    assert outputs["group"]["value"] == group.id
    assert outputs["store"]["value"].startswith(
        f"{group.id}/providers/Microsoft.Storage/storageAccounts/scoped"
    )
    (store,) = clients.resources.resources.list_by_resource_group("made-by-bicep")
    assert (store.id, store.tags) == (outputs["store"]["value"], {"size": "3"})


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        ("microsoft.network/publicIpAddresses@2024-05-01", "Microsoft.Network/publicIPAddresses"),
        ("MICROSOFT.APP/containerapps@2024-03-01", "Microsoft.App/containerApps"),
        ("Microsoft.Cache/Redis@2024-11-01", "Microsoft.Cache/redis"),
        ("Microsoft.Cache/redis@2019-07-01", "Microsoft.Cache/Redis"),
        ("Our.Own/whatEver@2024-01-01", "Our.Own/whatEver"),
    ],
)
def test_types_have_the_letter_case_of_the_bicep_cli(written: str, spelled: str) -> None:
    template = compiled(f"resource r '{written}' = {{\n  name: 'r'\n}}\noutput id string = r.id\n")
    assert template["resources"][0]["type"] == spelled
    assert template["outputs"]["id"]["value"] == f"[resourceId('{spelled}', 'r')]"


def test_a_scope_can_be_in_a_variable(tmp_path: Path) -> None:
    (tmp_path / "part.bicep").write_text(PART)
    template = compiled(
        """
        var there = az.resourceGroup(subscription().subscriptionId, 'there')
        module m 'part.bicep' = {
          name: 'm'
          scope: there
        }
        """,
        tmp_path / "main.bicep",
    )
    assert template["variables"] == {"there": {}}, "as the Bicep CLI writes it"
    (module,) = template["resources"]
    assert (module["subscriptionId"], module["resourceGroup"]) == (
        "[subscription().subscriptionId]",
        "there",
    )


@pytest.mark.parametrize(
    ("source", "place", "named"),
    [
        ("var s = { a: resourceGroup('x') }\nvar v = s.a.id", "2:12", "has no properties"),
        ("var v = any(subscription('x')).id", "1:31", "a scope with arguments has no properties"),
        ("var v = managementGroup()", "1:24", "managementGroup() is not known in a file for a resourceGroup"),
        ("targetScope = 'tenant'\nvar v = subscription().id", "2:21", "subscription() is not known"),
        ("targetScope = 'subscription'\nvar v = resourceGroup()", "2:22", "resourceGroup() is not known"),
        ("var v = tenant('x')", "1:15", "too many arguments"),
    ],
)  # fmt: skip
def test_a_scope_that_has_no_value_is_refused(source: str, place: str, named: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        compiled(source)
    assert caught.value.message.startswith(f"x.bicep:{place}: ")
    assert named in caught.value.message


def test_a_management_group_can_read_itself() -> None:
    template = compiled("targetScope = 'managementGroup'\nvar v = managementGroup().name")
    assert template["variables"]["v"] == "[managementGroup().name]"
