"""Rollouts to more than one replica, which never come up at the same moment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.project.settings_file import update_settings
from tests.rollout.scripted_project import ScriptedProject, asking_about, make_scripted_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedProject]:
    project = make_scripted_project(tmp_path_factory.mktemp("replicas"), maximumInstanceCount=3)
    yield project
    project.user.run("cloud", "stop")


@pytest.mark.parametrize("replicas", [2, 3])
def test_every_rollout_to_several_replicas_goes_well(project: ScriptedProject, replicas: int) -> None:
    update_settings(project.root, {"scale.max_replicas": replicas})
    update_settings(project.root, {"scale.min_replicas": replicas})
    with asking_about(project) as asked:
        for round_number in range(2):
            project.change_settings(10 * replicas + round_number)
            revision = project.deploy()["revision"]
            assert project.serving().name == revision
            assert (project.serving().scale.min_replicas, project.serving().active) == (replicas, True)
    assert asked.failures == []
