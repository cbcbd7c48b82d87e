"""What somebody pushed to an endpoint stays with the next deploy, until it is said to go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.trained_folder import make_adapter
from tests.rollout.scripted_project import ScriptedProject, make_scripted_project

from remora.adapters.adapter import Digest
from remora.rollout.share.adapter_plan import Removal, plan_adapters
from remora.rollout.share.history import Happened, happened

OURS, THEIRS, NEWER = (Digest(letter * 64) for letter in "abc")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedProject]:
    project = make_scripted_project(tmp_path_factory.mktemp("pushed"))
    push(project, "newone")
    yield project
    project.user.run("cloud", "stop")


def push(project: ScriptedProject, name: str) -> None:
    folder: Path = project.root.parent / "elsewhere"
    make_adapter(folder, name)
    command = ("adapters", "push", name, str(folder / "adapters" / name), "--project", str(project.root))
    ran = project.user.run(*command, "--no-wait")
    assert ran.code == 0, ran


def planned(project: ScriptedProject, *options: str) -> dict[str, Any]:
    ran = project.user.run("plan", str(project.root), "--yes", *options)
    assert ran.code == 0, ran
    return ran.document


def change_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in document["adapter_changes"] if each["name"] == name]
    return dict(found)


def test_a_plan_says_what_stays_comes_and_goes_and_why_there_is_a_new_revision(
    project: ScriptedProject,
) -> None:
    project.change_settings(41)
    document = planned(project)
    assert change_of(document, "newone")["what"] == "stays"
    assert change_of(document, "tone")["what"] == "stays"
    (reason,) = document["reasons"]
    assert "code, settings or base model changed" in reason
    pruned = planned(project, "--prune")
    assert change_of(pruned, "newone")["what"] == "goes"
    assert "adapters changed: newone goes" in pruned["reasons"]


def test_a_pushed_adapter_is_served_by_the_next_revision_too(project: ScriptedProject) -> None:
    project.change_settings(42)
    document = project.deploy()
    assert document["new_revision"] is True
    assert {each["model"] for each in document["answers"]} >= {"tone", "newone"}
    assert "newone" in project.aliases()
    assert project.deploy()["new_revision"] is False


def test_an_adapter_that_remora_toml_lists_as_removed_goes(project: ScriptedProject) -> None:
    push(project, "second")
    settings = project.root / "remora.toml"
    text = settings.read_text()
    assert "[model]\n" in text
    settings.write_text(text.replace("[model]\n", '[model]\nremoved_adapters = ["second"]\n'))
    project.deploy()
    assert {"tone", "newone"} == project.aliases().keys() - {"$generation"}


def test_prune_removes_what_the_folder_does_not_have(project: ScriptedProject) -> None:
    ran = project.user.run("up", str(project.root), "--yes", "--prune")
    assert ran.code == 0, ran
    assert project.aliases().keys() == {"$generation", "tone"}
    assert project.deploy()["new_revision"] is False


def event(what: str, before: str, after: str, *, name: str = "tone", result: str = "ok") -> Happened:
    return happened(what, name, before=before, after=after, result=result)


def after_of(served: Digest, *events: Happened, prune: bool = False) -> Digest | None:
    (change,) = plan_adapters({"tone": served}, {"tone": OURS}, Removal(prune), events)
    return change.after


def test_a_push_over_a_name_of_the_folder_stays_while_the_folder_is_unchanged() -> None:
    """Events are newest first, as the history tells them."""
    deploy = event("deploy", "1", "2", name="app")
    push = event("adapters push", OURS, THEIRS)
    assert after_of(THEIRS, push, deploy) == THEIRS
    assert after_of(NEWER, event("adapters push", THEIRS, NEWER), push, deploy) == NEWER
    assert after_of(THEIRS, push, deploy, prune=True) == OURS


def test_an_adapter_that_the_folder_has_changed_is_the_folders() -> None:
    deploy = event("deploy", "1", "2", name="app")
    assert after_of(THEIRS, deploy) == OURS
    assert after_of(THEIRS, event("adapters push", NEWER, THEIRS), deploy) == OURS
    assert after_of(THEIRS, deploy, event("adapters push", OURS, THEIRS)) == OURS
    assert after_of(THEIRS, event("adapters push", OURS, THEIRS, result="locked"), deploy) == OURS
