"""What a shell may offer after the words that are typed so far, for the script of `remora completion`.

Typer answers, for a group of all commands; only the command that is typed already is imported.
"""

from __future__ import annotations

import importlib
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from remora.cli.main import Command

_TYPED: Final = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")  # bash; zsh and fish


def offer_words(commands: Sequence[Command]) -> None:
    """Print what fits, in the form of the shell that VARIABLE names, and exit."""
    typed = _typed(os.environ)
    root = typer.Typer()
    for command in commands:
        if command.name == typed:
            _add(root, command, importlib.import_module(command.module).app)
        else:
            root.command(command.name, help=command.summary)(_nothing)
    typer.main.get_command(root)(prog_name="remora")


def _add(root: typer.Typer, command: Command, app: typer.Typer) -> None:
    """As a group, or as the one command that the module has."""
    if len(app.registered_commands) > 1:
        root.add_typer(app, name=command.name, help=command.summary)
        return
    callback: Callable[..., None] | None = app.registered_commands[0].callback
    if callback is not None:
        root.command(command.name, help=command.summary)(callback)


def _typed(environment: Mapping[str, str]) -> str:
    """The command that is typed already; "" where there is none yet."""
    line = next((environment[name] for name in _TYPED if environment.get(name)), "")
    try:
        words = shlex.split(line)
    except ValueError:  # a quote that is not closed yet
        words = line.split()
    return words[1] if len(words) > 1 else ""


def _nothing() -> None: ...
