"""Existing resources by name, on the local cloud: used or made, and what cannot serve is refused before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.azure.local_cloud import LocalCloud
from tests.project.stock_layout import BICEP, INFERENCE_KEYS

from remora.azure.bicep import compile_bicep
from remora.azure.profile import Clients
from remora.azure.provisioning.groups import create_group
from remora.azure.provisioning.named import named_resources
from remora.azure.provisioning.preflight import check_storage
from remora.azure.provisioning.provision import Prepared, prepare, provision
from remora.azure.provisioning.template import Wanted
from remora.errors import Refused

GROUP = "Named"
TEMPLATE: dict[str, Any] = json.loads(json.dumps(compile_bicep(BICEP.read_text(), BICEP)))
SLEEPING = {"defaultCommands": ["sleep 1000"], "maximumInstanceCount": 1}
PARAMETERS = (
    "storageAccountName",
    "fileShareName",
    "acaEnvironmentName",
    "acaEnvironmentStorageName",
    "acaAppName",
    "acaLogAnalyticsName",
)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """A cloud of its own, and a group in one of the regions that have AI Toolkit's GPU profile."""
    cloud = LocalCloud(tmp_path_factory.mktemp("named"))
    cloud.start()
    clients = cloud.clients("elsewhere")
    create_group(clients, GROUP, "westus3")
    yield clients
    cloud.stop()


def prepared_for(clients: Clients, **names: Any) -> tuple[Wanted, Prepared]:
    values = {**SLEEPING, **names}
    prepared = prepare(clients, GROUP, TEMPLATE, values)
    location = str(values.get("location") or "westus3")
    return Wanted(GROUP, location, TEMPLATE, values, prepared.resource_ids), prepared


def actions(clients: Clients, **names: Any) -> dict[str, str]:
    wanted, _ = prepared_for(clients, **names)
    found = named_resources(clients, wanted)
    return {item.parameter: f"{'use' if item.exists else 'create'} {item.name}" for item in found}


def outputs(clients: Clients, **names: Any) -> dict[str, str]:
    _, prepared = prepared_for(clients, **names)
    return dict(provision(clients, GROUP, prepared, lambda _: None).outputs)


@pytest.fixture(scope="module")
def made(clients: Clients) -> dict[str, str]:
    """The stock template, with its preview API version, in the group; what the fine-tuning step left."""
    assert {text.partition(" ")[0] for text in actions(clients).values()} == {"create"}
    return outputs(clients)


def test_the_stock_template_gives_the_six_keys(clients: Clients, made: dict[str, str]) -> None:
    assert list(made) == list(INFERENCE_KEYS)
    assert made["RESOURCE_GROUP_NAME"] == GROUP
    assert made["STORAGE_ACCOUNT_NAME"].startswith("aistorage")
    assert made["ACA_APP_ENDPOINT"].startswith("127.0.0.1:")


def test_what_is_there_is_used_and_only_a_new_name_is_made(clients: Clients, made: dict[str, str]) -> None:
    found = actions(clients, acaAppName="another")
    assert tuple(found) == PARAMETERS
    assert found["acaAppName"] == "create another"
    assert found["storageAccountName"] == f"use {made['STORAGE_ACCOUNT_NAME']}"
    assert found["fileShareName"] == f"use {made['FILE_SHARE_NAME']}"
    assert {text.partition(" ")[0] for name, text in found.items() if name != "acaAppName"} == {"use"}


def test_when_nothing_is_to_do_all_is_used(clients: Clients, made: dict[str, str]) -> None:
    wanted, prepared = prepared_for(clients)
    assert prepared.outputs == made
    assert all(item.exists for item in named_resources(clients, wanted))


def test_a_new_account_brings_a_new_share(clients: Clients, made: dict[str, str]) -> None:
    found = actions(clients, storageAccountName="brandnew42", acaEnvironmentStorageName="newmount")
    assert found["storageAccountName"] == "create brandnew42"
    assert found["fileShareName"].startswith("create aifileshare")
    assert found["acaEnvironmentStorageName"] == "create newmount"
    assert found["acaEnvironmentName"].startswith("use aienv")


def test_a_mount_of_another_share_is_not_taken_away(clients: Clients, made: dict[str, str]) -> None:
    with pytest.raises(Refused, match=r"acaEnvironmentStorageName is .*apps that mount it") as caught:
        actions(clients, fileShareName="another")
    assert "inference.parameters.json" in caught.value.hint


def test_a_resource_in_another_region_is_refused(clients: Clients, made: dict[str, str]) -> None:
    with pytest.raises(Refused, match=r"exists in westus3; the deployment is for eastus") as caught:
        actions(clients, location="eastus")
    assert "set location to westus3" in caught.value.hint


def test_an_account_without_file_shares_is_refused(clients: Clients, made: dict[str, str]) -> None:
    body: dict[str, Any] = {"location": "westus3", "kind": "BlobStorage", "sku": {"name": "Standard_LRS"}}
    body["properties"] = {"accessTier": "Hot"}
    clients.storage.storage_accounts.begin_create(GROUP, "blobsonly", body).result()
    with pytest.raises(Refused, match="'blobsonly', a BlobStorage account"):
        actions(clients, storageAccountName="blobsonly", acaEnvironmentStorageName="newmount")


def test_an_app_cannot_move_to_another_environment(clients: Clients, made: dict[str, str]) -> None:
    with pytest.raises(Refused, match=r"acaAppName is .* cannot move to 'otherenv'"):
        actions(clients, acaEnvironmentName="otherenv")


def test_an_account_of_another_group_is_refused_with_its_group(
    clients: Clients, made: dict[str, str]
) -> None:
    wanted = Wanted("elsewhere", "westus3", TEMPLATE, {"storageAccountName": made["STORAGE_ACCOUNT_NAME"]})
    with pytest.raises(Refused, match=f"resource group '{GROUP}'") as caught:
        check_storage(clients, wanted)
    assert f"--resource-group {GROUP}" in caught.value.hint
    check_storage(clients, replace(wanted, group=GROUP))


def test_a_share_that_was_deleted_is_made_anew(clients: Clients, made: dict[str, str]) -> None:
    clients.storage.file_shares.delete(GROUP, made["STORAGE_ACCOUNT_NAME"], made["FILE_SHARE_NAME"])
    found = actions(clients)
    assert found["fileShareName"] == f"create {made['FILE_SHARE_NAME']}"
    assert found["acaAppName"] == f"use {made['ACA_APP_NAME']}"
    assert outputs(clients) == made
    assert Path(clients.storage.file_shares.get(GROUP, *_share(made)).id).name == made["FILE_SHARE_NAME"]


def _share(made: dict[str, str]) -> tuple[str, str]:
    return made["STORAGE_ACCOUNT_NAME"], made["FILE_SHARE_NAME"]
