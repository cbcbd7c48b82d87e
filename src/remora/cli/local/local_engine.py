"""The engine on this machine, while a command asks it. Owns the process; asks nothing."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import IO

from remora.cli.output.console import Mode
from remora.errors import EngineFailed
from remora.rollout.endpoint import Endpoint

_READY = "ready on "
_KEY_BYTES = 24
_PLAIN = {f"REMORA_SERVE_{name}": "off" for name in ("PAGE", "LOG", "PROOF")}  # nobody looks at them


@contextmanager
def local_endpoint(folder: Path) -> Iterator[Endpoint]:
    """Run `remora serve` for the folder while the block runs, on a free port and with a key of its own."""
    key = secrets.token_urlsafe(_KEY_BYTES)
    environment = {**os.environ, **_PLAIN, "REMORA_API_KEY": key, "REMORA_OUTPUT": Mode.JSON}
    command = [sys.executable, "-m", "remora", "serve", str(folder), "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            with Endpoint(_url_of(process), key) as endpoint:
                for stream in (process.stdout, process.stderr):
                    Thread(target=_read_to_its_end, args=(stream,), daemon=True).start()
                yield endpoint
        finally:
            process.kill()  # it is ours and has no state; a graceful stop would take seconds


def _read_to_its_end(stream: IO[str]) -> None:
    """A server whose pipe is full waits for a reader."""
    with suppress(ValueError):  # it was closed meanwhile
        for _ in stream:
            pass


def _url_of(process: subprocess.Popen[str]) -> str:
    """The URL of the server, once it is ready. Raises EngineFailed with its own reason if it exits first."""
    last = ""
    for line in process.stderr or ():
        if line.startswith(_READY):
            return line.removeprefix(_READY).strip()
        last = line.strip() or last
    what, hint = last, "look at what it says: remora serve"
    with suppress(ValueError, KeyError):  # it was killed, and told nothing
        error = json.loads(process.stdout.read() if process.stdout else "")["error"]
        what, hint = error["message"], error["hint"]
    raise EngineFailed(f"the engine on this machine did not start: {what}", hint=hint)
