"""Subscriptions, regions, providers, resource groups, and who is let in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

if TYPE_CHECKING:
    from tests.emulator.arm.conftest import RunningCloud

_VERSION = "?api-version=2025-04-01"


def test_subscription_tenant_and_locations(cloud: RunningCloud) -> None:
    client = cloud.subscriptions()
    (subscription,) = client.subscriptions.list()
    assert subscription.subscription_id == "00000000-0000-0000-0000-00000000c10d"
    assert subscription.display_name == "Local cloud"
    assert client.subscriptions.get(subscription.subscription_id).state == "Enabled"
    (tenant,) = client.tenants.list()
    assert tenant.tenant_id == "00000000-0000-0000-0000-000000007e4a"
    shown = {item.name: item for item in client.subscriptions.list_locations(subscription.subscription_id)}
    assert {"eastus", "westeurope", "swedencentral", "unitedstates", "eastusstage"} <= shown.keys()
    europe = shown["westeurope"]
    assert europe.regional_display_name == "(Europe) West Europe"
    assert (europe.metadata.geography, europe.metadata.physical_location) == ("Europe", "Netherlands")
    assert [pair.name for pair in europe.metadata.paired_region] == ["northeurope"]
    assert [zone.logical_zone for zone in europe.availability_zone_mappings] == ["1", "2", "3"]


def test_providers_are_registered(cloud: RunningCloud) -> None:
    client = cloud.resources()
    provider = client.providers.get("microsoft.storage")
    assert (provider.namespace, provider.registration_state) == ("Microsoft.Storage", "Registered")
    assert "storageAccounts/fileServices/shares" in {kind.resource_type for kind in provider.resource_types}
    assert client.providers.register("Microsoft.App").namespace == "Microsoft.App"
    assert len(list(client.providers.list())) == 6
    with pytest.raises(ResourceNotFoundError, match="InvalidResourceNamespace"):
        client.providers.get("Microsoft.Nothing")


def test_group_life(cloud: RunningCloud) -> None:
    groups = cloud.resources().resource_groups
    created = groups.create_or_update("MyGroup", {"location": "East US 2", "tags": {"a": "b"}})
    assert created.location == "eastus2"
    assert created.id == f"/subscriptions/{cloud.connection.subscription_id}/resourceGroups/MyGroup"
    assert groups.get("mygroup").name == "MyGroup"
    assert groups.check_existence("MYGROUP")
    assert groups.update("mygroup", {"tags": {"c": "d"}}).tags == {"c": "d"}
    assert [group.name for group in groups.list()] == ["MyGroup"]
    groups.begin_delete("mygroup").result()
    assert not groups.check_existence("MyGroup")


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("good", {"location": "atlantis"}, "LocationNotAvailableForResourceGroup"),
        ("good", {}, "LocationRequired"),
        ("bad name", {"location": "eastus"}, "InvalidResourceGroup"),
        ("ends.", {"location": "eastus"}, "InvalidResourceGroup"),
    ],
)
def test_groups_that_are_refused(cloud: RunningCloud, name: str, body: dict[str, str], code: str) -> None:
    with cloud.http() as http:
        answer = http.put(f"{cloud.groups_path}/{name}{_VERSION}", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_a_group_does_not_move(cloud: RunningCloud, group: str) -> None:
    with pytest.raises(HttpResponseError, match="InvalidResourceGroupLocation"):
        cloud.resources().resource_groups.create_or_update(group, {"location": "westus"})


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "AuthenticationFailed"),
        ({"Authorization": "Bearer wrong"}, "InvalidAuthenticationToken"),
        ({"Authorization": "Bearer"}, "InvalidAuthenticationToken"),
        ({"Authorization": "Basic abc"}, "InvalidAuthenticationToken"),
    ],
)
def test_requests_without_the_token_are_refused(
    cloud: RunningCloud, headers: dict[str, str], code: str
) -> None:
    with cloud.http() as http:
        http.headers.pop("Authorization")
        answer = http.get(f"/subscriptions{_VERSION}", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == code
    assert answer.headers["www-authenticate"].startswith('Bearer authorization_uri="https://')


def test_healthz_needs_no_token(cloud: RunningCloud) -> None:
    with cloud.http(token="wrong") as http:
        assert http.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/subscriptions", 400, "MissingApiVersionParameter"),
        ("GET", "/subscriptions?api-version=latest", 400, "InvalidApiVersionParameter"),
        ("GET", f"/subscriptions/other{_VERSION}", 404, "SubscriptionNotFound"),
        ("GET", f"/SUBSCRIPTIONS/{{S}}/RESOURCEGROUPS/none{_VERSION}", 404, "ResourceGroupNotFound"),
        ("GET", f"{{W}}/Microsoft.Nothing/things/x{_VERSION}", 404, "InvalidResourceNamespace"),
        ("GET", f"{{W}}/Microsoft.App/things/x{_VERSION}", 404, "InvalidResourceType"),
        ("GET", "{W}/microsoft.storage/STORAGEACCOUNTS/x?api-version=2023-05-01", 404, "ResourceNotFound"),
        ("GET", f"{{W}}/Microsoft.Resources/deployments/x{_VERSION}", 404, "DeploymentNotFound"),
        (
            "PUT",
            "{W}/Microsoft.App/managedEnvironments/e/storages/s?api-version=2024-03-01",
            404,
            "ParentResourceNotFound",
        ),
        ("DELETE", f"/tenants{_VERSION}", 405, "MethodNotAllowed"),
        ("GET", f"/nowhere{_VERSION}", 404, "InvalidResourcePath"),
        ("GET", f"/subscriptions/{{S}}/providers/Microsoft.App/a//b{_VERSION}", 404, "InvalidResourceType"),
    ],
)
def test_errors_as_azure_words_them(
    cloud: RunningCloud, method: str, path: str, status: int, code: str
) -> None:
    cloud.resources().resource_groups.create_or_update("work", {"location": "eastus"})
    subscription = cloud.connection.subscription_id
    path = path.replace("{S}", subscription)
    path = path.replace("{W}", f"/subscriptions/{subscription}/resourceGroups/work/providers")
    with cloud.http() as http:
        answer = http.request(method, path, json={} if method == "PUT" else None)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["x-ms-request-id"]


def test_malformed_json_is_a_400(cloud: RunningCloud) -> None:
    with cloud.http() as http:
        answer = http.put(f"{cloud.groups_path}/x{_VERSION}", content=b'{"location": ')
        deep = http.put(f"{cloud.groups_path}/x{_VERSION}", content=b"[" * 100_000)
    assert answer.status_code == deep.status_code == 400
    assert answer.json()["error"]["code"] == deep.json()["error"]["code"] == "InvalidRequestContent"


def test_deleting_a_group_deletes_what_is_in_it(
    cloud: RunningCloud, group: str, deploy: Callable[..., Any]
) -> None:
    deploy(json.loads(_STORAGE_TEMPLATE))
    folder = cloud.folder / "shares" / "keptfiles" / "data"
    assert folder.is_dir()
    listed = list(cloud.resources().resources.list_by_resource_group(group))
    assert [item.type for item in listed] == ["Microsoft.Storage/storageAccounts"]
    cloud.resources().resource_groups.begin_delete(group).result()
    assert not folder.parent.exists()
    cloud.resources().resource_groups.create_or_update(group, {"location": "eastus"})
    assert list(cloud.resources().resources.list_by_resource_group(group)) == []
    assert list(cloud.deployments().deployments.list_by_resource_group(group)) == []


_STORAGE_TEMPLATE = """{"resources": [
  {"type": "Microsoft.Storage/storageAccounts", "apiVersion": "2023-01-01", "name": "keptfiles",
   "location": "eastus", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2",
   "resources": [{"type": "fileServices/shares", "apiVersion": "2023-01-01", "name": "default/data",
                  "dependsOn": ["keptfiles"]}]}]}"""


def test_a_provider_must_be_registered(cloud: RunningCloud, group: str) -> None:
    client = cloud.resources()
    assert client.providers.unregister("microsoft.storage").registration_state == "NotRegistered"
    path = f"{cloud.groups_path}/{group}/providers/Microsoft.Storage/storageAccounts/myfiles"
    account = {"location": "eastus", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    with cloud.http() as http:
        refused = http.put(path, params={"api-version": "2023-05-01"}, json=account)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (409, "MissingSubscriptionRegistration")
    assert re.findall(r".*'(.*)'", error["message"]) == ["Microsoft.Storage"]  # how the SDKs read it
    assert client.providers.get("Microsoft.Storage").registration_state == "NotRegistered"
    assert client.providers.register("Microsoft.Storage").registration_state == "Registered"
    cloud.storage().storage_accounts.begin_create(group, "myfiles", account).result()


def test_lists_are_filtered(cloud: RunningCloud, group: str, deploy: Callable[..., Any]) -> None:
    deploy(json.loads(_STORAGE_TEMPLATE))
    logs = {"location": "westus", "tags": {"a": "b"}}
    path = f"{cloud.groups_path}/{group}/providers/Microsoft.OperationalInsights/workspaces/mylogs{_VERSION}"
    with cloud.http() as http:
        assert http.put(path, json=logs).status_code == 201
    cloud.resources().resource_groups.create_or_update("tagged", {"location": "eastus", "tags": {"a": "c"}})

    def found(text: str, **more: Any) -> list[str]:
        return [item.name for item in cloud.resources().resources.list(filter=text, **more)]

    assert found("resourceType eq 'microsoft.storage/storageaccounts'") == ["keptfiles"]
    assert found("resourceType ne 'Microsoft.Storage/storageAccounts'") == ["mylogs"]
    assert found("tagName eq 'a' and tagValue eq 'b'") == ["mylogs"]
    assert found("resourceGroup eq 'WORK' and location eq 'westus'") == ["mylogs"]
    assert len(found("", top=1)) == 1
    groups = cloud.resources().resource_groups.list(filter="tagName eq 'a' and tagValue eq 'c'")
    assert [item.name for item in groups] == ["tagged"]
    with pytest.raises(HttpResponseError, match="InvalidFilterInQueryString"):
        found("substringof('x', name)")


def test_tags_of_anything(cloud: RunningCloud, group: str, deploy: Callable[..., Any]) -> None:
    deploy(json.loads(_STORAGE_TEMPLATE))
    whole = f"/subscriptions/{cloud.connection.subscription_id}"
    account = f"{whole}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/keptfiles"
    tags = cloud.resources().tags
    for scope in (whole, f"{whole}/resourceGroups/{group}", account):
        tags.begin_create_or_update_at_scope(scope, {"properties": {"tags": {"a": "1", "b": "2"}}}).result()
        for operation, given, expected in (
            ("Merge", {"b": "3", "c": "4"}, {"a": "1", "b": "3", "c": "4"}),
            ("Delete", {"b": "3", "c": "other"}, {"a": "1", "c": "4"}),
            ("Replace", {"d": "5"}, {"d": "5"}),
        ):
            patch = {"operation": operation, "properties": {"tags": given}}
            tags.begin_update_at_scope(scope, patch).result()
            assert tags.get_at_scope(scope).properties.tags == expected
    assert cloud.resources().resource_groups.get(group).tags == {"d": "5"}
    assert cloud.storage().storage_accounts.get_properties(group, "keptfiles").tags == {"d": "5"}
    tags.begin_delete_at_scope(account).result()
    assert not cloud.storage().storage_accounts.get_properties(group, "keptfiles").tags
    with pytest.raises(HttpResponseError, match="'tags' must contain strings"):
        tags.begin_create_or_update_at_scope(account, {"properties": {"tags": {"a": 1}}})


def test_a_group_that_is_being_deleted_says_when_to_ask_again(cloud: RunningCloud, group: str) -> None:
    """After a zero, Microsoft's Python client and the Azure CLI wait for half a minute."""
    with cloud.http() as http:
        gone = http.delete(f"{cloud.groups_path}/{group}{_VERSION}")
    assert (gone.status_code, gone.headers["retry-after"]) == (202, "1")
