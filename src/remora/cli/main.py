"""The entry point: the table of commands, and how an error becomes an exit code.

`remora --help` is printed from the table below without importing any command, so that it stays fast.
"""

from __future__ import annotations

import importlib
import keyword
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from remora.cli.ctrl_c import interrupt_at_once, interrupt_outside_libraries
from remora.cli.output.streams import SIGPIPE_EXIT, cannot_print, make_streams_safe, silence, takes_data
from remora.collector import collect_seldom

if TYPE_CHECKING:
    from remora.errors import RemoraError


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the table: its module exposes `app`, a Typer application.

    The module is named after the command, with an underscore appended if the name is a Python keyword.
    """

    name: str
    summary: str

    @property
    def module(self) -> str:
        return f"remora.cli.commands.{self.name}{'_' if keyword.iskeyword(self.name) else ''}"


COMMANDS: dict[str, tuple[Command, ...]] = {
    "Start here": (
        Command("up", "Find, provision, deploy and check in one go; safe to run again"),
        Command("import", "Read an AI Toolkit project; switch it to Remora's program"),
        Command("init", "Find base model and adapters; write remora.toml and infra/"),
    ),
    "Step by step": (
        Command("plan", "Show what provision and deploy would do, without doing it"),
        Command("provision", "Create or update the cloud resources"),
        Command("deploy", "Sync what changed and roll out a new revision"),
        Command("rollback", "Switch the traffic back to the previous release"),
        Command("stop", "Stop the app without removing it"),
        Command("start", "Start an app that was stopped"),
        Command("export", "Write what is deployed as Kubernetes manifests or a Compose file"),
        Command("down", "Remove what provision created"),
    ),
    "Inspect and use": (
        Command("status", "Show what runs, where, and whether it answers"),
        Command("why", "Show what happened in the last deploy, the cause, and the way out"),
        Command("cost", "Show what runs, since when, and what it costs"),
        Command("warm", "Wake the endpoint, and wait until it answers"),
        Command("open", "Open the endpoint's chat page in the browser"),
        Command("chat", "Chat with the endpoint in the terminal"),
        Command("history", "Show who changed the endpoint, when, and the result"),
        Command("golden", "Record and check golden prompts"),
        Command("eval", "Measure how well base and adapters answer pairs of prompt and answer"),
        Command("compare", "Show what an adapter changes, as a report with intervals"),
        Command("explain", "Say what an error code means and what to do"),
        Command("help", "Explain a subject, such as settings, keys or exit codes"),
        Command("logs", "Print or follow the container's logs"),
        Command("adapters", "Check adapters; push, roll back and remove them without a deploy"),
        Command("env", "Print base URL, key and model names for OpenAI's clients"),
        Command("secrets", "Show the endpoint's API key"),
        Command("keys", "List, add and remove API keys by name, and the admin key"),
    ),
    "On this machine": (
        Command("serve", "Serve a folder of adapters on this machine, without a cloud"),
        Command("cloud", "Start, stop and inspect the local cloud"),
        Command("bicep", "Compile a Bicep file without the Bicep CLI, or compare the two compilers"),
        Command("completion", "Print the script that completes commands in bash, zsh or fish"),
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

Subjects:
  remora help adapters, azure, completion, exit-codes, golden, keys or settings
"""
COMPLETION_VARIABLE = "_REMORA_COMPLETE"  # set by the script of `remora completion`
SUBJECTS = frozenset({"adapters", "completion", "golden", "keys"})  # of `remora help`; commands, too


def help_text() -> str:
    """The text of `remora --help`."""
    groups = (
        "\n".join([f"\n{title}:", *(f"  {command.name:<11} {command.summary}" for command in commands)])
        for title, commands in COMMANDS.items()
    )
    return HEAD + "\n".join(groups) + "\n" + TAIL


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run `remora`; never returns, and prints no traceback unless REMORA_DEBUG=1."""
    argv = sys.argv[1:] if arguments is None else arguments
    if arguments is None:  # the process is this command's
        collect_seldom()
    make_streams_safe()
    interrupt_outside_libraries()
    try:
        code = _run(argv)
        sys.stdout.flush()
    except KeyboardInterrupt:  # all that was left to do is printing
        from remora.errors import Interrupted

        code = Interrupted.exit_code
    except BrokenPipeError:
        code = SIGPIPE_EXIT
        silence(sys.stdout)
    except OSError as error:
        code = _report(cannot_print(error), argv)
    if arguments is None:  # and ends here
        interrupt_at_once()
    sys.exit(code)


def _run(argv: list[str]) -> int:
    if COMPLETION_VARIABLE in os.environ:
        from remora.cli.shell_words import offer_words

        offer_words([command for group in COMMANDS.values() for command in group])
    if (text := _answer(argv)) is not None:
        sys.stdout.write(text)
        return 0
    from remora.errors import InvalidInput, RemoraError, disk_error, said

    try:
        commands = {command.name: command for group in COMMANDS.values() for command in group}
        if argv[0] == "help" and argv[1] in commands.keys() - SUBJECTS:
            argv = [*argv[1:], "--help"]
        if argv[0] not in commands:
            raise InvalidInput(
                f"there is no command {argv[0]!r}", hint=_did_you_mean(argv[0], list(commands))
            )
        return _invoke(commands[argv[0]], argv[1:])
    except RemoraError as error:
        return _report(error, argv)
    except KeyboardInterrupt:
        from remora.errors import Interrupted

        return _report(Interrupted("interrupted; operations that were started in the cloud continue"), argv)
    except BrokenPipeError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and not takes_data(sys.stdout):
            return _report(cannot_print(error), argv)
        if os.environ.get("REMORA_DEBUG") == "1":
            raise
        unexpected = disk_error(error) or RemoraError(
            f"unexpected {type(error).__name__}: {said(error)}",
            hint="run again with REMORA_DEBUG=1 for the details",
        )
        return _report(unexpected, argv)


def _answer(argv: list[str]) -> str | None:
    """The output of `--help` and `--version`, which need no command."""
    if not argv or argv[0] in ("--help", "-h") or argv == ["help"]:
        return help_text()
    if argv[0] in ("--version", "-V"):
        from remora import __version__

        return f"remora {__version__}\n"
    return None


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
    from remora.cli.output.console import Mode, Output

    asked = _asked_output(argv)
    Output(Mode(asked) if asked in set(Mode) else Mode.HUMAN).error(error)
    return error.exit_code


def _asked_output(argv: list[str]) -> str:
    """The output mode, read before parsing because the parser itself can raise an error."""
    asked = os.environ.get("REMORA_OUTPUT", "")
    for flag, value in zip(argv, [*argv[1:], ""], strict=False):
        if flag in ("--output", "-o"):
            asked = value
        elif flag.startswith("--output="):
            asked = flag.partition("=")[2]
    return asked


def _did_you_mean(word: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean: remora {near[0]}" if near else "see: remora --help"
