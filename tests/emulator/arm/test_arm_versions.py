"""An api-version that a provider does not have is refused with those that it has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import azure.mgmt.appcontainers
import azure.mgmt.resource.deployments
import azure.mgmt.resource.resources
import azure.mgmt.resource.subscriptions
import azure.mgmt.storage
import pytest
from azure.core.exceptions import HttpResponseError
from tests.conformance import evidence

from containerapps_emulator.arm.resources.known_versions import RESOURCE_MANAGER, VERSIONS

if TYPE_CHECKING:
    from tests.emulator.arm.conftest import RunningCloud

_VERSION = re.compile(r'"(20\d\d-\d\d-\d\d(?:-preview)?)"')


@pytest.mark.parametrize(
    ("path", "version", "code", "told"),
    [
        (
            "",
            "2025-17-01",
            "InvalidApiVersionParameter",
            "The supported versions are '2026-06-01,2025-04-01,",
        ),
        ("/resourceGroups/work", "2021-04-02", "InvalidApiVersionParameter", "'2021-04-02' is invalid"),
        (
            "/resourceGroups/work/providers/Microsoft.App/containerApps/a",
            "2025-17-01",
            "NoRegisteredProviderFound",
            "for location 'eastus' and API version '2025-17-01' for type 'containerApps'. The supported"
            " api-versions are '2022-01-01-preview, 2022-03-01,",
        ),
        (
            "/resourceGroups/work/providers/Microsoft.Storage/storageAccounts/a/fileServices/default/shares",
            "2020-01-01",
            "NoRegisteredProviderFound",
            "for type 'storageAccounts/fileServices/shares'",
        ),
    ],
)
def test_an_unknown_version_is_refused_with_the_known_ones(  # noqa: PLR0917 - a table's row
    cloud: RunningCloud, group: str, path: str, version: str, code: str, told: str
) -> None:
    url = f"/subscriptions/{cloud.connection.subscription_id}{path}"
    with cloud.http() as http:
        refused = http.get(url, params={"api-version": version})
    error = refused.json()["error"]
    assert (group, refused.status_code, error["code"]) == ("work", 400, code)
    assert told in error["message"]


def test_a_template_with_an_unknown_version_is_refused(cloud: RunningCloud, group: str) -> None:
    account = {"type": "Microsoft.Storage/storageAccounts", "apiVersion": "2023-99-01", "name": "a1b"}
    template: dict[str, Any] = {"contentVersion": "1.0.0.0", "resources": [account]}
    deployments = cloud.deployments().deployments
    with pytest.raises(HttpResponseError, match="NoRegisteredProviderFound"):
        deployments.begin_create_or_update(
            group, "d", {"properties": {"mode": "Incremental", "template": template}}
        )


@pytest.mark.parametrize(
    ("client", "namespace"),
    [
        (azure.mgmt.appcontainers, "microsoft.app"),
        (azure.mgmt.storage, "microsoft.storage"),
        (azure.mgmt.resource.deployments, RESOURCE_MANAGER),
        (azure.mgmt.resource.resources, RESOURCE_MANAGER),
        (azure.mgmt.resource.subscriptions, RESOURCE_MANAGER),
    ],
)
def test_the_versions_of_microsofts_clients_are_known(client: Any, namespace: str) -> None:
    files = Path(client.__file__).parent.rglob("*.py")
    assert {found for path in files for found in _VERSION.findall(path.read_text())} <= set(
        VERSIONS[namespace]
    )


def test_the_versions_of_microsofts_documents_are_known() -> None:
    folder = evidence.folder()
    if not folder.is_dir():
        pytest.skip(evidence.ABSENT)
    for namespace, versions in VERSIONS.items():
        types = folder / "types" / namespace
        found = {path.name for path in types.iterdir()} if types.is_dir() else set()
        found |= {
            path.name
            for path in folder.glob("specs/*/resource-manager/*/*/20*")
            if path.parts[-3].lower() == namespace
        }
        assert found <= set(versions), namespace
