"""The first release of an app whose first revision sleeps: nothing is there that could keep the traffic."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.rollout.scripted_project import GOLDEN, ScriptedProject, provision_scripted_project, release_of

from remora.rollout.revision.candidate import look


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedProject]:
    project = provision_scripted_project(tmp_path_factory.mktemp("first"))
    app = project.app()
    app.deactivate(app.read().latest_revision)  # as provisioning does with the template's own commands
    yield project
    project.user.run("cloud", "stop")


def test_one_that_fails_its_check_serves_nobody(project: ScriptedProject) -> None:
    golden = project.root / "golden.toml"
    golden.write_text(GOLDEN.replace("hello", "something else"))
    failed = project.user.run("deploy", str(project.root))
    assert failed.code == 8, (failed.document, failed.stderr)
    assert project.running() == []
    assert look(project.app()).serving == ""


def test_and_the_next_one_does_not_wait_for_it(project: ScriptedProject) -> None:
    (project.root / "golden.toml").write_text(GOLDEN)
    deployed = project.deploy()
    assert deployed["new_revision"] is True
    assert project.running() == [deployed["revision"]]
    assert look(project.app()).release == release_of(project.serving())
    assert project.deploy()["new_revision"] is False
