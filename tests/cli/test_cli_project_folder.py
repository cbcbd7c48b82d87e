"""The project's folder is given to every command in the same way: as FOLDER, last, or with -C."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from remora.cli.main import COMMANDS

WITHOUT_PROJECT = {
    "adapters convert",  # a file
    "bicep build",  # a file, or a project's folder
    "bicep check",
    "completion",
    "explain",
    "help",
    *(
        f"cloud {name}"
        for name in ("env", "faults", "install", "reset", "start", "status", "stop", "uninstall")
    ),
}
ROOT = Path("some project")


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by the words that call it."""
    for command in (each for group in COMMANDS.values() for each in group):
        found: Any = typer.main.get_command(importlib.import_module(command.module).app)
        inner = getattr(found, "commands", None)
        if inner is None:
            yield command.name, found
        else:
            yield from ((f"{command.name} {name}", each) for name, each in inner.items())


ALL = dict(commands())


def test_the_commands_without_a_project_are_these() -> None:
    assert {name for name, found in ALL.items() if not takes_folder(found)} == WITHOUT_PROJECT


def takes_folder(command: Any) -> bool:
    return any(each.name == "folder" for each in command.params)


@pytest.mark.parametrize("name", sorted(ALL.keys() - WITHOUT_PROJECT))
def test_a_command_takes_folder_last_or_with_an_option(name: str) -> None:
    command = ALL[name]
    before = [each.name for each in command.params if each.param_type_name == "argument" and each.required]
    given = [f"the-{word}" for word in before]
    required = [
        word
        for each in command.params
        if each.param_type_name == "option" and each.required
        for word in (each.opts[0], "x")
    ]
    named = command.make_context(name, [*given, str(ROOT), *required]).params
    assert (named["folder"], named["folder_option"]) == (ROOT, None)
    for flag in ("-C", "--folder"):
        chosen = command.make_context(name, [*given, flag, str(ROOT), *required]).params
        assert chosen["folder_option"] == ROOT
        assert chosen["folder"] == Path()
    assert [str(named[each]) for each in before] == given
