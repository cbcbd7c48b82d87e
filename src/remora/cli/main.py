"""The entry point: which command lives where, and how an error becomes an exit code.

`remora --help` is printed from the table below without importing any command: it must stay cheap.
"""

from __future__ import annotations

import importlib
import keyword
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from remora.errors import RemoraError


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the table: its module exposes `app`, a Typer application.

    The module is called as the command, with an underscore behind a word that Python keeps for itself.
    """

    name: str
    summary: str

    @property
    def module(self) -> str:
        return f"remora.cli.{self.name}{'_' if keyword.iskeyword(self.name) else ''}"


COMMANDS: dict[str, tuple[Command, ...]] = {
    "Start here": (
        Command("up", "Do it all: find, provision, deploy, check; safe to run again"),
        Command("import", "Understand an AI Toolkit project; switch it to Remora's program"),
        Command("init", "Find base model and adapters; write remora.toml and infra/"),
    ),
    "Step by step": (
        Command("plan", "Show what provision and deploy would do, before anything happens"),
        Command("provision", "Create or update the cloud resources"),
        Command("deploy", "Sync what changed and roll out a new revision"),
        Command("rollback", "Give the traffic back to the release that served before"),
        Command("down", "Remove what provision created"),
    ),
    "Look and use": (
        Command("status", "What runs, where, and whether it answers"),
        Command("open", "Open the endpoint's chat page in the browser"),
        Command("chat", "Chat with the endpoint in the terminal"),
        Command("history", "Who changed the endpoint, when, and what came of it"),
        Command("golden", "Record and check golden prompts"),
        Command("logs", "Print or follow what the container prints"),
        Command("adapters", "Check adapters; push, roll back and remove them without a deploy"),
        Command("secrets", "Show the endpoint's API key"),
        Command("keys", "List, add and remove API keys by name, and the admin key"),
    ),
    "On this machine": (
        Command("serve", "Serve a folder of adapters right here, without any cloud"),
        Command("cloud", "Start, stop and inspect the local cloud"),
    ),
}

HEAD = """Usage: remora COMMAND [OPTIONS]

Turn a folder of LoRA adapters into an inference endpoint.

Examples:
  remora up examples/tone          from a folder to an answering endpoint
  remora chat --model tone         talk to an adapter
"""

TAIL = """
Options:
  --version   Print the version.
  --help      Print this help. Each command has its own: remora up --help
"""


def help_text() -> str:
    """The text of `remora --help`."""
    groups = (
        "\n".join([f"\n{title}:", *(f"  {command.name:<11} {command.summary}" for command in commands)])
        for title, commands in COMMANDS.items()
    )
    return HEAD + "\n".join(groups) + "\n" + TAIL


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run `remora`; never returns and never prints a traceback unless REMORA_DEBUG=1."""
    argv = sys.argv[1:] if arguments is None else arguments
    if not argv or argv[0] in ("--help", "-h", "help"):
        sys.stdout.write(help_text())
        sys.exit(0)
    if argv[0] in ("--version", "-V"):
        from remora import __version__

        sys.stdout.write(f"remora {__version__}\n")
        sys.exit(0)
    sys.exit(_run(argv))


def _run(argv: list[str]) -> int:
    from remora.errors import InvalidInput, RemoraError

    try:
        commands = {command.name: command for group in COMMANDS.values() for command in group}
        if argv[0] not in commands:
            raise InvalidInput(
                f"there is no command {argv[0]!r}", hint=_did_you_mean(argv[0], list(commands))
            )
        return _invoke(commands[argv[0]], argv[1:])
    except RemoraError as error:
        return _report(error, argv)
    except KeyboardInterrupt:
        from remora.errors import Interrupted

        return _report(Interrupted("interrupted; what was started in the cloud goes on running"), argv)
    except Exception as error:
        if os.environ.get("REMORA_DEBUG") == "1":
            raise
        unexpected = RemoraError(
            f"unexpected {type(error).__name__}: {error}",
            hint="run again with REMORA_DEBUG=1 for the details",
        )
        return _report(unexpected, argv)


def _invoke(command: Command, arguments: list[str]) -> int:
    import typer
    from typer.exceptions import TyperException

    from remora.errors import InvalidInput

    app: typer.Typer = importlib.import_module(command.module).app
    try:
        result = typer.main.get_command(app).main(
            arguments, prog_name=f"remora {command.name}", standalone_mode=False
        )
    except typer.Abort as abort:
        raise KeyboardInterrupt from abort
    except TyperException as error:
        raise InvalidInput(error.format_message(), hint=f"see: remora {command.name} --help") from error
    return result if isinstance(result, int) else 0


def _report(error: RemoraError, argv: list[str]) -> int:
    if os.environ.get("REMORA_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    from remora.cli.output import Mode, Output

    asked = _asked_output(argv)
    Output(Mode(asked) if asked in set(Mode) else Mode.HUMAN).error(error)
    return error.exit_code


def _asked_output(argv: list[str]) -> str:
    """Read before parsing, since an error can come from the parser itself."""
    asked = os.environ.get("REMORA_OUTPUT", "")
    for flag, value in zip(argv, [*argv[1:], ""], strict=True):
        if flag in ("--output", "-o"):
            asked = value
        elif flag.startswith("--output="):
            asked = flag.partition("=")[2]
    return asked


def _did_you_mean(word: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean: remora {near[0]}" if near else "see: remora --help"
