"""Storage accounts, shares and workspaces through Microsoft's clients."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.fileshare import ShareClient

if TYPE_CHECKING:
    from tests.emulator.arm.conftest import RunningCloud

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
    assert (created.status_code, again.status_code, gone) == (201, 200, [202, 204])
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


def test_shares_with_snapshots_deletion_and_restoring(cloud: RunningCloud, group: str) -> None:
    make_account(cloud, group)
    shares = cloud.storage().file_shares
    tagged: list[str] = []
    made = shares.create(
        group,
        "myfiles",
        "data",
        {},
        raw_response_hook=lambda it: tagged.append(it.http_response.headers["ETag"]),
    )
    assert (made.share_quota, made.etag) == (None, None)  # a PUT tells what was sent
    shown = shares.get(group, "myfiles", "data")
    assert (shown.etag, shown.share_quota, shown.access_tier) == (tagged[0], 102400, "TransactionOptimized")
    assert (shown.lease_state, shown.lease_status, shown.enabled_protocols) == (
        "available",
        "unlocked",
        "SMB",
    )
    assert shown.signed_identifiers == []
    policy = {"startTime": "2026-01-01T00:00:00Z", "expiryTime": "2027-01-01T00:00:00Z", "permission": "r"}
    changes = {"accessTier": "Hot", "signedIdentifiers": [{"id": "read", "accessPolicy": policy}]}
    shares.update(group, "myfiles", "data", {"properties": changes})
    shown = shares.get(group, "myfiles", "data", expand="stats")
    assert (shown.access_tier, shown.share_usage_bytes) == ("Hot", 0)
    assert shown.signed_identifiers[0].access_policy.permission == "r"

    taken = shares.create(
        group, "myfiles", "data", {"properties": {"metadata": {"a": "b"}}}, expand="snapshots"
    )
    stamp = taken.snapshot_time.strftime("%Y-%m-%dT%H:%M:%S.0000000Z")
    kept = shares.get(group, "myfiles", "data", x_ms_snapshot=stamp)
    assert (kept.metadata, kept.snapshot_time) == ({"a": "b"}, taken.snapshot_time)
    listed = shares.list(group, "myfiles", expand="snapshots")
    assert [item.snapshot_time for item in listed] == [taken.snapshot_time, None]
    assert not list(shares.list(group, "myfiles", filter="startswith(name, x)"))
    with pytest.raises(HttpResponseError, match="ShareHasSnapshots") as refused:
        shares.delete(group, "myfiles", "data", include="none")
    assert "x-ms-failure-cause" not in refused.value.response.headers
    acquire = {"action": "Acquire", "leaseDuration": -1}
    shares.lease(group, "myfiles", "data", parameters=acquire, x_ms_snapshot=stamp)
    assert shares.get(group, "myfiles", "data", x_ms_snapshot=stamp).lease_state == "leased"
    assert shares.get(group, "myfiles", "data").lease_state == "available"
    with pytest.raises(HttpResponseError, match="LeaseIdMissing"):
        shares.delete(group, "myfiles", "data", include="snapshots")
    shares.delete(group, "myfiles", "data", x_ms_snapshot=stamp)
    lease = shares.lease(group, "myfiles", "data", parameters={"action": "Acquire", "leaseDuration": -1})
    assert shares.get(group, "myfiles", "data").lease_state == "leased"
    shares.lease(group, "myfiles", "data", parameters={"action": "Release", "leaseId": lease.lease_id})
    shares.delete(group, "myfiles", "data", include="none")
    assert not list(shares.list(group, "myfiles"))
    (gone,) = shares.list(group, "myfiles", expand="deleted")
    assert (gone.name, gone.deleted, gone.remaining_retention_days) == ("data", True, 7)
    restored = {"deletedShareName": "data", "deletedShareVersion": gone.version}
    shares.restore(group, "myfiles", "data", restored)
    assert shares.get(group, "myfiles", "data").access_tier == "Hot"


def test_a_file_service_can_forget_deleted_shares(cloud: RunningCloud, group: str) -> None:
    make_account(cloud, group)
    storage = cloud.storage()
    service = storage.file_services.get_service_properties(group, "myfiles")
    assert (service.sku.name, service.cors.cors_rules) == ("Standard_LRS", [])
    assert service.protocol_settings.smb is not None
    policy: dict[str, Any] = {"shareDeleteRetentionPolicy": {"enabled": False}}
    storage.file_services.set_service_properties(group, "myfiles", {"properties": policy})
    storage.file_shares.create(group, "myfiles", "data", {})
    storage.file_shares.delete(group, "myfiles", "data")
    assert not list(storage.file_shares.list(group, "myfiles", expand="deleted"))
    policy = {"shareDeleteRetentionPolicy": {"enabled": True, "days": 400}}
    with pytest.raises(HttpResponseError, match="days"):
        storage.file_services.set_service_properties(group, "myfiles", {"properties": policy})


def test_a_geo_redundant_account_tells_its_second_region(cloud: RunningCloud, group: str) -> None:
    body = {**_ACCOUNT, "sku": {"name": "Standard_RAGRS"}}
    account = cloud.storage().storage_accounts.begin_create(group, "twice", body).result()
    assert (account.secondary_location, account.status_of_secondary) == ("westus", "available")
    assert account.secondary_endpoints.blob
    assert account.minimum_tls_version == "TLS1_2"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sku": {"name": "Cheap_LRS"}}, "The value 'Cheap_LRS' is not allowed for property sku.name"),
        ({"kind": "Cupboard"}, "The value 'Cupboard' is not allowed for property kind"),
        ({"kind": "FileStorage"}, "not supported for accounts of the kind 'FileStorage'"),
    ],
)
def test_nonsense_in_an_account_is_refused(
    cloud: RunningCloud, group: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(HttpResponseError, match=message):
        cloud.storage().storage_accounts.begin_create(group, "myfiles", {**_ACCOUNT, **changes})


@pytest.mark.parametrize("wrong", [{"accessTier": "Warm"}, {"rootSquash": "Some"}, {"provisionedIops": 5}])
def test_nonsense_in_a_share_is_refused(cloud: RunningCloud, group: str, wrong: dict[str, Any]) -> None:
    make_account(cloud, group)
    with pytest.raises(HttpResponseError, match=next(iter(wrong))):
        cloud.storage().file_shares.create(group, "myfiles", "data", {"properties": wrong})
