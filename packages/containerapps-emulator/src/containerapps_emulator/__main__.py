"""`python -m containerapps_emulator`: the local cloud in the foreground, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from containerapps_emulator.connection import Connection
from containerapps_emulator.process import run_cloud
from remora.errors import RemoraError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the local cloud until it is stopped; return the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        asyncio.run(_run(options.home.expanduser() / "cloud", options.port, tls=options.tls))
    except RemoraError as error:
        _report(options.report, error)
        hint = f"\n{error.hint}" if error.hint else ""
        sys.stderr.write(f"error ({error.code}): {error.message}{hint}\n")
        return error.exit_code
    return 0


def _report(descriptor: int | None, error: RemoraError) -> None:
    if descriptor is not None:
        document = {"code": error.code, "message": error.message, "hint": error.hint}
        with contextlib.suppress(OSError):  # the parent process has closed the pipe
            os.write(descriptor, json.dumps(document).encode())


async def _run(folder: Path, port: int | None, *, tls: bool) -> None:
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m containerapps_emulator", description=__doc__)
    parser.add_argument(
        "--home",
        type=Path,
        default=Path(os.environ.get("REMORA_HOME") or "~/.remora"),
        help="where Remora keeps its state (default: $REMORA_HOME or ~/.remora)",
    )
    parser.add_argument("--port", type=int, help="the port for resources (default: the last one used)")
    parser.add_argument("--report", type=int, help="a file descriptor to report a startup error on")
    parser.add_argument(
        "--tls",
        action="store_true",
        help="also serve resources and files over HTTPS, with a certificate authority of its own in"
        " cloud/ca.pem, and sign-in as a managed identity: the Azure CLI needs both",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
