"""The command line: `containerapps-emulator [start|status|env|stop|reset]`. Without a command it starts.

Data goes to stdout, all else to stderr. An error ends it with the exit code of its kind.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from containerapps_emulator import __version__
from containerapps_emulator.connection import Connection
from containerapps_emulator.errors import HINTS, EmulatorError, Hints

PROGRAM: Final = "containerapps-emulator"
HOME_VARIABLE: Final = "CONTAINERAPPS_EMULATOR_HOME"
INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = _parser().parse_args(_with_command(sys.argv[1:] if arguments is None else arguments))
    if options.hints:
        HINTS.set(options.hints)
    command: Callable[[argparse.Namespace, Path], None] = options.run
    try:
        command(options, options.home.expanduser().absolute() / "cloud")
    except EmulatorError as error:
        _report(options.report, error)
        hint = f"\n{error.hint}" if error.hint else ""
        sys.stderr.write(f"error ({error.code}): {error.message}{hint}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _start(options: argparse.Namespace, folder: Path) -> None:
    """serve in the foreground, until SIGTERM or Ctrl+C"""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_serve(folder, options.port, tls=options.tls))


async def _serve(folder: Path, port: int | None, *, tls: bool) -> None:
    from containerapps_emulator.process import run_cloud  # the other commands need nothing of it

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run_cloud(folder, port=port, tls=tls, stop=stop, ready=_announce)


def _announce(connection: Connection) -> None:
    sys.stderr.write(
        f"The local cloud is ready: resources at {connection.arm_url}, files at {connection.files_url}\n"
    )
    sys.stderr.flush()


def _status(_: argparse.Namespace, folder: Path) -> None:
    """say where it listens, or that it does not run (exit code 7)"""
    from containerapps_emulator.control.running import running

    connection = running(folder)
    isolated = "is" if connection.isolated else "is not"
    sys.stdout.write(
        f"The local cloud runs at {connection.arm_url} (process {connection.pid},"
        f" version {connection.version})\n"
        f"  files  {connection.files_url}\n"
        f"  state  {folder}\n"
        f"  writes a container {isolated} kept from writing outside its own folders\n"
    )


def _env(_: argparse.Namespace, folder: Path) -> None:
    """print its addresses, and what `az` needs, as exports for a shell"""
    from containerapps_emulator.control.running import exports, running

    for name, value in exports(running(folder)).items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


def _stop(_: argparse.Namespace, folder: Path) -> None:
    """stop it and its apps; resources and files stay"""
    from containerapps_emulator.control.running import stop

    stop(folder)


def _reset(options: argparse.Namespace, folder: Path) -> None:
    """start again with an empty state; prints the folder to which the old state is moved"""
    from containerapps_emulator.control.reset import set_aside

    sys.stdout.write(f"{set_aside(folder, keep_shares=options.keep_shares)}\n")


COMMANDS: Final = {"start": _start, "status": _status, "env": _env, "stop": _stop, "reset": _reset}


def _with_command(words: Sequence[str]) -> list[str]:
    """The words with `start` before them where they begin with an option of it."""
    asks_for_help = set(words[:1]) & {"-h", "--help", "--version"}
    is_bare = not words or (words[0].startswith("-") and not asks_for_help)
    return ["start", *words] if is_bare else list(words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Azure Container Apps on this machine: Resource Manager, Container Apps, Azure Files and"
        " Log Analytics on loopback. Without a command it starts.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run in COMMANDS.items():
        command = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
        command.set_defaults(run=run)
        _add_common(command)
        if run is _start:
            _add_start(command)
        if run is _reset:
            command.add_argument(
                "--keep-shares", action="store_true", help="keep the files on the shares where they are"
            )
    return parser


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--home",
        type=Path,
        default=Path(os.environ.get(HOME_VARIABLE) or "~/.containerapps-emulator"),
        help=f"where it keeps its state (default: ${HOME_VARIABLE} or ~/.containerapps-emulator)",
    )
    command.add_argument("--report", type=int, help="a file descriptor to report an error on, as JSON")
    command.add_argument(
        "--hints",
        type=_hints,
        help="JSON with the hints of a program that starts it for its own users",
    )


def _add_start(command: argparse.ArgumentParser) -> None:
    command.add_argument("--port", type=int, help="the port for resources (default: the last one used)")
    command.add_argument(
        "--tls",
        action="store_true",
        help="also serve resources and files over HTTPS, with a certificate authority of its own in"
        " cloud/ca.pem, and sign-in as a managed identity: the Azure CLI needs both",
    )


def _hints(text: str) -> Hints:
    return Hints(**json.loads(text))


def _report(descriptor: int | None, error: EmulatorError) -> None:
    if descriptor is not None:
        document = {"code": error.code, "message": error.message, "hint": error.hint}
        with contextlib.suppress(OSError):  # the parent process has closed the pipe
            os.write(descriptor, json.dumps(document).encode())


if __name__ == "__main__":
    sys.exit(main())
