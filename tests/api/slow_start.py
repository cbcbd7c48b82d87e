"""An endpoint in a process of its own whose model loads until it is told to go on.

`python -m tests.api.slow_start FOLDER`: prints its URL; serves when it reads a line, fails if that is `fail`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.api.endpoint_builder import KEYS
from tests.cli.trained_folder import make_base

from remora.adapters.model_set import ModelSet
from remora.adapters.peft.base_shape import read_base
from remora.engine.base import Engine
from remora.engine.echo import EchoEngine
from remora.engine.loading import PROGRESS
from remora.errors import LoadFailed
from remora.server.listening import bind
from remora.server.serving import serve
from remora.server.settings import ServerSettings


@dataclass(frozen=True, slots=True)
class SlowStart:
    """A process that loads. `url` answers what it can meanwhile."""

    url: str
    process: subprocess.Popen[str]

    def go(self, how: str = "on") -> None:
        """Let it serve, or `fail`."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{how}\n")
        self.process.stdin.flush()


@contextmanager
def slow_start(folder: Path) -> Iterator[SlowStart]:
    """One that has said `loading weights 12 of 28`."""
    command = [sys.executable, "-m", "tests.api.slow_start", str(folder)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command,
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield SlowStart(process.stdout.readline().strip(), process)
        finally:
            process.kill()


def main(folder: Path) -> None:
    make_base(folder, "base")
    listener = bind("127.0.0.1", 0)

    def load(_: ModelSet) -> Engine:
        PROGRESS.info("loading weights %d of %d", 12, 28)
        sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        if sys.stdin.readline() == "fail\n":
            raise LoadFailed("the weights cannot be read", hint="look at them")
        return EchoEngine()

    models = ModelSet("tone-base", read_base(folder / "base"), ())
    serve(listener, models, load, ServerSettings(api_keys=KEYS), lambda _: None)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
