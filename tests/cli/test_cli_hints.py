"""Hints: each command in one exists, names its folder, and is a list of words for programs."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.cli.command import User
from tests.test_errors import texts_of_errors

from remora.cli.main import COMMANDS
from remora.cli.output.next_command import command_line, in_folder, next_command
from remora.rollout.why.known_causes import KNOWN_CAUSES

EXAMPLE = Path(__file__).parents[2] / "examples" / "tone"
BLANKS = Path("my work/o'brien, tone")
QUOTED = shlex.quote(str(BLANKS))
NAMED = re.compile(r"\bremora ([a-z]+)(?: ([a-z]+))?((?: (?:--?[\w-]+|[A-Z]+|…))*)")


@pytest.mark.parametrize(
    ("hint", "completed"),
    [
        ("run: remora deploy", f"run: remora deploy {QUOTED}"),
        ("run: remora deploy; see: remora logs", f"run: remora deploy {QUOTED}; see: remora logs {QUOTED}"),
        ("run `remora init`", f"run `remora init {QUOTED}`"),
        ("run: remora import --fetch", f"run: remora import -C {QUOTED} --fetch"),
        ("to: remora adapters rollback NAME", f"to: remora adapters rollback -C {QUOTED} NAME"),
        ("see: remora adapters list", f"see: remora adapters list {QUOTED}"),
        ("run: remora cloud start", "run: remora cloud start"),
        (f"again: remora up {QUOTED} --yes", f"again: remora up {QUOTED} --yes"),
        ("sign in with: az login", "sign in with: az login"),
        ("write it in remora.toml", "write it in remora.toml"),
    ],
)
def test_a_hint_names_the_folder_that_the_command_was_for(hint: str, completed: str) -> None:
    assert in_folder(hint, BLANKS) == completed
    assert in_folder(hint, Path()) == hint


def test_a_command_survives_a_shell_and_a_program() -> None:
    line = command_line("up", BLANKS, "--yes")
    assert shlex.split(line) == next_command(f"run: {line}") == ["remora", "up", str(BLANKS), "--yes"]
    completed = in_folder("run: remora deploy, or wait", BLANKS)
    assert next_command(completed) == ["remora", "deploy", str(BLANKS)]


def options_of(words: list[str]) -> set[str] | None:
    """The options of a command; None where there is no such command."""
    commands = {command.name: command for group in COMMANDS.values() for command in group}
    if words[0] not in commands:
        return None
    found: Any = typer.main.get_command(importlib.import_module(commands[words[0]].module).app)
    inner = getattr(found, "commands", {})
    found = inner.get(words[1]) if len(words) > 1 and inner else found
    return None if found is None else {name for each in found.params for name in each.opts}


def test_every_command_in_a_hint_of_the_source_exists() -> None:
    wrong = []
    hints = [(cause.name, cause.fix) for cause in KNOWN_CAUSES]
    for where, _, text in texts_of_errors():
        written = "".join(str(each.value) for each in ast.walk(text) if isinstance(each, ast.Constant))
        hints.append((str(where), written))
    for where, written in hints:
        for command, below, rest in NAMED.findall(written):
            words = [command, below] if command in ("adapters", "cloud", "golden", "keys") else [command]
            options = options_of(words)
            flags = {word for word in rest.split() if word.startswith("-")} - {"--help"}
            if options is None or flags - options:
                wrong.append((where, command, below, rest))
    assert wrong == []


def test_outside_a_project_nothing_is_asked_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    ran = User(tmp_path / "home").run("status", str(tmp_path))
    assert (ran.code, ran.document["error"]["code"]) == (3, "deployment_not_found")
    assert "is not a project" in ran.message
    assert "SUBSCRIPTION_ID" not in ran.message
    assert ran.document["next"] is None


def test_a_folder_with_a_blank_is_one_word_of_the_next_command(tmp_path: Path) -> None:
    root = tmp_path / "o'brien, tone"
    shutil.copytree(EXAMPLE, root, ignore=shutil.ignore_patterns("infra"))
    for words in (("status", str(root)), ("status", "-C", str(root)), ("keys", "list", "-p", str(root))):
        ran = User(tmp_path / "home").run(*words)
        assert ran.document["next"] == ["remora", "up", str(root)]
    twice = User(tmp_path / "home").run("status", str(root), "-C", str(tmp_path))
    assert (twice.code, "given twice" in twice.message) == (2, True)
