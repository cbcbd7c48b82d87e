"""`remora` as a process: run to its end, or started and interrupted, with or without a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

# What a replica would spend ten seconds on, and what tests with a page or native code of their own look at.
PLAIN_REPLICAS = {"REMORA_SERVE_PAGE": "off", "REMORA_SERVE_NATIVE": "never"}
COMMAND_SECONDS = 600  # a bound, not a measure: on a busy machine the first `up` takes minutes


@dataclass(frozen=True, slots=True)
class Ran:
    """A finished command: its exit code, its JSON document, and what it said on stderr."""

    code: int
    document: dict[str, Any]
    stderr: str

    @property
    def message(self) -> str:
        """What an error says, and what to do next."""
        error = self.document["error"]
        return f"{error['message']} → {error['hint']}"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a Remora home of their own. `settings` are more of the environment."""

    home: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("AZURE_", "REMORA_"))}
        own = {"REMORA_HOME": str(self.home), "REMORA_OUTPUT": "json"}
        return {**clean, **PLAIN_REPLICAS, **own, **self.settings}

    def run(self, *arguments: str) -> Ran:
        return finish(self.start(*arguments))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "remora", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def at_terminal(self, *arguments: str) -> Terminal:
        return Terminal(self, arguments)


def finish(process: subprocess.Popen[str], seconds: float = COMMAND_SECONDS) -> Ran:
    stdout, stderr = process.communicate(timeout=seconds)
    assert "Traceback" not in stderr, stderr
    return Ran(process.returncode, json.loads(stdout) if stdout.strip() else {}, stderr)


class Terminal:
    """A command that somebody watches: questions can be answered, Ctrl+C is a signal."""

    def __init__(self, user: User, arguments: tuple[str, ...]) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "remora", *arguments],
            env={**user.environment, "TERM": "xterm", "COLUMNS": "200"},
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 4096)
            except OSError:  # the command has ended
                return
            self.shown += data.decode(errors="replace")

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def answer(self, text: str) -> None:
        os.write(self._ours, f"{text}\n".encode())

    def finish(self) -> Ran:
        assert self.process.stdout is not None
        stdout = self.process.stdout.read()
        code = self.process.wait(COMMAND_SECONDS)
        self._reader.join(COMMAND_SECONDS)
        os.close(self._ours)
        self.process.stdout.close()
        assert "Traceback" not in self.shown, self.shown
        return Ran(code, json.loads(stdout) if stdout.strip() else {}, self.shown)
