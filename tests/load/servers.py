"""Servers under load: processes of their own, so that their memory is theirs. Owns starting them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FULL = os.environ.get("REMORA_LOAD") == "full"
DEADLINE_SECONDS = 300.0 if FULL else 60.0
ROOT = Path(__file__).parents[2]
KEY = "a-key-for-load"


def size(full: int, short: int) -> int:
    """The full number with `make load`, a short one in CI."""
    return full if FULL else short


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that listens on loopback."""

    process: subprocess.Popen[str]
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def resident_bytes(self) -> int:
        """Memory that the process has now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def echo_server() -> Iterator[ServerProcess]:
    """The endpoint over the echo engine, without a page."""
    with _started([sys.executable, "-m", "tests.load.echo_server"], {}) as server:
        yield server


@contextmanager
def project_server(project: Path, home: Path) -> Iterator[ServerProcess]:
    """`remora serve` of a folder, with its real engine."""
    main = "from remora.cli.main import main; main()"
    command = [sys.executable, "-c", main, "serve", str(project), "--port", "0"]
    variables = {
        "REMORA_HOME": str(home),
        "REMORA_API_KEY": KEY,
        "REMORA_SERVE_MAX_QUEUED_REQUESTS": "1000",
    }
    with _started(command, variables) as server:
        yield server


@contextmanager
def _started(command: list[str], variables: Mapping[str, str]) -> Iterator[ServerProcess]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REMORA_")}
    environment = {**clean, "OMP_NUM_THREADS": "1", "REMORA_SERVE_LOG": "off", **variables}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield _ready(process)
        finally:
            process.kill()


def _ready(process: subprocess.Popen[str]) -> ServerProcess:
    said = []
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"ready on http://([0-9.]+):([0-9]+)", line):
            return ServerProcess(process, found[1], int(found[2]))
    raise AssertionError("".join(said))
