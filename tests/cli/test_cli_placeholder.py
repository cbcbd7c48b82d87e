"""Between `provision` and the first `deploy` an app runs nothing: no replica, no node, no failing start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.azure.local_cloud import running_revisions
from tests.cli.command import User
from tests.cli.trained_folder import make_adapter, make_base

from remora.azure.app.apps import ContainerApp
from remora.azure.profile import Clients, load_profile
from remora.project.toolkit.config import load_inference_config
from remora.project.toolkit.parameters import changed_parameters


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    somebody = User(tmp_path_factory.mktemp("placeholder") / "home")
    yield somebody
    somebody.run("cloud", "stop")


@pytest.fixture(scope="module")
def root(user: User) -> Path:
    path = user.home.parent / "project"
    make_base(path)
    make_adapter(path, "tone")
    assert user.run("init", str(path)).code == 0
    assert user.run("provision", str(path), "--yes").code == 0
    return path


def app_of(user: User, root: Path) -> ContainerApp:
    config = load_inference_config(root)
    clients = Clients(load_profile("local", user.home), config.subscription_id or "")
    return ContainerApp(clients, config.resource_group or "", config.app or "")


def test_a_new_app_sleeps_and_never_crashed(user: User, root: Path) -> None:
    app = app_of(user, root)
    assert len(app.revisions()) == 1
    assert running_revisions(app) == []
    assert app.replicas(app.read().latest_revision) == []
    logs = user.start("logs", str(root), "--output", "human")
    printed, said = logs.communicate(timeout=400)
    assert "can't open file" not in printed + said
    assert "BackOff" not in printed + said


def test_so_does_one_of_a_provisioning_that_was_killed(user: User, root: Path) -> None:
    app = app_of(user, root)
    name = app.read().latest_revision
    app.activate(name)
    assert running_revisions(app) == [name]
    assert user.run("provision", str(root), "--yes").document["changed"] is False
    assert running_revisions(app) == []


def test_and_the_revision_of_a_changed_template(user: User, root: Path) -> None:
    app = app_of(user, root)
    path = root / "infra/provision/inference.parameters.json"
    path.write_text(changed_parameters(path, {"memory": "2Gi", "cpu": "1"}))
    assert user.run("provision", str(root), "--yes").document["changed"] is True
    assert len(app.revisions()) == 2
    assert running_revisions(app) == []
