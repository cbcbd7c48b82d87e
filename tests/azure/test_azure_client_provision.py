"""Deploying the template that `remora init` writes: what is told, what is kept, what is refused or joined."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
from tests.azure.arm_stand_in import SUBSCRIPTION, Answer, ArmStandIn, Asked

from remora.azure.app.apps import ADMIN_KEY_SECRET, API_KEY_SECRET, SECRETS_VARIABLE, ContainerApp
from remora.azure.app.keys import AppKeys
from remora.azure.app.scale import Scale
from remora.azure.profile import Clients
from remora.azure.provisioning.deployment import DEPLOYMENT_NAME, ResourceProgress
from remora.azure.provisioning.groups import create_group
from remora.azure.provisioning.provision import Prepared, Provisioned, prepare, provision
from remora.azure.provisioning.what_if import ResourceChange, planned_changes
from remora.errors import InvalidInput, Locked, ProvisioningFailed, Refused

GROUP = "Provision-Tests"
ENVIRONMENT = "sharedenv"
JOB_PROFILE = {"name": "GPU", "workloadProfileType": "NC24-A100", "minimumCount": 0, "maximumCount": 1}
TEMPLATE: dict[str, Any] = json.loads(
    (files("remora.project") / "template" / "inference.json").read_text(encoding="utf-8")
)
PARAMETERS = {
    "defaultCommands": ["sleep 1000"],
    "maximumInstanceCount": 1,
    "acaEnvironmentName": ENVIRONMENT,
    "acaAppName": "served",
}


def deploy(clients: Clients, told: list[ResourceProgress] | None = None, **more: Any) -> Provisioned:
    prepared = prepare(clients, GROUP, TEMPLATE, {**PARAMETERS, **more})
    return provision(clients, GROUP, prepared, (told if told is not None else []).append)


@pytest.fixture(scope="module")
def group(clients: Clients) -> Clients:
    """The group of a fine-tuning step: its environment has a profile of its own."""
    create_group(clients, GROUP, "westus3")
    body = {
        "location": "westus3",
        "properties": {"workloadProfiles": [{"name": "Consumption", "workloadProfileType": "Consumption"}]},
    }
    body["properties"]["workloadProfiles"].append(JOB_PROFILE)  # type: ignore[index]
    clients.apps.managed_environments.begin_create_or_update(GROUP, ENVIRONMENT, body).result()
    return clients


@pytest.fixture(scope="module")
def told(group: Clients) -> list[ResourceProgress]:
    """What the first deployment told while it went on."""
    told: list[ResourceProgress] = []
    assert deploy(group, told).changed
    return told


def profiles(clients: Clients) -> dict[str, str]:
    document = clients.apps.managed_environments.get(GROUP, ENVIRONMENT).as_dict()
    return {item["name"]: item["workloadProfileType"] for item in document["properties"]["workloadProfiles"]}


def test_every_resource_is_told_of_until_it_ends(told: list[ResourceProgress]) -> None:
    ended = [(change.kind, change.name) for change in told if change.ended]
    assert len(ended) == len(set(ended)) == 7
    assert {("managedEnvironments", ENVIRONMENT), ("containerApps", "served")} < set(ended)
    assert {change.state for change in told if change.ended} == {"Succeeded"}


def test_profiles_of_others_in_a_shared_environment_stay(group: Clients, told: list[Any]) -> None:
    assert profiles(group) == {"Consumption": "Consumption", "GPU": "NC24-A100"}


def test_the_same_again_is_nothing_to_do(group: Clients, told: list[Any]) -> None:
    prepared = prepare(group, GROUP, TEMPLATE, PARAMETERS)
    assert prepared.outputs is not None
    assert prepared.outputs["ACA_APP_NAME"] == "served"


def test_a_changed_template_keeps_key_scale_and_environment_of_the_app(
    group: Clients, told: list[Any]
) -> None:
    app = ContainerApp(group, GROUP, "served")
    app.roll_out({"REMORA_RELEASE": "abc", "MINE": "old"}, Scale(0, 3))
    key = app.secrets()[API_KEY_SECRET]
    assert key.startswith("rk-")
    mine = [{"name": "MINE", "value": "new"}, {"name": "PIP_NO_INDEX", "value": "1"}]
    assert deploy(group, environmentVariables=mine, maximumInstanceCount=2).changed
    state = app.read()
    assert app.secrets()[API_KEY_SECRET] == key
    assert (state.scale.min_replicas, state.scale.max_replicas) == (0, 3)
    assert state.environment == {"REMORA_RELEASE": "abc", "MINE": "new", "PIP_NO_INDEX": "1"}
    assert profiles(group) == {"Consumption": "Consumption", "GPU": "NC24-A100"}


def test_keys_and_secrets_that_were_added_outlive_a_deployment(group: Clients, told: list[Any]) -> None:
    app = ContainerApp(group, GROUP, "served")
    keys = AppKeys(app)
    first = app.api_key()
    alice, admin = keys.add("alice"), keys.secret_of("admin")
    newer = keys.add("admin")
    app.set_secret("hf-token", "hf_one", variable="HF_TOKEN")
    assert [key.name for key in keys.all()] == ["key-1", "alice", "admin", "admin"]
    assert deploy(group, startMinutes=6).changed
    assert app.secrets() == {
        API_KEY_SECRET: f"{first}\nalice:{alice}",
        ADMIN_KEY_SECRET: f"{admin}\n{newer}",
        "hf-token": "hf_one",
    }
    (container,) = app.read().template["containers"]
    references = {item["name"]: item["secretRef"] for item in container["env"] if "secretRef" in item}
    assert references == {
        "REMORA_API_KEY": API_KEY_SECRET,
        "REMORA_ADMIN_KEY": ADMIN_KEY_SECRET,
        "HF_TOKEN": "hf-token",
    }
    keys.remove("admin")
    assert (keys.secret_of("admin"), app.api_key()) == (newer, first)
    with pytest.raises(InvalidInput, match="last"):
        keys.remove("admin")
    with pytest.raises(InvalidInput, match="not a valid name"):
        keys.add("a b")


def test_a_secret_that_is_set_again_makes_a_revision_of_its_own(group: Clients, told: list[Any]) -> None:
    app = ContainerApp(group, GROUP, "served")
    made = []
    for value in ("hf_one", "hf_two"):
        app.set_secret("hf-token", value, variable="HF_TOKEN")
        state = app.read()
        made.append((state.latest_revision, state.environment[SECRETS_VARIABLE]))
    assert made[0][0] != made[1][0]
    assert made[0][1] != made[1][1]


def test_what_would_change_is_known_before(group: Clients, told: list[Any]) -> None:
    prepared = prepare(group, GROUP, TEMPLATE, {**PARAMETERS, "fileShareName": "another", "startMinutes": 5})
    changes = {
        (change.kind, change.name): change.change for change in planned_changes(group, GROUP, prepared)
    }
    assert changes["containerApps", "served"] in ("Modify", "Deploy")
    assert "Delete" not in changes.values()
    assert group.storage.file_shares.list(GROUP, _account(group)).next()["name"] != "another"


def _account(clients: Clients) -> str:
    outputs = prepare(clients, GROUP, TEMPLATE, PARAMETERS).outputs
    if outputs is None:
        deploy(clients)
        return _account(clients)
    return outputs["STORAGE_ACCOUNT_NAME"]


def test_a_resource_that_fails_is_named_with_azures_reason(group: Clients) -> None:
    told: list[ResourceProgress] = []
    with pytest.raises(ProvisioningFailed, match="storageAccounts 'Not a name': ") as caught:
        deploy(group, told, storageAccountName="Not a name")
    assert "remora provision" in caught.value.hint
    assert ("storageAccounts", "Failed") in {(change.kind, change.state) for change in told}


def test_a_template_that_arm_does_not_accept_is_refused_before_any_change(group: Clients) -> None:
    with pytest.raises(Refused, match="startMinutes") as caught:
        prepare(group, GROUP, TEMPLATE, {**PARAMETERS, "startMinutes": 1000})
    assert "nothing was changed" in caught.value.hint


DEPLOYMENT = f"resourcegroups/g/providers/microsoft.resources/deployments/{DEPLOYMENT_NAME}"
OPERATIONS = f"resourcegroups/g/deployments/{DEPLOYMENT_NAME}/operations"
ACCOUNT_ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/files"
)


def deployment(state: str, tags: dict[str, str], **more: Any) -> Answer:
    return Answer(
        200, {"name": DEPLOYMENT_NAME, "tags": tags, "properties": {"provisioningState": state, **more}}
    )


def operation(state: str, **more: Any) -> dict[str, Any]:
    target = {
        "id": ACCOUNT_ID,
        "resourceType": "Microsoft.Storage/storageAccounts",
        "resourceName": "files",
    }
    return {"operationId": "1", "properties": {"provisioningState": state, "targetResource": target, **more}}


def fingerprint(arm: ArmStandIn, template: dict[str, Any]) -> dict[str, str]:
    """The tag that a deployment of this template has."""
    validated = f"{DEPLOYMENT}/validate"
    arm.answers["POST", validated] = Answer(200, {"properties": {"provisioningState": "Succeeded"}})
    tags: dict[str, str] = prepare(arm.clients(), "g", template, {}).body["tags"]
    return tags


def test_a_deployment_that_goes_on_is_joined_and_not_begun_again() -> None:
    template: dict[str, Any] = {"resources": []}
    with ArmStandIn() as arm:
        tags = fingerprint(arm, template)
        outputs = {"acA_APP_NAME": {"type": "String", "value": "served"}}
        states = iter([deployment("Running", tags)] * 3 + [deployment("Succeeded", tags, outputs=outputs)])
        seen = iter([operation("Running"), operation("Running"), operation("Succeeded")])
        arm.answers |= {
            ("GET", DEPLOYMENT): lambda _: next(states),
            ("GET", OPERATIONS): lambda _: Answer(200, {"value": [next(seen)]}),
        }
        told: list[ResourceProgress] = []
        clients = arm.clients()
        prepared = prepare(clients, "g", template, {})
        assert prepared.running
        done = provision(clients, "g", prepared, told.append)
        assert done == Provisioned({"ACA_APP_NAME": "served"}, changed=True)
        assert [change.state for change in told] == ["Running", "Succeeded"]
        assert arm.changes() == []


def test_a_deployment_of_something_else_is_waited_for() -> None:
    with ArmStandIn() as arm:
        arm.answers["GET", DEPLOYMENT] = deployment("Running", {"remora-fingerprint": "other"})
        with pytest.raises(Locked, match="'g'"):
            prepare(arm.clients(), "g", {"resources": []}, {})


def test_the_innermost_reason_of_a_failure_is_told() -> None:
    error = {
        "code": "ResourceDeploymentFailure",
        "message": "The resource write operation failed to complete successfully",
        "details": [{"code": "MaxRegionalQuotaExceeded", "message": "no more than 1 GPU in West US 3"}],
    }
    failed = operation("Failed", statusCode="Conflict", statusMessage={"status": "Failed", "error": error})
    with ArmStandIn() as arm:
        arm.answers |= {
            ("GET", DEPLOYMENT): deployment("Failed", {}),
            ("GET", OPERATIONS): Answer(200, {"value": [failed]}),
        }
        joined = Prepared({}, None, (), running=True)
        with pytest.raises(ProvisioningFailed) as caught:
            provision(arm.clients(), "g", joined, lambda _: None)
        reason = "storageAccounts 'files': MaxRegionalQuotaExceeded: no more than 1 GPU in West US 3"
        assert caught.value.message.endswith(reason)


def test_a_cloud_with_what_if_says_what_happens_to_each_resource() -> None:
    def what_if(asked: Asked) -> Answer:
        changes = [
            {"resourceId": ACCOUNT_ID, "changeType": "NoChange"},
            {"resourceId": f"{ACCOUNT_ID}/fileServices/default", "changeType": "Create"},
            {"resourceId": f"{ACCOUNT_ID}/somebody/elses", "changeType": "Ignore"},
        ]
        return Answer(200, {"status": "Succeeded", "properties": {"changes": changes}})

    with ArmStandIn() as arm:
        arm.answers["POST", f"{DEPLOYMENT}/whatif"] = what_if
        prepared = Prepared({"properties": {"mode": "Incremental"}}, None, (), running=False)
        assert planned_changes(arm.clients(), "g", prepared) == [
            ResourceChange("storageAccounts", "files", "NoChange"),
            ResourceChange("storageAccounts/fileServices", "files/default", "Create"),
        ]
        assert arm.changes() == []
