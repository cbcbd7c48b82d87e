"""Several adapters at once: folders as arguments, `--adapters` with folders and patterns."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest
from tests.cli.command import Ran, User

TONE = Path(__file__).parents[2] / "examples" / "tone"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A base, two trainings with final adapters of the same name, and one that left only checkpoints."""
    root = tmp_path / "project"
    shutil.copytree(TONE / "base", root / "base")
    for name in ("a/adapter", "b/adapter", "c/checkpoint-10", "c/checkpoint-20"):
        shutil.copytree(TONE / "adapters" / "tone", root / "runs" / name)
    (root / "runs" / "notes").mkdir()
    return root


def init(tmp_path: Path, *arguments: str | Path) -> Ran:
    return User(tmp_path / "home").run("init", *map(str, arguments))


def adapters_in(project: Path) -> dict[str, str]:
    listed: dict[str, str] = tomllib.loads((project / "remora.toml").read_text())["adapters"]
    return listed


def test_several_folders_are_adapters_of_the_folder_that_holds_them(project: Path, tmp_path: Path) -> None:
    shutil.move(project / "base", project / "runs" / "base")
    runs = project / "runs"
    made = init(tmp_path, runs / "a" / "adapter", runs / "b" / "adapter")
    assert made.code == 0, made.stderr
    assert adapters_in(runs) == {"a": "a/adapter", "b": "b/adapter"}


def test_a_hint_names_the_folder_that_holds_several(project: Path, tmp_path: Path) -> None:
    shutil.rmtree(project / "base")
    runs = project / "runs"
    refused = init(tmp_path, runs / "a" / "adapter", runs / "b" / "adapter")
    assert refused.code == 3
    assert f"remora init -C {runs} --base" in refused.message


def test_a_pattern_takes_adapters_and_the_newest_checkpoint_and_nothing_else(
    project: Path, tmp_path: Path
) -> None:
    made = init(tmp_path, project, "--adapters", "runs/*", "--adapters", "runs/*/adapter")
    assert made.code == 0, made.stderr
    assert adapters_in(project) == {
        "c": "runs/c/checkpoint-20",
        "a": "runs/a/adapter",
        "b": "runs/b/adapter",
    }


def test_more_adapters_are_added_to_those_that_are_listed(project: Path, tmp_path: Path) -> None:
    init(tmp_path, project, "--adapters", "runs/a/adapter")
    (project / "remora.toml").write_text((project / "remora.toml").read_text() + "# mine\n")
    init(tmp_path, project, "--adapters", "runs/a/adapter", "--adapters", "runs/b/adapter")
    assert adapters_in(project) == {"a": "runs/a/adapter", "b": "runs/b/adapter"}
    assert (project / "remora.toml").read_text().endswith("# mine\n")


def test_what_names_no_adapter_is_refused(project: Path, tmp_path: Path) -> None:
    for pattern in ("runs/notes", "runs/x*", "no-such-folder"):
        refused = init(tmp_path, project, "--adapters", pattern)
        assert (refused.code, refused.document["error"]["code"]) == (2, "invalid_value")
        assert pattern in refused.message
    assert not (project / "remora.toml").exists()


def test_an_adapter_outside_of_the_project_is_refused(project: Path, tmp_path: Path) -> None:
    outside = shutil.copytree(TONE / "adapters" / "tone", tmp_path / "outside")
    refused = init(tmp_path, project, "--adapters", outside)
    assert (refused.code, refused.document["error"]["code"]) == (2, "invalid_value")
    assert str(outside) in refused.message


def test_two_hundred_adapters_have_two_hundred_names_and_one_remark(project: Path, tmp_path: Path) -> None:
    for number in range(200):
        shutil.copytree(TONE / "adapters" / "tone", project / "many" / f"run-{number}")
    made = init(tmp_path, project, "--adapters", "many/*")
    assert made.code == 0, made.stderr
    assert len(adapters_in(project)) == 200
    (warning,) = made.document["warnings"]
    assert warning.startswith("run-0, run-1, run-10 and 197 more: ")
