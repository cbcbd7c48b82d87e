"""Types commands into a shell in tmux and keeps what its screen shows, in a temporary folder and home."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.ansi import AnsiDecoder
from rich.text import Text

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "tone"
PHRASE: Final = "I finally got the job I wanted"
COMMANDS: Final = (
    "remora up tone --yes",
    f'remora chat tone --model tone-base --message "{PHRASE}"',
    f'remora chat tone --model tone --message "{PHRASE}"',
    f'remora chat tone --model pirate --message "{PHRASE}"',
    "remora adapters list tone",
)
PROMPT: Final = "$ "
COLUMNS: Final = 100
ROWS: Final = 200  # nothing scrolls out of sight; the drawing shows the last of them
LOOK_SECONDS: Final = 0.1
KEY_SECONDS: Final = 0.03
READ_SECONDS: Final = 2.0
BOUND_SECONDS: Final = 900.0  # for what hangs


@dataclass(frozen=True, slots=True)
class Frame:
    """What the screen shows from `seconds` on."""

    seconds: float
    rows: tuple[Text, ...]


def record() -> list[Frame]:
    """The frames of all commands. Ends the shell and the local cloud that they started."""
    with shell() as (screen, _):
        for command in COMMANDS:
            screen.run(command)
            screen.rest()
        return screen.frames


@contextmanager
def shell(columns: int = COLUMNS) -> Iterator[tuple[Screen, Path]]:
    """A shell in a folder of its own, with the example in it, which is there for the block."""
    if shutil.which("tmux") is None:
        sys.exit("tmux is missing: apt-get install tmux")
    with tempfile.TemporaryDirectory(prefix="remora-cast-") as folder:
        place = Path(folder)
        shutil.copytree(EXAMPLE, place / "tone", ignore=shutil.ignore_patterns("infra"))
        environment = _environment(place)
        screen = Screen(place, environment, columns)
        try:
            yield screen, place
        finally:
            screen.close()
            subprocess.run(["remora", "cloud", "stop"], env=environment, check=False, capture_output=True)


def _environment(place: Path) -> dict[str, str]:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: os.environ[name] for name in ("LANG", "OMP_WAIT_POLICY") if name in os.environ}
    own = {"PATH": programs, "HOME": str(place), "REMORA_HOME": str(place / "home"), "LC_ALL": "C.UTF-8"}
    return {**kept, **own, "COLORTERM": "truecolor"}


class Screen:
    """A shell in a tmux of its own, which is reached by a socket in `place`."""

    def __init__(self, place: Path, environment: dict[str, str], columns: int = COLUMNS) -> None:
        self.frames: list[Frame] = []
        self._environment = environment
        self._tmux = ("tmux", "-S", str(place / "tmux"), "-f", "/dev/null")
        self._started = time.monotonic()
        shell = ("env", f"PS1={PROMPT}", "bash", "--norc", "--noprofile")
        size = ("-x", str(columns), "-y", str(ROWS))
        self._do("new-session", "-d", *size, "-c", str(place), *shell)
        self._do("set-option", "-g", "status", "off")

    def run(self, command: str) -> None:
        """Type a command at the prompt, and look until the next prompt is there."""
        self.watch(self.is_waiting)
        self.type(command)
        self.watch(self.is_waiting)

    def type(self, command: str) -> None:
        """Type a command as somebody would, and send it."""
        for key in command:
            self._do("send-keys", "-l", key)
            time.sleep(KEY_SECONDS)
            self._look()
        self._do("send-keys", "Enter")

    def watch(self, ended: Callable[[], bool]) -> None:
        """Look until it has ended."""
        deadline = time.monotonic() + BOUND_SECONDS
        while self._look() or not ended():
            if time.monotonic() > deadline:
                sys.exit("the command did not end:\n" + Text("\n").join(self.frames[-1].rows).plain)
            time.sleep(LOOK_SECONDS)

    def rest(self) -> None:
        """Time to read."""
        time.sleep(READ_SECONDS)

    def is_waiting(self) -> bool:
        """Whether the last row is a prompt without a command."""
        rows = self.frames[-1].rows if self.frames else ()
        return bool(rows) and rows[-1].plain.rstrip() == PROMPT.rstrip()

    def close(self) -> None:
        self._do("kill-server")

    def _look(self) -> bool:
        """Keep what is shown, and say whether it has changed."""
        # A colour lasts into the next row, so all rows are decoded together.
        rows = tuple(AnsiDecoder().decode(self._do("capture-pane", "-p", "-e").rstrip()))
        if self.frames and self.frames[-1].rows == rows:
            return False
        self.frames.append(Frame(time.monotonic() - self._started, rows))
        return True

    def _do(self, *words: str) -> str:
        done = subprocess.run(
            [*self._tmux, *words], env=self._environment, check=True, capture_output=True, text=True
        )
        return done.stdout
