"""A storage account without keys, through Microsoft's SDKs: who is let in, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity import ManagedIdentityCredential
from azure.storage.fileshare import AccountSasPermissions, ResourceTypes, ShareClient, generate_account_sas
from tests.azure.local_cloud import LocalCloud, until

from remora.azure.app.apps import ContainerApp
from remora.azure.profile import Clients
from remora.azure.provisioning.share_access import ShareAccess, choose_access
from remora.azure.provisioning.template import Wanted
from remora.azure.roles import API_VERSION, FILE_CONTRIBUTOR, FILE_READER, Role, has_role, lacks_role
from remora.azure.share.entrance import enter
from remora.azure.share.files import Share
from remora.azure.share.lease import LeasedFile
from remora.azure.share.plain_http import token_options
from remora.errors import Refused
from remora.project.toolkit.commands import remora_commands

GROUP, ACCOUNT = "keyless", "keylessaccount"
NAMES = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")
PATH = PurePosixPath("some/file.txt")
QUERY = {"api-version": API_VERSION}


@pytest.fixture(scope="module")
def clients(cloud: LocalCloud) -> Clients:
    clients = cloud.clients(GROUP)
    make_account(clients, ACCOUNT, keys=False)
    clients.storage.file_shares.create(GROUP, ACCOUNT, "models", {})
    return clients


def make_account(clients: Clients, name: str, *, keys: bool) -> None:
    body: Any = {
        "location": "westeurope",
        "kind": "StorageV2",
        "sku": {"name": "Standard_LRS"},
        "properties": {"allowSharedKeyAccess": keys},
    }
    clients.storage.storage_accounts.begin_create(GROUP, name, body).result()


@pytest.fixture
def account(clients: Clients) -> Iterator[Any]:
    """The account; whatever was assigned on it is removed afterwards."""
    found = clients.storage.storage_accounts.get_properties(GROUP, ACCOUNT)
    yield found
    for name in NAMES:
        with suppress(ValueError, HttpResponseError):  # there is no document where nothing was assigned
            clients.request("DELETE", assignment(found.id, name), QUERY)


def assignment(scope: str, name: str) -> str:
    return f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"


def assign(clients: Clients, scope: str, role: Role, principal: str = "", name: str = NAMES[0]) -> None:
    definition = f"{scope}/providers/Microsoft.Authorization/roleDefinitions/{role.id}"
    principal = principal or clients.profile.principal_id
    body = {"properties": {"roleDefinitionId": definition, "principalId": principal}}
    clients.request("PUT", assignment(scope, name), QUERY, body)


def share_of(clients: Clients) -> Share:
    return Share(clients, GROUP, ACCOUNT, "models")


def test_without_the_role_nobody_is_let_in_and_with_it_everything_works(
    clients: Clients, account: Any, tmp_path: Any
) -> None:
    assert share_of(clients).by_identity
    with pytest.raises(Refused, match="role Storage File Data Privileged Contributor is missing") as refused:
        share_of(clients).read(PATH)
    assert f"--assignee-object-id {clients.profile.principal_id} --scope {account.id}" in refused.value.hint
    assert lacks_role(clients, account.id, FILE_CONTRIBUTOR)
    assign(clients, account.id, FILE_CONTRIBUTOR)
    assert has_role(clients, account.id, clients.profile.principal_id, FILE_CONTRIBUTOR)
    share, large = share_of(clients), tmp_path / "large"
    large.write_bytes(b"0123456789" * 1_000_000)
    share.replace(PATH, b"one")
    share.replace_if_same(PATH, b"two", expected=b"one")
    share.upload(PurePosixPath("a/large"), large, sha256="x")
    share.copy(PurePosixPath("a/large"), PurePosixPath("b/copy"))
    share.move(PurePosixPath("b/copy"), PurePosixPath("c/moved"))
    share.download(PurePosixPath("c/moved"), tmp_path / "back")
    assert (share.read(PATH), (tmp_path / "back").read_bytes()) == (b"two", large.read_bytes())
    lease = LeasedFile(share, PurePosixPath("lock"))
    assert lease.acquire(NAMES[0])
    assert lease.write(NAMES[0], b"held")
    lease.release(NAMES[0])
    share.delete_folder(PurePosixPath("a"))
    assert {entry.path.name for entry in share.entries(PurePosixPath())} >= {"some", "b", "c", "lock"}


def test_a_reader_reads_and_writes_nothing(clients: Clients, account: Any) -> None:
    assign(clients, account.id, FILE_READER)
    share = share_of(clients)
    assert share.read(PurePosixPath("none")) is None
    with pytest.raises(Refused, match="not authorized to perform this operation using this permission"):
        share.replace(PATH, b"one")


def test_a_role_on_the_group_counts_for_the_account(clients: Clients, account: Any) -> None:
    group = account.id.partition("/providers/")[0]
    assign(clients, group, FILE_CONTRIBUTOR)
    try:
        share_of(clients).replace(PATH, b"one")
        assert not lacks_role(clients, f"{account.id}later", FILE_CONTRIBUTOR)  # of an account to come, too
    finally:
        clients.request("DELETE", assignment(group, NAMES[0]), QUERY)
    assert lacks_role(clients, f"{account.id}later", FILE_CONTRIBUTOR)


def test_the_same_role_is_assigned_once(clients: Clients, account: Any) -> None:
    assign(clients, account.id, FILE_CONTRIBUTOR)
    assign(clients, account.id, FILE_CONTRIBUTOR)
    with pytest.raises(HttpResponseError, match="already exists"):
        assign(clients, account.id, FILE_CONTRIBUTOR, name=NAMES[1])
    with pytest.raises(HttpResponseError, match="not allowed to be updated"):
        assign(clients, account.id, FILE_READER)


def test_a_new_role_is_waited_for_and_not_for_ever(clients: Clients, account: Any) -> None:
    """As on Azure, where an assignment takes effect minutes later."""
    refusal = HttpResponseError("not yet")
    refusal.error_code = "AuthorizationPermissionMismatch"
    assign(clients, account.id, FILE_CONTRIBUTOR)
    left, told = [refusal, refusal], list[str]()
    waiting = Clients(clients.profile, clients.subscription_id, clients.credential, told.append)

    def ask() -> None:
        if left:
            raise left.pop()

    enter(waiting, account.id, ask)
    assert [line.partition(",")[0] for line in told] == [
        "waiting for the role Storage File Data Privileged Contributor to take effect"
    ] * 2
    left[:] = [refusal] * 3
    with pytest.raises(Refused, match="has no effect after"):
        enter(waiting, account.id, ask, patience_seconds=-1)


def test_keys_and_what_they_sign_are_refused_but_still_listed(clients: Clients, account: Any) -> None:
    key = clients.storage.storage_accounts.list_keys(GROUP, ACCOUNT).keys_property[0].value
    expiry = datetime.now(UTC) + timedelta(hours=1)
    everything = ResourceTypes(service=True, container=True, object=True)
    sas = generate_account_sas(ACCOUNT, key, everything, AccountSasPermissions(read=True, list=True), expiry)
    for credential in (key, sas):
        url = account.primary_endpoints.file.rstrip("/")
        with ShareClient(url, "models", credential=credential, retry_total=0) as client:
            with pytest.raises(HttpResponseError) as refused:
                list(client.list_directories_and_files())
            assert (refused.value.status_code, refused.value.error_code) == (
                403,
                "KeyBasedAuthenticationNotPermitted",
            )


def test_an_identity_of_an_app_reads_with_its_role_what_its_app_cannot_mount(
    cloud: LocalCloud, clients: Clients, account: Any
) -> None:
    environment = clients.apps.managed_environments.begin_create_or_update(
        GROUP, "env", {"location": "westeurope", "properties": {}}
    ).result()
    storage = {"accountName": ACCOUNT, "accountKey": "a2V5", "shareName": "models", "accessMode": "ReadOnly"}
    clients.apps.managed_environments_storages.create_or_update(
        GROUP, "env", "models", {"properties": {"azureFile": storage}}
    )
    script = 'echo "$IDENTITY_ENDPOINT $IDENTITY_HEADER" > $HOME/identity; sleep 600'
    container: dict[str, Any] = {"name": "main", "image": "x", "command": ["/bin/sh", "-c", script]}
    template: dict[str, Any] = {"containers": [container], "scale": {"minReplicas": 1, "maxReplicas": 1}}
    body = {
        "location": "westeurope",
        "identity": {"type": "SystemAssigned"},
        "properties": {"environmentId": environment.id, "template": template},
    }
    made = clients.apps.container_apps.begin_create_or_update(GROUP, "reader", body).result()
    until(lambda: bool([path for path in cloud.home.rglob("home/identity") if path.read_text().strip()]))
    endpoint, header = next(cloud.home.rglob("home/identity")).read_text().split()
    assign(clients, account.id, FILE_READER, made.identity.principal_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IDENTITY_ENDPOINT", endpoint)
        patch.setenv("IDENTITY_HEADER", header)
        options = token_options(account.primary_endpoints.file.rstrip("/"))
        with (
            ManagedIdentityCredential() as credential,
            ShareClient(
                share_name="models", credential=credential, token_intent="backup", retry_total=0, **options
            ) as client,
        ):
            list(client.list_directories_and_files())
            with pytest.raises(HttpResponseError) as refused:
                client.create_directory("new")
            assert refused.value.error_code == "AuthorizationPermissionMismatch"
    container["volumeMounts"] = [{"volumeName": "v", "mountPath": "/mount"}]
    template["volumes"] = [{"name": "v", "storageType": "AzureFile", "storageName": "models"}]
    clients.apps.container_apps.begin_create_or_update(GROUP, "reader", body).result()
    app = ContainerApp(clients, GROUP, "reader")
    latest = app.read().latest_revision
    until(lambda: any("mount error(13)" in replica.details for replica in app.replicas(latest)))


PROGRAM = {"defaultCommands": list(remora_commands())}
DECLARED = {"parameters": {"shareAccess": {"type": "string"}}}


def chosen(clients: Clients, setting: str = "auto", exists: bool = True, **parameters: Any) -> ShareAccess:
    account = parameters.get("storageAccountName")
    wanted = Wanted(GROUP if exists else "later", "westeurope", DECLARED, {**PROGRAM, **parameters})
    return choose_access(
        clients, wanted, account=account, exists=exists, setting=setting, origin="remora.toml"
    )


def test_the_way_follows_from_the_account_the_policy_and_the_setting(
    cloud: LocalCloud, clients: Clients
) -> None:
    make_account(clients, "withkeys", keys=True)
    by_identity = {"shareAccess": "identity"}
    forbids = chosen(clients, storageAccountName=ACCOUNT)
    assert forbids.line == (
        "by managed identity, since the storage account forbids shared keys (allowSharedKeyAccess is false)"
    )
    assert forbids.parameters == by_identity
    assert not chosen(clients, storageAccountName="withkeys").by_identity
    assert not chosen(clients, storageAccountName="newaccount").by_identity
    assert not chosen(clients, setting="key", storageAccountName=ACCOUNT).by_identity
    kept = chosen(clients, setting="identity", storageAccountName="withkeys")
    assert kept.parameters == {**by_identity, "forbidSharedKeys": False}  # others may use its keys
    assert chosen(clients, setting="identity", exists=False).parameters == by_identity
    given = chosen(clients, shareAccess="identity", storageAccountName="withkeys")
    assert (given.by_identity, given.parameters) == (True, {})
    assert not chosen(clients, exists=False).by_identity
    cloud.arm_fault("shared_keys_forbidden")
    for exists in (True, False):
        assert chosen(clients, exists=exists, storageAccountName="newaccount").reason == (
            "a policy forbids the shared keys of a new storage account"
        )
    assert chosen(clients, storageAccountName="withkeys").parameters == by_identity


def test_what_cannot_go_without_a_mount_is_refused(clients: Clients) -> None:
    with pytest.raises(Refused, match="only Remora's own program"):
        chosen(clients, defaultCommands=["python3 mine.py"], storageAccountName=ACCOUNT)
    wanted = Wanted(GROUP, "westeurope", {"parameters": {}}, PROGRAM)
    with pytest.raises(Refused, match="has no parameter shareAccess"):
        choose_access(clients, wanted, account=ACCOUNT, exists=True, setting="auto", origin="default")
