"""The documents: defaults as recorded, secrets withheld, refusals in Azure's words, shapes as published."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conformance import evidence
from tests.emulator.apps.cloud import Cloud, until, web_template

from containerapps_emulator.apps.capacity.profiles import read_profiles
from containerapps_emulator.apps.documents.defaults import essence, with_defaults
from containerapps_emulator.apps.documents.shapes import CONTAINER_APP, ENVIRONMENT
from containerapps_emulator.apps.documents.template import read_template
from containerapps_emulator.apps.documents.wire import display_location
from containerapps_emulator.apps.replicas.mounts import Mounts
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.arm.shapes import checked_properties
from containerapps_emulator.state import Json

RECORDINGS = evidence.folder() / "recordings" / "azure_cli_containerapp"


def properties(**changes: Any) -> Json:
    return {"environmentId": "/env", "configuration": {}, "template": web_template(), **changes}


def test_defaults_are_those_of_the_recordings() -> None:
    sent = properties(
        configuration={"activeRevisionsMode": "single", "ingress": {"targetPort": 80, "transport": "auto"}}
    )
    sent["template"]["containers"][0]["resources"] = {"cpu": 1.0, "memory": "2.0Gi"}
    sent["template"]["scale"] = None
    stored = with_defaults(sent)
    assert stored["template"]["scale"] == {
        "minReplicas": None, "maxReplicas": 10, "cooldownPeriod": 300, "pollingInterval": 30, "rules": None,
    }  # fmt: skip
    assert stored["configuration"]["ingress"]["traffic"] == [{"weight": 100, "latestRevision": True}]
    assert stored["configuration"]["ingress"]["transport"] == "Auto"
    assert stored["configuration"]["ingress"]["exposedPort"] == 0
    assert stored["configuration"]["activeRevisionsMode"] == "Single"
    assert stored["configuration"]["maxInactiveRevisions"] == 100
    assert stored["template"]["containers"][0]["resources"] == {
        "cpu": 1.0, "memory": "2Gi", "ephemeralStorage": "4Gi",
    }  # fmt: skip
    assert stored["workloadProfileName"] == "Consumption"
    assert stored["managedEnvironmentId"] == stored["environmentId"] == "/env"


def test_defaults_are_stable() -> None:
    stored = with_defaults(properties())
    assert with_defaults(stored) == stored


@pytest.mark.parametrize(
    "other", [{"x": None}, {"x": ""}, {"x": []}, {"x": {"y": None}}, {"revisionSuffix": "a"}]
)
def test_what_makes_no_difference_between_templates(other: Json) -> None:
    assert essence({"containers": [{"name": "a"}], **other}) == essence({"containers": [{"name": "a"}]})


@pytest.mark.parametrize("other", [{"x": 0}, {"x": False}, {"scale": {"minReplicas": 0}}])
def test_what_makes_one(other: Json) -> None:
    assert essence({"containers": [], **other}) != essence({"containers": []})


def probe(kind: str, **numbers: int) -> Json:
    return {"type": kind, "tcpSocket": {"port": 1}, **numbers}


def http_rule(concurrent: str) -> Json:
    return {"name": "http", "http": {"metadata": {"concurrentRequests": concurrent}}}


REFUSED: dict[str, tuple[Json, str]] = {
    "no environment": ({"environmentId": None}, "environmentId is required"),
    "weights": (
        {"configuration": {"ingress": {"traffic": [{"latestRevision": True, "weight": 90}]}}},
        "add up to 90",
    ),
    "tcp": ({"configuration": {"ingress": {"transport": "tcp"}}}, "does not emulate TCP ingress"),
    "mode": ({"configuration": {"activeRevisionsMode": "Many"}}, "'Many' is not one of"),
    "no container": ({"template": {"containers": []}}, "has 0 containers"),
    "suffix": ({"template": web_template(suffix="1-no")}, "invalid value '1-no'"),
    "secret value": (
        {"configuration": {"secrets": [{"name": "a"}]}},
        "secret(s) with name(s) 'a' are invalid",
    ),
    "secret ref": ({"template": web_template(variables=[{"name": "A", "secretRef": "b"}])}, "SecretRef 'b'"),
    "probe": ({"template": web_template(probes=[{"type": "Liveness"}])}, "Probe 'Liveness' needs"),
    "probe range": (
        {"template": web_template(probes=[probe("Liveness", periodSeconds=0)])},
        "Liveness probe: periodSeconds is 0, must be between 1 and 240",
    ),
    "probe delay": (
        {"template": web_template(probes=[probe("Readiness", initialDelaySeconds=61)])},
        "initialDelaySeconds is 61, must be between 1 and 60",
    ),
    "probe attempts": (
        {"template": web_template(probes=[probe("Startup", failureThreshold=11)])},
        "failureThreshold is 11, must be between 1 and 10",
    ),
    "probe successes": (
        {"template": web_template(probes=[probe("Startup", successThreshold=2)])},
        "Startup probe: successThreshold is 2, must be between 1 and 1",
    ),
    "probe port": (
        {"template": web_template(probes=[{"type": "Startup", "tcpSocket": {"port": "http"}}])},
        "Startup probe: port is http",
    ),
    "probes": (
        {"template": web_template(probes=[probe("Startup"), probe("startup")])},
        "2 probes of type Startup; one of each type",
    ),
    "grace": ({"template": web_template(terminationGracePeriodSeconds=601)}, "is 601, must be between 0"),
    "inactive": ({"configuration": {"maxInactiveRevisions": 101}}, "maxInactiveRevisions is 101"),
    "memory": ({"template": web_template(resources={"memory": "2GB"})}, "memory '2GB'"),
    "rule": ({"template": web_template(scale={"rules": [{"name": "x"}]})}, "'x' needs a name and one of"),
    "concurrency": (
        {"template": web_template(scale={"rules": [http_rule("0")]})},
        "concurrentRequests is '0', must be at least 1",
    ),
    "mount": ({"template": web_template(mount="/")}, "'/' of volume 'share' is not a path below the root"),
    "escape": ({"template": web_template(mount="/mount/../etc")}, "'/mount/../etc' of volume"),
    "replicas": ({"template": web_template(replicas=11)}, "minReplicas 11"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_the_value(case: str) -> None:
    changes, message = REFUSED[case]
    with pytest.raises(ArmError, match=re.escape(message)) as refused:
        with_defaults(properties(**changes))
    assert refused.value.status == 400


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**40) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def rich() -> Json:
    """Properties with everything in them that is read."""
    template = web_template(
        env={"A": "b"},
        probes=[
            probe("Liveness", periodSeconds=5),
            {
                "type": "Startup",
                "httpGet": {"path": "/", "port": 80, "httpHeaders": [{"name": "a", "value": "b"}]},
            },
        ],
        mount="/mount",
        resources={"cpu": 1, "memory": "2Gi"},
        scale={"minReplicas": 0, "maxReplicas": 2, "cooldownPeriod": 10, "rules": [http_rule("5")]},
        terminationGracePeriodSeconds=5,
    )
    ingress = {"targetPort": 80, "transport": "http", "traffic": [{"latestRevision": True, "weight": 100}]}
    configuration = {
        "activeRevisionsMode": "Multiple",
        "maxInactiveRevisions": 3,
        "ingress": ingress,
        "secrets": [{"name": "a", "value": "b"}],
    }
    return properties(configuration=configuration, template=template, workloadProfileName="GPU")


def places(document: Any, *path: str | int) -> list[tuple[str | int, ...]]:
    """Where something is in a document."""
    inner: Any = ()
    if isinstance(document, dict):
        inner = document.items()
    elif isinstance(document, list):
        inner = enumerate(document)
    return [path, *(place for name, item in inner for place in places(item, *path, name))]


def bent(document: Any, place: tuple[str | int, ...], value: Any) -> Any:
    """A copy with something else in one place; `...` leaves it out."""
    if not place:
        return value
    name, *rest = place
    changed = dict(document) if isinstance(document, dict) else list(document)
    if value is ... and not rest:
        del changed[name]  # type: ignore[arg-type]
    else:
        changed[name] = bent(document[name], tuple(rest), value)  # type: ignore[index]
    return changed


@given(place=st.sampled_from(places(rich())[1:]), value=VALUES | st.just(...))
@settings(max_examples=500, deadline=None)
def test_whatever_a_client_sends_is_stored_or_refused(place: tuple[str | int, ...], value: Any) -> None:
    body = {"properties": bent(rich(), place, value)}
    with contextlib.suppress(ArmError):
        read_template(with_defaults(checked_properties(body, CONTAINER_APP))["template"])


ENVIRONMENT_PROPERTIES: Json = {
    "workloadProfiles": [
        {"name": "GPU", "workloadProfileType": "NC24-A100", "minimumCount": 0, "maximumCount": 1}
    ],
    "appLogsConfiguration": {"logAnalyticsConfiguration": {"customerId": "a", "sharedKey": "b"}},
}


@given(place=st.sampled_from(places(ENVIRONMENT_PROPERTIES)), value=VALUES | st.just(...))
@settings(max_examples=200, deadline=None)
def test_whatever_profiles_a_client_sends_are_read_or_refused(
    place: tuple[str | int, ...], value: Any
) -> None:
    body = {"properties": bent(ENVIRONMENT_PROPERTIES, place, value)}
    with contextlib.suppress(ArmError):
        read_profiles(checked_properties(body, ENVIRONMENT).get("workloadProfiles") or [], "westus3")


def test_what_is_bent_was_right() -> None:
    stored = with_defaults(checked_properties({"properties": rich()}, CONTAINER_APP))
    assert read_template(stored["template"]).grace_seconds == 5


def test_a_wrong_type_is_named() -> None:
    sent = properties()
    sent["template"]["containers"][0]["env"] = {"A": "b"}
    with pytest.raises(ArmError, match=r"'properties.template.containers\[0\].env' must be a list"):
        checked_properties({"properties": sent}, CONTAINER_APP)
    with pytest.raises(ArmError, match=r"'properties.template.scale.minReplicas' must be a whole number"):
        checked_properties({"properties": {"template": {"scale": {"minReplicas": True}}}}, CONTAINER_APP)


async def test_references_must_exist(cloud: Cloud) -> None:
    storage = cloud.environment.child("storages", "files")
    await cloud.handler(storage.type).delete(storage, {})
    with pytest.raises(ArmError, match="ManagedEnvironment Storage 'files' of volume 'share' was not found"):
        await cloud.deploy(mount="/mount")
    with pytest.raises(ArmError, match="Managed environment '/env' does not exist"):
        await cloud.put(cloud.app, {"location": "westus3", "properties": properties()})


async def test_secrets_are_named_and_told_only_when_asked(cloud: Cloud) -> None:
    secrets = {"secrets": [{"name": "api-key", "value": "s3cret"}]}
    shown = await cloud.deploy(configuration=secrets, replicas=0)
    assert shown["properties"]["configuration"]["secrets"] == [{"name": "api-key"}]
    assert await cloud.ask("listsecrets") == {"value": [{"name": "api-key", "value": "s3cret"}]}
    await cloud.deploy(configuration={"secrets": [{"name": "api-key"}]}, replicas=0)
    assert await cloud.ask("listsecrets") == {"value": [{"name": "api-key", "value": "s3cret"}]}


async def test_keys_are_never_shown(cloud: Cloud) -> None:
    storage = cloud.show(cloud.environment.child("storages", "files"))
    assert storage["properties"] == {
        "azureFile": {"accountName": "account", "shareName": "data", "accessMode": "ReadWrite"}
    }
    logs = {
        "destination": "log-analytics",
        "logAnalyticsConfiguration": {"customerId": "c", "sharedKey": "k3y"},
    }
    body = {"location": "westus3", "properties": {"appLogsConfiguration": logs}}
    shown = await cloud.put(cloud.environment, body)
    assert shown["properties"]["appLogsConfiguration"]["logAnalyticsConfiguration"]["sharedKey"] is None
    assert "k3y" not in str(shown)


async def test_ids_are_spelled_as_recorded(cloud: Cloud) -> None:
    shown = await cloud.deploy()
    assert "/providers/Microsoft.App/containerapps/web" in shown["id"]
    assert shown["type"] == "Microsoft.App/containerApps"
    assert shown["location"] == "West US 3"
    (revision,) = cloud.revisions()
    assert revision["id"].endswith(f"/Microsoft.App/containerApps/web/revisions/{cloud.latest}")
    assert revision["type"] == "Microsoft.App/containerapps/revisions"
    token = await cloud.ask("getauthtoken")
    assert token["type"] == "Microsoft.App/containerApps/accesstoken"
    (replica,) = cloud.replicas(cloud.latest)
    short = cloud.app.child("revisions", cloud.latest).child("replicas", replica["name"][:-3])
    assert cloud.virtual("containerApps/revisions/replicas").get(short) == cloud.replicas(cloud.latest)[0]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("eastus", "East US"),
        ("westus3", "West US 3"),
        ("northeurope", "North Europe"),
        ("East US", "East US"),
    ],
)
def test_locations_are_spelled_out(sent: str, shown: str) -> None:
    assert display_location(sent) == shown


def test_mount_paths_are_mapped_only_where_they_are_paths() -> None:
    mounts = Mounts((), (("/mount", r"/real\1 path"),), "/real")
    assert mounts.translate("cd /mount/a; ls '/mount' /mounted /mount-x x/mount --in=/mount") == (
        r"cd /real\1 path/a; ls '/real\1 path' /mounted /mount-x x/mount --in=/real\1 path"
    )


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason=evidence.ABSENT)
async def test_documents_have_the_keys_of_the_recordings(cloud: Cloud) -> None:
    await cloud.deploy(mount=str(cloud.folder / "mount"))
    await until(lambda: bool(cloud.replicas(cloud.latest)))
    ours = {
        "Microsoft.App/managedEnvironments": cloud.show(cloud.environment),
        "Microsoft.App/managedenvironments/storages": cloud.show(
            cloud.environment.child("storages", "files")
        ),
        "Microsoft.App/containerApps": cloud.show(cloud.app),
        "Microsoft.App/containerapps/revisions": cloud.revisions()[0],
        "Microsoft.App/containerapps/revisions/replicas": cloud.replicas(cloud.latest)[0],
    }
    compared = set()
    for kind, document in recorded():
        if kind in ours and document["properties"].get("provisioningState") != "InProgress":
            assert missing(document, ours[kind], f"{kind}") == []
            compared.add(kind)
    assert compared == set(ours)


def recorded() -> list[tuple[str, Json]]:
    found = []
    for path in sorted(RECORDINGS.glob("*.json")):
        for exchange in json.loads(path.read_text())["exchanges"]:
            body = exchange["response"]["body"]
            if isinstance(body, dict):
                found += [
                    (item.get("type", ""), item)
                    for item in body.get("value", [body])
                    if isinstance(item, dict)
                ]
    return found


NOT_OURS = {"systemData", "tags", "execEndpoint", "provisioningState", "azureFile.mountOptions"}
DEEP = {"properties", "configuration", "ingress", "template", "azureFile"}


def missing(document: Json, ours: Json, path: str) -> list[str]:
    """The keys of a recorded document that ours has not, down to the parts that every app has."""
    lacking = [f"{path}.{key}" for key in document if key not in ours and key not in NOT_OURS]
    for key in DEEP & document.keys() & ours.keys():
        if isinstance(document[key], dict) and isinstance(ours[key], dict):
            lacking += missing(document[key], ours[key], f"{path}.{key}")
    return lacking
