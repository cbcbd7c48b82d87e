"""Our client half against a real control plane: groups, provisioning, the share, and what failures say."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
)

from remora.azure.app.apps import ContainerApp
from remora.azure.failures import explained
from remora.azure.profile import AZURE, Clients, CloudProfile, load_profile
from remora.azure.provisioning.groups import group_location
from remora.azure.provisioning.provision import Provisioned, prepare, provision
from remora.azure.share.files import Share
from remora.errors import (
    CloudUnavailable,
    DeploymentNotFound,
    InvalidInput,
    ProvisioningFailed,
    Refused,
    RemoraError,
    SignInRequired,
)

GROUP = "Client-Tests"
ACCOUNT, SHARE = "clienttests", "files"


def template(**more: Any) -> dict[str, Any]:
    """An ARM template with one storage account and one share in it."""
    account = {
        "type": "Microsoft.Storage/storageAccounts",
        "apiVersion": "2023-01-01",
        "name": "[parameters('account')]",
        "location": "[resourceGroup().location]",
        "sku": {"name": "Standard_LRS"},
        "kind": "StorageV2",
        "properties": {},
    }
    share = {
        "type": "Microsoft.Storage/storageAccounts/fileServices/shares",
        "apiVersion": "2023-01-01",
        "name": f"[format('{{0}}/default/{SHARE}', parameters('account'))]",
        "properties": {"shareQuota": 5},
        "dependsOn": ["[resourceId('Microsoft.Storage/storageAccounts', parameters('account'))]"],
    }
    return {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": {"account": {"type": "string", "defaultValue": ACCOUNT}},
        "resources": [account, share],
        "outputs": {"STORAGE_ACCOUNT_NAME": {"type": "string", "value": "[parameters('account')]"}},
        **more,
    }


def deploy(clients: Clients, document: dict[str, Any], **parameters: Any) -> Provisioned:
    return provision(clients, GROUP, prepare(clients, GROUP, document, parameters), lambda _: None)


@pytest.fixture(scope="module")
def share(clients: Clients) -> Share:
    done = deploy(clients, template())
    assert done.changed
    return Share(clients, GROUP, ACCOUNT, SHARE)


def test_outputs_keep_the_names_of_the_template(clients: Clients, share: Share) -> None:
    again = deploy(clients, template())
    assert again.outputs == {"STORAGE_ACCOUNT_NAME": ACCOUNT}


def test_groups_are_found_whatever_their_spelling(clients: Clients) -> None:
    assert group_location(clients, GROUP) == group_location(clients, GROUP.lower()) == "westeurope"
    assert group_location(clients, "no-such-group") is None


def test_an_undeclared_parameter_is_refused_before_any_change(
    clients: Clients,
) -> None:
    with pytest.raises(Refused, match="wrongName"):
        prepare(clients, GROUP, template(), {"wrongName": 1})


def test_a_template_that_azure_refuses_says_why(clients: Clients) -> None:
    broken = template(outputs={"X": {"type": "string", "value": "[noSuchFunction()]"}})
    with pytest.raises(ProvisioningFailed, match="'nosuchfunction' is not valid"):
        deploy(clients, broken)


def test_a_resource_that_azure_refuses_is_named(clients: Clients) -> None:
    with pytest.raises(ProvisioningFailed, match="Not a name"):
        deploy(clients, template(), account="Not a name")


def test_files_are_written_whole_and_read_back(share: Share, tmp_path: Path) -> None:
    path = PurePosixPath("one/two/aliases.json")
    assert share.read(path) is None
    share.replace(path, b"first")
    share.replace(path, b"second, longer")
    assert share.read(path) == b"second, longer"
    local = tmp_path / "local.bin"
    local.write_bytes(bytes(range(256)) * 40_000)  # more than two ranges of 4 MiB
    share.upload(PurePosixPath("one/big.bin"), local)
    share.upload(PurePosixPath("one/small.bin"), b"123")
    assert share.read(PurePosixPath("one/big.bin")) == local.read_bytes()
    assert share.sizes(PurePosixPath("one")) == {
        path: 14,
        PurePosixPath("one/big.bin"): local.stat().st_size,
        PurePosixPath("one/small.bin"): 3,
    }
    assert share.sizes(PurePosixPath("nowhere")) == {}


def test_an_app_that_is_not_there_is_not_found(clients: Clients) -> None:
    app = ContainerApp(clients, GROUP, "no-such-app")
    assert not app.exists()
    with pytest.raises(DeploymentNotFound, match="no-such-app"):
        app.read()
    app.delete()


def test_a_share_of_no_account_is_not_found(clients: Clients) -> None:
    with pytest.raises(DeploymentNotFound, match="nosuchaccount"):
        Share(clients, GROUP, "nosuchaccount", SHARE).read(PurePosixPath("x"))


def test_a_share_that_is_not_there_is_not_an_empty_one(clients: Clients, share: Share) -> None:
    with pytest.raises(DeploymentNotFound, match="nosuchshare"):
        Share(clients, GROUP, ACCOUNT, "nosuchshare").read(PurePosixPath("x"))


def test_a_wrong_token_is_a_sign_in_problem(clients: Clients) -> None:
    profile = clients.profile
    stranger = CloudProfile(
        name="local",
        arm_url=profile.arm_url,
        endpoint_scheme="http",
        poll_seconds=0.1,
        retries=0,
        default_location=None,
        token="wrong",
    )
    with pytest.raises(SignInRequired):
        group_location(Clients(stranger, clients.subscription_id), GROUP)


def test_a_cloud_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(CloudUnavailable, match="not running"):
        load_profile("local", tmp_path)
    with pytest.raises(InvalidInput, match="moon"):
        load_profile("moon", tmp_path)
    assert load_profile("azure", tmp_path) is AZURE


def test_plain_http_is_for_loopback_only() -> None:
    assert "per_call_policies" not in AZURE.client_options()
    elsewhere = CloudProfile(
        name="elsewhere",
        arm_url="http://arm.example.test",
        endpoint_scheme="http",
        poll_seconds=1,
        retries=0,
        default_location=None,
        token="t",
    )
    assert "per_call_policies" not in elsewhere.client_options()


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ClientAuthenticationError("who?"), SignInRequired),
        (ResourceNotFoundError("gone"), DeploymentNotFound),
        (ServiceRequestError("refused"), CloudUnavailable),
        (HttpResponseError("quota"), ProvisioningFailed),
    ],
)
def test_sdk_errors_become_ours_with_a_next_command(raised: Exception, expected: type[RemoraError]) -> None:
    with pytest.raises(expected, match="reading the moon") as caught, explained("reading the moon"):
        raise raised
    assert caught.value.hint
