"""Whatever is sent to Resource Manager, it answers as Resource Manager does, never that it failed itself."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.emulator.arm.conftest import RunningCloud, running_cloud

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-00000000c10d"
GROUP = f"{SUBSCRIPTION}/resourceGroups/fuzz"
ENVIRONMENT = f"{GROUP}/providers/Microsoft.App/managedEnvironments/env"
WORDS = """
subscriptions resourceGroups providers deployments operations validate whatIf cancel locations resources
tagNames operationStatuses operationresults Microsoft.App Microsoft.Storage Microsoft.Resources
Microsoft.OperationalInsights containerApps managedEnvironments storages revisions replicas restart
storageAccounts fileServices default shares workspaces listKeys regenerateKey listSecrets start usages fuzz
app env name 0 .. . %2e%2e%2f %00 ' é 日本
"""
BODIES: dict[str, Any] = {
    GROUP: {"location": "eastus", "tags": {"a": "b"}, "managedBy": None},
    f"{GROUP}/providers/Microsoft.Storage/storageAccounts/fuzzaccount": {
        "location": "eastus",
        "kind": "StorageV2",
        "sku": {"name": "Standard_LRS"},
        "properties": {"encryption": {"services": {"blob": {}}}, "networkAcls": {"bypass": "None"}},
        "tags": {},
    },
    f"{GROUP}/providers/Microsoft.Storage/storageAccounts/fuzzaccount/fileServices/default/shares/data": {
        "properties": {"shareQuota": 5, "enabledProtocols": "SMB"}
    },
    f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces/logs": {
        "location": "eastus",
        "properties": {"sku": {"name": "PerGB2018"}, "retentionInDays": 30},
    },
    ENVIRONMENT: {
        "location": "eastus",
        "properties": {
            "appLogsConfiguration": {
                "destination": "log-analytics",
                "logAnalyticsConfiguration": {"customerId": "c", "sharedKey": "k"},
            },
            "workloadProfiles": [{"name": "Consumption", "workloadProfileType": "Consumption"}],
        },
    },
    f"{ENVIRONMENT}/storages/files": {
        "properties": {
            "azureFile": {
                "accountName": "fuzzaccount",
                "accountKey": "key",
                "shareName": "data",
                "accessMode": "ReadWrite",
            }
        }
    },
    f"{GROUP}/providers/Microsoft.App/containerApps/app": {
        "location": "eastus",
        "identity": {"type": "None"},
        "properties": {
            "environmentId": ENVIRONMENT,
            "configuration": {
                "activeRevisionsMode": "Multiple",
                "secrets": [{"name": "s", "value": "v"}],
                "ingress": {"targetPort": 80, "traffic": [{"weight": 100, "latestRevision": True}]},
            },
            "template": {
                "containers": [
                    {
                        "name": "main",
                        "image": "none",
                        "command": ["true"],
                        "env": [{"name": "A", "value": "B"}],
                        "resources": {"cpu": 0.5, "memory": "1Gi"},
                        "probes": [{"type": "Liveness", "httpGet": {"path": "/", "port": 80}}],
                        "volumeMounts": [{"volumeName": "v", "mountPath": "/mount"}],
                    }
                ],
                "scale": {"minReplicas": 0, "maxReplicas": 1, "rules": [{"name": "r", "http": {}}]},
                "volumes": [{"name": "v", "storageType": "AzureFile", "storageName": "files"}],
            },
        },
    },
    f"{GROUP}/providers/Microsoft.Resources/deployments/fuzz": {
        "properties": {
            "mode": "Incremental",
            "parameters": {"p": {"value": "x"}},
            "template": {
                "contentVersion": "1.0.0.0",
                "parameters": {"p": {"type": "string", "defaultValue": "[concat('a', 'b')]"}},
                "variables": {"v": "[parameters('p')]"},
                "resources": [
                    {
                        "type": "Microsoft.OperationalInsights/workspaces",
                        "apiVersion": "2022-10-01",
                        "name": "[variables('v')]",
                        "location": "[resourceGroup().location]",
                        "dependsOn": [],
                        "copy": {"name": "c", "count": 1},
                    }
                ],
                "outputs": {"o": {"type": "string", "value": "[uniqueString(parameters('p'))]"}},
            },
        }
    },
}
# Neither a command nor a count may become one that starts something large.
KEPT = ("command", "minReplicas", "maxReplicas", "count")

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(
        ["[", "[reference('x')]", "[[", "[parameters('p')", "[concat()]", "/subscriptions/x", "\x00"]
    ),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
SEGMENTS = st.one_of(st.sampled_from(WORDS.split()), st.text(min_size=1, max_size=10))
STARTS = st.sampled_from(
    ["", SUBSCRIPTION, GROUP, f"{GROUP}/providers", f"{SUBSCRIPTION}/providers", *BODIES]
)
PATHS = st.builds(
    lambda start, segments: start + "".join(f"/{quote(segment, safe='%')}" for segment in segments) or "/",
    STARTS,
    st.lists(SEGMENTS, max_size=6),
)
QUERIES = st.dictionaries(
    st.sampled_from(["api-version", "$filter", "$top", "monitor", "$expand"]), st.text()
)
CONNECTION_HEADERS = ("connection", "content-length", "expect", "host", "te", "transfer-encoding", "upgrade")
METHODS = st.sampled_from(["GET", "PUT", "PATCH", "POST", "DELETE", "HEAD", "OPTIONS"])
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with running_cloud(tmp_path_factory.mktemp("fuzz") / "cloud") as cloud, cloud.http() as http:
        made(cloud, http)
        yield http


def made(cloud: RunningCloud, http: httpx.Client) -> None:
    """What the requests will find: a group and an environment."""
    assert cloud.connection.subscription_id in SUBSCRIPTION
    for path in (GROUP, ENVIRONMENT):
        http.put(f"{path}?api-version=2024-03-01", json=BODIES[path]).raise_for_status()


@settings(FUZZ, max_examples=400)
@given(method=st.sampled_from(["PUT", "PUT", "PATCH"]), path=st.sampled_from(list(BODIES)), data=st.data())
def test_any_change_of_a_good_body(client: httpx.Client, method: str, path: str, data: st.DataObject) -> None:
    body = copy.deepcopy(BODIES[path])
    for _ in range(data.draw(st.integers(1, 2))):
        place, key = data.draw(st.sampled_from(places(body)))
        if data.draw(st.booleans()):
            place[key] = data.draw(VALUES)
        else:
            del place[key]
        if not places(body):
            break
    answer = client.request(method, f"{path}?api-version=2024-03-01", json=body)
    assert answer.status_code < 500, answer.text
    assert client.get(f"{path}?api-version=2024-03-01").status_code < 500


@FUZZ
@given(method=METHODS, path=PATHS, query=QUERIES, body=VALUES)
def test_any_path_and_query(
    client: httpx.Client, method: str, path: str, query: dict[str, str], body: Any
) -> None:
    answer = client.request(method, path, params={"api-version": "2024-03-01"} | query, json=body)
    assert answer.status_code < 500, answer.text


@FUZZ
@given(
    name=st.text(
        alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1
    ),
    value=st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)),
    sent=st.binary(max_size=200),
)
def test_any_header_and_bytes(client: httpx.Client, name: str, value: str, sent: bytes) -> None:
    headers = {name: value.strip()} if name.lower() not in CONNECTION_HEADERS and name.isalnum() else {}
    for headers_sent in (headers, {"Content-Type": value.strip(), "Authorization": value.strip()}):
        answer = client.put(f"{GROUP}?api-version=2024-03-01", content=sent, headers=headers_sent)
        assert answer.status_code < 500, answer.text


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container and key in a document that a test may change."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: list[tuple[Any, Any]] = []
    for key, item in items:
        if key not in KEPT:
            found += [(value, key), *places(item)]
    return found
