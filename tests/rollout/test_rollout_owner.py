"""A share is one app's: another project that was given the same one is refused before it changes anything."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.azure.local_cloud import printer_app
from tests.rollout.scripted_project import ScriptedProject, make_scripted_project

from remora.azure.profile import Clients, load_profile

NEIGHBOUR = "neighbour"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedProject]:
    project = make_scripted_project(tmp_path_factory.mktemp("owner"))
    yield project
    project.user.run("cloud", "stop")


def owner(project: ScriptedProject) -> dict[str, str]:
    document: dict[str, str] = json.loads((project.share / "owner.json").read_text())
    return document


def test_the_first_deploy_makes_the_share_the_apps(project: ScriptedProject) -> None:
    first = owner(project)
    assert first["app"] == project.app().name
    project.change_settings(7)
    project.deploy()
    assert owner(project) == first


def test_a_share_of_another_app_is_refused_until_that_app_is_gone(project: ScriptedProject) -> None:
    app, mine = project.app(), owner(project)
    clients = Clients(load_profile("local", project.user.home), app.subscription_id)
    neighbour = printer_app(clients, app.group, NEIGHBOUR)
    (project.share / "owner.json").write_text(json.dumps({**mine, "app": NEIGHBOUR}))
    before = {path.name for path in project.share.rglob("*")}
    project.change_settings(8)
    root = str(project.root)
    digest = project.aliases()["tone"]["digest"]
    for command in (
        ("plan", root),
        ("deploy", root),
        ("rollback", "--folder", root),
        ("adapters", "push", "tone", str(project.root / "adapters" / "tone"), "--project", root),
        ("adapters", "alias", "other", digest, "--project", root),
        ("adapters", "rollback", "tone", "--project", root),
        ("adapters", "rm", "tone", "--yes", "--project", root),
        ("adapters", "gc", "--grace-hours", "0", "--project", root),
    ):
        refused = project.user.run(*command)
        assert (refused.code, NEIGHBOUR in refused.message) == (5, True), refused
        assert f"deployed by {mine['who']} on {mine['host']}" in refused.message
    assert {path.name for path in project.share.rglob("*")} == before
    neighbour.delete()
    project.deploy()
    assert owner(project)["app"] == app.name
