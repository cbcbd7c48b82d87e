"""`remora help TOPIC`, and what a shell completes: commands, flags, subjects, adapters of the folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.command import User

from remora.cli.help.topics import TOPICS
from remora.cli.main import COMMANDS, SUBJECTS, help_text
from remora.cli.models.adapter_names import adapters_in

EXAMPLE = Path(__file__).parents[2] / "examples" / "tone"
NAMES = {command.name for group in COMMANDS.values() for command in group}
SECONDS = 400


def offered(shell: str, line: str, folder: Path) -> list[str]:
    """What Remora says to the script of a shell, where the cursor is at the end of the line."""
    variables = {
        "COMP_WORDS" if shell == "bash" else "_TYPER_COMPLETE_ARGS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_REMORA_COMPLETE": f"complete_{shell}",
    }
    done = subprocess.run(
        [sys.executable, "-m", "remora"],
        env={**os.environ, **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("shell", "line", "words"),
    [
        ("bash", "remora roll", ["rollback"]),
        ("bash", "remora chat --model ", ["tone-base", "pirate", "tone"]),
        ("bash", "remora adapters rollback p", ["pirate"]),
        ("fish", "remora chat --mod", ["--model"]),
    ],
)
def test_a_shell_is_offered_what_fits(shell: str, line: str, words: list[str]) -> None:
    assert offered(shell, line, EXAMPLE)[: len(words)] == words


def test_zsh_is_offered_adapters_of_a_folder_that_is_typed_before_them() -> None:
    told = " ".join(offered("zsh", "remora chat tone --model t", EXAMPLE.parent))
    assert "tone-base" in told
    assert "pirate" not in told


def test_without_a_settings_file_the_folders_with_adapters_are_offered(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE / "adapters", tmp_path / "runs")
    assert adapters_in(tmp_path) == ["pirate", "tone"]
    (tmp_path / "remora.toml").write_text("[adapters\n")
    assert adapters_in(tmp_path) == ["pirate", "tone"]
    assert adapters_in(tmp_path / "missing") == []


def test_bash_reads_its_script_and_completes_with_it(tmp_path: Path) -> None:
    script = User(tmp_path).run("completion", "bash").document["script"]
    asked = f"""{script}
COMP_WORDS=(remora roll) COMP_CWORD=1
_remora_completion remora
echo "${{COMPREPLY[@]}}" """
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", asked], env=environment, capture_output=True, text=True, check=True, timeout=SECONDS
    )
    assert done.stdout.strip() == "rollback"


def test_a_subject_is_explained_offline_and_a_command_has_its_help(tmp_path: Path) -> None:
    user = User(tmp_path)
    assert "serve.max_queued_requests" in user.run("help", "settings").document["text"]
    refused = user.run("help", "setting")
    assert refused.code == 3
    assert "settings" in refused.message
    helped = subprocess.run(
        [sys.executable, "-m", "remora", "help", "up"],
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    assert "remora up" in helped.stdout


def test_the_list_of_subjects_is_the_one_that_the_help_names() -> None:
    *first, last = TOPICS
    assert f"remora help {', '.join(first)} or {last}\n" in help_text()
    assert TOPICS.keys() & NAMES == SUBJECTS
    assert all(topic.text().strip() for topic in TOPICS.values())
