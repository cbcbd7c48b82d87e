"""Storage accounts, shares and workspaces through Microsoft's clients."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.fileshare import ShareClient

if TYPE_CHECKING:
    from tests.localcloud.arm.conftest import RunningCloud

_ACCOUNT = {"location": "eastus", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}


def make_account(cloud: RunningCloud, group: str, name: str = "myfiles") -> Any:
    return cloud.storage().storage_accounts.begin_create(group, name, _ACCOUNT).result()


def test_account_life(cloud: RunningCloud, group: str) -> None:
    accounts = cloud.storage().storage_accounts
    account = make_account(cloud, group)
    assert account.provisioning_state == "Succeeded"
    assert account.primary_endpoints.file == f"{cloud.connection.files_url}/myfiles/"
    assert account.id.endswith("/resourceGroups/work/providers/Microsoft.Storage/storageAccounts/myfiles")
    assert (account.sku.tier, account.location) == ("Standard", "eastus")
    assert [item.name for item in accounts.list()] == ["myfiles"]
    assert [item.name for item in accounts.list_by_resource_group(group)] == ["myfiles"]
    assert accounts.update(group, "myfiles", {"tags": {"a": "b"}}).tags == {"a": "b"}
    accounts.delete(group, "myfiles")
    with pytest.raises(ResourceNotFoundError, match="ResourceNotFound"):
        accounts.get_properties(group, "myfiles")
    accounts.delete(group, "myfiles")  # nothing there: 204


def test_the_wire_of_account_creation_is_the_recorded_one(cloud: RunningCloud, group: str) -> None:
    url = f"{cloud.groups_path}/{group}/providers/Microsoft.Storage/storageAccounts/myfiles"
    with cloud.http() as http:
        accepted = http.put(url, params={"api-version": "2023-05-01"}, json=_ACCOUNT)
        assert (accepted.status_code, accepted.content) == (202, b"")
        location = accepted.headers["location"]
        assert location.startswith(f"{cloud.connection.arm_url}/subscriptions/")
        assert "/providers/Microsoft.Storage/locations/eastus/asyncoperations/" in location
        answer = http.get(location)
        while answer.status_code == 202:
            answer = http.get(answer.headers["location"])
    assert (answer.status_code, answer.json()["name"]) == (200, "myfiles")


def test_keys_are_kept_and_regenerated_one_by_one(cloud: RunningCloud, group: str) -> None:
    accounts = cloud.storage().storage_accounts
    make_account(cloud, group)
    first, second = (key.value for key in accounts.list_keys(group, "myfiles").keys_property)
    assert len(base64.b64decode(first)) == 64
    make_account(cloud, group)
    assert [key.value for key in accounts.list_keys(group, "myfiles").keys_property] == [first, second]
    renewed = accounts.regenerate_key(group, "myfiles", {"keyName": "key1"}).keys_property
    assert renewed[0].value != first
    assert renewed[1].value == second


def test_a_share_is_a_folder_that_the_keys_open(cloud: RunningCloud, group: str) -> None:
    client = cloud.storage()
    make_account(cloud, group)
    share = client.file_shares.create(group, "myfiles", "data", {"properties": {"shareQuota": 1024}})
    assert (share.name, share.share_quota) == ("data", 1024)
    assert share.type == "Microsoft.Storage/storageAccounts/fileServices/shares"
    assert [item.name for item in client.file_shares.list(group, "myfiles")] == ["data"]
    key = client.storage_accounts.list_keys(group, "myfiles").keys_property[0].value
    with ShareClient(f"{cloud.connection.files_url}/myfiles", "data", credential=key) as files:
        files.get_file_client("hello.txt").upload_file(b"hi")
    assert (cloud.folder / "shares" / "myfiles" / "data" / "hello.txt").read_bytes() == b"hi"
    client.file_shares.delete(group, "myfiles", "data")
    assert not (cloud.folder / "shares" / "myfiles" / "data").exists()
    with pytest.raises(ResourceNotFoundError, match="ShareNotFound"):
        client.file_shares.get(group, "myfiles", "data")


def test_names_are_checked_and_shared_by_all_groups(cloud: RunningCloud, group: str) -> None:
    client = cloud.storage()
    cloud.resources().resource_groups.create_or_update("other", {"location": "eastus"})
    make_account(cloud, group)
    check = client.storage_accounts.check_name_availability
    assert check({"name": "free1", "type": "Microsoft.Storage/storageAccounts"}).name_available
    assert check({"name": "myfiles", "type": "Microsoft.Storage/storageAccounts"}).reason == "AlreadyExists"
    assert (
        check({"name": "My-Files", "type": "Microsoft.Storage/storageAccounts"}).reason
        == "AccountNameInvalid"
    )
    with pytest.raises(ResourceExistsError, match="StorageAccountAlreadyTaken"):
        make_account(cloud, "other")
    with pytest.raises(HttpResponseError, match="AccountNameInvalid"):
        make_account(cloud, group, "No-Good")


@pytest.mark.parametrize("name", ["ab", "Data", "a--b", "-ab", "a" * 64])
def test_share_names_are_checked(cloud: RunningCloud, group: str, name: str) -> None:
    make_account(cloud, group)
    url = f"{cloud.groups_path}/{group}/providers/Microsoft.Storage/storageAccounts/myfiles"
    with cloud.http() as http:
        answer = http.put(
            f"{url}/fileServices/default/shares/{name}", params={"api-version": "2023-05-01"}, json={}
        )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidResourceName")


@pytest.mark.parametrize("name", ["..", "%2e%2e", "a%2f..%2f..%2fb", "a%00b"])
def test_no_name_leads_out_of_the_folder(cloud: RunningCloud, group: str, name: str) -> None:
    url = f"{cloud.groups_path}/{group}/providers/Microsoft.Storage/storageAccounts/{name}"
    before = sorted(path.name for path in cloud.folder.iterdir())
    with cloud.http() as http:
        answer = http.put(url, params={"api-version": "2023-05-01"}, json=_ACCOUNT)
    assert 400 <= answer.status_code < 500
    assert sorted(path.name for path in cloud.folder.iterdir()) == before


def test_a_workspace_has_an_id_and_keys_that_stay(cloud: RunningCloud, group: str) -> None:
    url = f"{cloud.groups_path}/{group}/providers/microsoft.operationalinsights/WORKSPACES/mylogs"
    version = {"api-version": "2022-10-01"}
    body = {"location": "eastus", "properties": {"sku": {"name": "PerGB2018"}}}
    with cloud.http() as http:
        created = http.put(url, params=version, json=body)
        again = http.put(url, params=version, json=body)
        keys = http.post(f"{url}/sharedKeys", params={"api-version": "2020-08-01"})
        assert http.post(f"{url}/listKeys", params=version).json() == keys.json()
        assert http.post(f"{url}/explode", params=version).status_code == 404
        gone = [http.delete(url, params=version).status_code for _ in range(2)]
    assert (created.status_code, again.status_code, gone) == (201, 200, [200, 204])
    assert created.json()["type"] == "Microsoft.OperationalInsights/workspaces"
    assert created.json()["properties"]["customerId"] == again.json()["properties"]["customerId"]
    assert set(keys.json()) == {"primarySharedKey", "secondarySharedKey"}


def test_shares_are_those_of_the_files_api_too(cloud: RunningCloud, group: str) -> None:
    make_account(cloud, group)
    shares = cloud.storage().file_shares
    key = cloud.storage().storage_accounts.list_keys(group, "myfiles").keys_property[0].value
    url = f"{cloud.connection.files_url}/myfiles"
    data = ShareClient(url, "by-files", credential=key)
    data.create_share(quota=7, metadata={"color": "blue"})
    shares.create(group, "myfiles", "by-arm", {"properties": {"shareQuota": 3}})
    assert {share.name: share.share_quota for share in shares.list(group, "myfiles")} == {
        "by-arm": 3,
        "by-files": 7,
    }
    assert shares.get(group, "myfiles", "by-files").metadata == {"color": "blue"}
    updated = shares.update(group, "myfiles", "by-files", {"properties": {"shareQuota": 9}})
    assert updated.share_quota == 9
    assert data.get_share_properties().quota == 9
    data.acquire_lease()
    shares.delete(group, "myfiles", "by-files")
    assert [share.name for share in shares.list(group, "myfiles")] == ["by-arm"]
    ShareClient(url, "by-arm", credential=key).delete_share()
    with pytest.raises(ResourceNotFoundError, match="ShareNotFound"):
        shares.get(group, "myfiles", "by-arm")
    assert list(shares.list(group, "myfiles")) == []
