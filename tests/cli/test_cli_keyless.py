"""Storage accounts without keys: from the plan to a replica that follows its share, without a mount."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command import User
from tests.cli.in_process import Caller
from tests.cli.trained_folder import make_adapter, make_base
from tests.project.settings_file import update_settings

from remora.azure.app.apps import ContainerApp
from remora.azure.profile import Clients, load_profile
from remora.azure.roles import API_VERSION, FILE_CONTRIBUTOR
from remora.cli.commands.init import init_project
from remora.project.toolkit.config import load_inference_config

START = Path(__file__).with_name("echo_start.py")
COMMANDS = [
    'test "$REMORA_RELEASE" || exec sleep infinity',
    "cd /mount/.remora/releases/$REMORA_RELEASE",
    f"exec python3 {START} /mount start.py",
]


@dataclass(frozen=True, slots=True)
class Project:
    root: Path
    user: Caller

    def run(self, *words: str) -> dict[str, Any]:
        ran = self.user.run(*words)
        assert ran.code == 0, (ran.document, ran.stderr)
        return ran.document

    @property
    def clients(self) -> Clients:
        subscription = load_inference_config(self.root).subscription_id or ""
        return Clients(load_profile("local", self.user.home), subscription)

    @property
    def app(self) -> ContainerApp:
        config = load_inference_config(self.root)
        return ContainerApp(self.clients, config.resource_group or "", config.app or "")

    @property
    def account(self) -> dict[str, Any]:
        config = load_inference_config(self.root)
        group, name = config.resource_group or "", config.storage_account or ""
        document: dict[str, Any] = self.clients.storage.storage_accounts.get_properties(group, name).as_dict()
        return document

    def answer(self, model: str) -> str:
        return str(self.run("chat", str(self.root), "--model", model, "--message", "hi")["answer"])

    def roles(self) -> list[dict[str, Any]]:
        path = f"{self.account['id']}/providers/Microsoft.Authorization/roleAssignments"
        found = self.clients.request("GET", path, {"api-version": API_VERSION})["value"]
        return [
            role for role in found if role["properties"]["roleDefinitionId"].endswith(FILE_CONTRIBUTOR.id)
        ]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("keyless")
    root = folder / "tone"
    make_base(root)
    make_adapter(root, "tone")
    init_project(root, force=False)
    parameters = root / "infra" / "provision" / "inference.parameters.json"
    document = json.loads(parameters.read_text())
    document["parameters"]["defaultCommands"]["value"] = COMMANDS
    parameters.write_text(json.dumps(document))
    project = Project(root, Caller(folder / "home"))
    assert User(folder / "home").run("cloud", "start").code == 0  # a process that nobody here waits for
    yield project
    project.user.run("cloud", "stop")


def test_where_a_policy_forbids_keys_the_share_is_read_as_an_identity(project: Project) -> None:
    root = str(project.root)
    project.run("cloud", "faults", "on", "shared_keys_forbidden")
    refused = project.user.run("up", root, "--yes", "--max-hourly", "0.01", "--location", "westus2")
    assert refused.code == 5
    update_settings(project.root, {"azure.share_access": "key"})
    by_key = project.user.run("up", root, "--yes")
    assert (by_key.code, "disallowed by policy" in by_key.message) == (6, True), by_key
    update_settings(project.root, {"azure.share_access": "auto"})
    code, printed, _ = project.user.printed("plan", root)
    why = "a policy forbids the shared keys of a new storage account"
    line = f"Share           by managed identity, since {why}"
    assert (code, line in printed.splitlines()) == (0, True), printed
    planned = project.run("plan", root)
    assert planned["share_access"]["by_identity"]
    kinds = {change["kind"].rpartition("/")[2] for change in planned["resources"]}
    assert {"userAssignedIdentities", "roleAssignments"} <= kinds
    assert "storages" not in kinds
    project.run("up", root, "--yes", "--allow-unproven")
    project.run("cloud", "faults", "off", "shared_keys_forbidden")
    assert project.account["properties"]["allowSharedKeyAccess"] is False
    template = project.app.read().template
    assert [volume["storageType"] for volume in template["volumes"]] == ["EmptyDir"]
    assert project.answer("tone").endswith(":hi")


def test_an_account_without_keys_is_used_from_then_on(project: Project) -> None:
    """What is deployed follows pushes and rollbacks, and a restart pulls everything again."""
    root = str(project.root)
    again = project.run("up", root, "--yes")
    assert (again["new_revision"], again["uploaded"]["files"]) == (False, 0), again
    former = project.answer("tone")
    other = make_adapter(project.root / "new", "other")
    data = bytearray((other / "adapter_model.safetensors").read_bytes())
    data[-2] ^= 1
    (other / "adapter_model.safetensors").write_bytes(data)
    project.run("adapters", "push", "tone", str(other), root, "--allow-unproven")
    assert project.answer("tone") != former
    project.run("adapters", "push", "second", str(other), root, "--allow-unproven")
    assert project.answer("second") == project.answer("tone")
    project.run("adapters", "rollback", "tone", root)
    assert project.answer("tone") == former
    project.run("deploy", root, "--strategy", "restart")
    assert project.answer("tone") == former
    assert project.answer("second") != former
    replica = project.app.replicas(project.app.read().serving_revision)[0].name
    pulled = project.user.home / "cloud"
    assert any(replica in str(path) for path in pulled.rglob("model.safetensors"))


def test_a_missing_role_is_told_with_the_command_that_assigns_it(project: Project) -> None:
    (role,) = project.roles()
    query = {"api-version": API_VERSION}
    project.clients.request("DELETE", role["id"], query)
    refused = project.user.run("deploy", str(project.root))
    assert refused.code == 5
    assert "the role Storage File Data Privileged Contributor is missing" in refused.message
    command = (
        'az role assignment create --role "Storage File Data Privileged Contributor" --assignee-object-id'
        f" {role['properties']['principalId']} --scope {role['properties']['scope']}"
    )
    assert command in refused.message
    told = project.user.run("why", str(project.root)).document
    assert told["cause"] == "uploader_role_missing"
    body = {"properties": {name: role["properties"][name] for name in ("roleDefinitionId", "principalId")}}
    project.clients.request("PUT", role["id"], query, body)
    project.run("deploy", str(project.root))


def test_models_that_do_not_fit_on_the_disk_are_refused_before_anything_changes(project: Project) -> None:
    path = project.root / "infra" / "provision" / "inference.parameters.json"
    text = path.read_text()
    document = json.loads(text)
    document["parameters"]["cpu"] = {"value": "0.25"}
    path.write_text(json.dumps(document))
    try:
        refused = [project.user.run(command, str(project.root), "--yes") for command in ("plan", "up")]
    finally:
        path.write_text(text)
    assert [(ran.code, "with 0.25 cores it has 1 GiB" in ran.message) for ran in refused] == [(5, True)] * 2
    assert "set cpu to 0.5" in refused[0].message


def test_a_program_of_ones_own_needs_a_mount(project: Project) -> None:
    path = project.root / "infra" / "provision" / "inference.parameters.json"
    text = path.read_text()
    path.write_text(text.replace("start.py", "mine.py"))
    try:
        refused = project.user.run("plan", str(project.root))
    finally:
        path.write_text(text)
    assert (refused.code, "only Remora's own program" in refused.message) == (5, True), refused


def test_a_front_is_fetched_by_the_identity_too(project: Project) -> None:
    update_settings(project.root, {"scale.front": True})
    project.run("up", str(project.root), "--yes", "--allow-unproven")
    config = load_inference_config(project.root)
    front = ContainerApp(project.clients, config.resource_group or "", config.front or "")
    state = front.read()
    assert [volume["storageType"] for volume in state.template["volumes"]] == ["EmptyDir"]
    assert (state.fqdn or "nothing") in project.run("open", str(project.root), "--print")["url"]
    assert project.answer("tone").endswith(":hi")
