"""One GPU node, one revision: the first deploy, an update in place, and the way back; and why a wait ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.rollout.scripted_project import ScriptedProject, asking_about, make_scripted_project, release_of

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedProject]:
    """Its first revision cannot start and has the only node: that it is deployed is the first test."""
    folder = tmp_path_factory.mktemp("room")
    project = make_scripted_project(folder, workloadProfile="NC24-A100", maximumInstanceCount=1)
    yield project
    project.user.run("cloud", "stop")


def test_plan_says_that_there_is_no_room_and_deploy_asks_before_it_interrupts(
    project: ScriptedProject,
) -> None:
    serving = project.serving().name
    project.change_settings(61)
    planned = project.user.run("plan", str(project.root), "--yes").document
    assert "0 of 1 nodes of workload profile 'GPU' are free" in planned["no_room"]
    assert planned["interrupts"] is True
    with asking_about(project) as asked:
        ran = project.user.run("deploy", str(project.root))
    assert ran.code == 5, ran
    assert f"no room for one replica beside {serving}" in ran.message
    assert "--strategy in-place" in ran.message
    assert asked.failures == []
    assert project.running() == [serving]


def test_in_place_the_new_revision_starts_where_the_former_was(project: ScriptedProject) -> None:
    former = project.serving()
    project.change_settings(62)
    ran = project.user.run("deploy", str(project.root), "--strategy", "in-place")
    assert ran.code == 0, ran
    assert project.running() == [ran.document["revision"]] != [former.name]
    assert release_of(project.serving()) != release_of(former)
    assert ran.document["kept_revision"] is None


def test_in_place_what_served_serves_again_where_the_new_one_fails(project: ScriptedProject) -> None:
    former = project.serving().name
    project.change_settings(63)
    project.fault("image_pull_denied")
    ran = project.user.run("deploy", str(project.root), "--strategy", "in-place")
    assert ran.code == 7, ran
    assert project.running() == [former]
    ended = project.user.run("status", str(project.root)).document
    assert (ended["answers"], ended["serving_revision"]) == (True, former)


def test_a_rollback_starts_the_former_revision_in_place_of_the_serving_one(project: ScriptedProject) -> None:
    former = project.serving()
    project.change_settings(66)
    replaced = project.user.run("deploy", str(project.root), "--strategy", "in-place").document["revision"]
    assert project.running() == [replaced]
    ran = project.user.run("rollback", str(project.root))
    assert ran.code == 0, ran
    assert (ran.document["revision"], ran.document["release"]) == (former.name, release_of(former))
    assert (ran.document["started"], ran.document["in_place"]) == (True, True)
    assert f"no room for one replica beside {replaced}" in ran.stderr
    assert f"stopping {replaced} to make room" in ran.stderr
    assert project.running() == [project.serving().name] == [former.name]


def test_a_rollback_that_cannot_start_leaves_what_served(project: ScriptedProject) -> None:
    serving = project.serving().name
    project.fault("stuck_replica")
    ran = project.user.run("rollback", str(project.root), "--strategy", "in-place", "--timeout", "15")
    assert ran.code == 7, ran
    assert "AssigningReplicaFailed" in ran.stderr
    assert "going back to the former revision" in ran.stderr
    assert "remora deploy" not in ran.message
    assert project.running() == [project.serving().name] == [serving]
    ended = project.user.run("status", str(project.root)).document
    assert (ended["answers"], ended["serving_revision"]) == (True, serving)
    told = project.history()[0]
    assert (told["what"], told["result"]) == ("rollback", "not_ready")


def test_a_rollback_to_wrong_answers_is_undone(project: ScriptedProject) -> None:
    serving, wrong = project.serving().name, project.share / "wrong"
    wrong.touch()
    ran = project.user.run("rollback", str(project.root))
    wrong.unlink()
    assert ran.code == 8, ran
    assert "was answered by other" in ran.message
    assert project.running() == [project.serving().name] == [serving]


def test_a_rollback_does_not_restart(project: ScriptedProject) -> None:
    ran = project.user.run("rollback", str(project.root), "--strategy", "restart")
    assert (ran.code, ran.document["error"]["param"]) == (2, "--strategy"), ran


def test_a_terminal_is_asked_whether_what_serves_may_stop(project: ScriptedProject) -> None:
    project.change_settings(64)
    terminal = project.user.at_terminal("deploy", str(project.root))
    while "Stop the serving revision first?" not in terminal.shown:
        assert terminal.process.poll() is None, terminal.shown
    terminal.answer("y")
    ran = terminal.finish()
    assert ran.code == 0, ran
    assert project.running() == [ran.document["revision"]]


def test_a_wait_tells_the_newest_reason_and_ends_where_nothing_can_change(project: ScriptedProject) -> None:
    """The limit is 1,200 s: that the command ends at all within the test's time is what is tested."""
    serving = project.serving().name
    project.change_settings(65)
    project.fault("stuck_replica")
    ran = project.user.run("deploy", str(project.root), "--strategy", "in-place", "--timeout", "15")
    assert ran.code == 7, ran
    assert "AssigningReplicaFailed" in ran.stderr
    assert "no node is free" in ran.message
    assert project.running() == [serving]
