"""Subscriptions, regions, providers, resource groups, and who is let in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

if TYPE_CHECKING:
    from tests.localcloud.arm.conftest import RunningCloud

_VERSION = "?api-version=2025-04-01"


def test_subscription_tenant_and_locations(cloud: RunningCloud) -> None:
    client = cloud.subscriptions()
    (subscription,) = client.subscriptions.list()
    assert subscription.subscription_id == "00000000-0000-0000-0000-00000000c10d"
    assert subscription.display_name == "Local cloud"
    assert client.subscriptions.get(subscription.subscription_id).state == "Enabled"
    (tenant,) = client.tenants.list()
    assert tenant.tenant_id == "00000000-0000-0000-0000-000000007e4a"
    names = {location.name for location in client.subscriptions.list_locations(subscription.subscription_id)}
    assert {"eastus", "westeurope", "swedencentral"} <= names


def test_providers_are_registered(cloud: RunningCloud) -> None:
    client = cloud.resources()
    provider = client.providers.get("microsoft.storage")
    assert (provider.namespace, provider.registration_state) == ("Microsoft.Storage", "Registered")
    assert "storageAccounts/fileServices/shares" in {kind.resource_type for kind in provider.resource_types}
    assert client.providers.register("Microsoft.App").namespace == "Microsoft.App"
    assert len(list(client.providers.list())) == 4
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
        ("GET", f"{{W}}/microsoft.storage/STORAGEACCOUNTS/x{_VERSION}", 404, "ResourceNotFound"),
        ("GET", f"{{W}}/Microsoft.Resources/deployments/x{_VERSION}", 404, "DeploymentNotFound"),
        (
            "PUT",
            f"{{W}}/Microsoft.App/managedEnvironments/e/storages/s{_VERSION}",
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
