"""A server as a process of its own: started, waited for, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from benchmarks.serving.memory import forget_peak, peak_mib, resident_mib
from benchmarks.serving.servers import Server

START_SECONDS = 600
STOP_SECONDS = 20


class Running:
    """A process group that listens on `port`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.port = port
        self._process = process

    def memory_mib(self) -> float:
        """What the process itself holds now."""
        return resident_mib(self._process.pid)

    def peak_memory_mib(self) -> float:
        """The most that it and its children held since it began, or since that was forgotten."""
        return peak_mib(self._process.pid)

    def forget_peak_memory(self) -> None:
        forget_peak(self._process.pid)


@contextmanager
def started(server: Server, models: Path, adapters: int) -> Iterator[Running]:
    """The server, ready. Raises RuntimeError with the end of what it printed where it does not get there."""
    port = _free_port()
    with tempfile.NamedTemporaryFile(prefix="remora-bench-") as log:
        process = subprocess.Popen(
            server.command(models, adapters, port),
            stdout=log,
            stderr=log,
            env={**os.environ, **server.environment},
            start_new_session=True,
        )
        try:
            _wait(server, process, port, Path(log.name))
            yield Running(process, port)
        finally:
            _stop(process)


def _wait(server: Server, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(httpx.HTTPError):
            answer = httpx.get(f"http://127.0.0.1:{port}{server.ready_path}", timeout=5)
            if answer.status_code == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"it did not start: {log.read_text(errors='replace')[-800:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Its children too, whether or not it ends them itself."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
