"""`remora down --purge` after a provision that failed or was killed: what it made goes, nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.azure.local_cloud import until
from tests.cli.command import User
from tests.cli.trained_folder import make_adapter, make_base
from tests.rollout.scripted_project import ScriptedProject

from remora.azure.profile import Clients, load_profile
from remora.azure.provisioning.deployment import is_running, read_deployment
from remora.azure.provisioning.groups import create_group, group_location, list_resources, list_subscriptions
from remora.cli.commands.init import init_project
from remora.project.toolkit.config import load_inference_config

FOREIGN = "foreignaccount"


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    user = User(tmp_path_factory.mktemp("down") / "home")
    assert user.run("cloud", "start").code == 0
    yield user
    user.run("cloud", "stop")


@pytest.fixture
def project(user: User, tmp_path: Path) -> ScriptedProject:
    root = tmp_path / f"down-{abs(hash(tmp_path)) % 10**6}"
    make_base(root)
    make_adapter(root, "tone")
    init_project(root, force=False)
    return ScriptedProject(root, user)


def clients_of(user: User) -> Clients:
    clients = Clients(load_profile("local", user.home))
    return clients.for_subscription(list_subscriptions(clients)[0][0])


def test_what_a_failed_provision_made_goes_with_the_group_that_it_made(project: ScriptedProject) -> None:
    root, user = str(project.root), project.user
    project.fault("quota")
    assert user.run("provision", root, "--yes").code == 6
    group = load_inference_config(project.root).resource_group or ""
    made = list_resources(clients_of(user), group)
    assert any(one.startswith("storageAccounts ") for one in made)
    ran = user.run("down", root, "--purge", "--yes")
    assert ran.code == 0, ran
    assert sorted(ran.document["removed"]) == sorted(made)
    assert group_location(clients_of(user), group) is None


def test_in_a_group_of_somebody_else_only_what_the_deployment_made_goes(project: ScriptedProject) -> None:
    clients, root, group = clients_of(project.user), str(project.root), "Shared-Group"
    clients.resources.resource_groups.create_or_update(group, {"location": "westeurope"})
    body = {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    clients.storage.storage_accounts.begin_create(group, FOREIGN, body).result()
    for _ in range(2):  # the second finds what the first has made
        project.fault("quota")
        assert project.user.run("provision", root, "--yes", "--resource-group", group).code == 6
    made = [one for one in list_resources(clients, group) if FOREIGN not in one]
    assert made
    ran = project.user.run("down", root, "--purge", "--yes")
    assert ran.code == 0, ran
    assert sorted(ran.document["removed"]) == sorted(made)
    assert list_resources(clients, group) == [f"storageAccounts {FOREIGN}"]


def test_a_provision_that_was_killed_is_cancelled_first(project: ScriptedProject) -> None:
    clients, root = clients_of(project.user), str(project.root)
    project.fault("slow_environment", seconds=600)
    killed = project.user.start("provision", root, "--yes")
    until(lambda: load_inference_config(project.root).resource_group is not None, 60)
    group = load_inference_config(project.root).resource_group or ""
    until(lambda: group_location(clients, group) is not None, 60)
    until(lambda: is_running(read_deployment(clients, group)), 60)
    killed.kill()
    killed.communicate()
    ran = project.user.run("down", root, "--purge", "--yes")
    assert ran.code == 0, ran
    assert "cancelling the deployment" in ran.stderr
    assert group_location(clients, group) is None


def test_where_nothing_was_provisioned_purge_says_so(project: ScriptedProject) -> None:
    ran = project.user.run("down", str(project.root), "--purge", "--yes")
    assert ran.code == 3
    assert "there is no resource group" in ran.message
    create_group(clients_of(project.user), "Empty-Group", "westeurope")
    ran = project.user.run("down", str(project.root), "--purge", "--yes", "--resource-group", "Empty-Group")
    assert ran.code == 0, ran
    assert ran.document["removed"] == []
