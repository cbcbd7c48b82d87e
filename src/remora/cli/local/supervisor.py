"""systemd or launchd, which restart the local cloud when it dies, after `remora cloud install`.

Owns their service files. The local cloud itself does not know about them.
"""

from __future__ import annotations

import os
import plistlib
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from remora.cli.local.emulator import FORMER_MODULE, MODULE, emulator_command
from remora.errors import Refused, writing

UNIT: Final = "remora-cloud.service"
LABEL: Final = "dev.remora.cloud"
ASK_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Supervisor:
    """A process supervisor of this machine; `file` tells it what to run.

    `pid` is a command that prints the id of the process that it runs, as the last word of a line.
    """

    name: str
    home: Path
    file: Path
    content: bytes
    begin: tuple[tuple[str, ...], ...]
    start: tuple[str, ...]
    pid: tuple[str, ...]
    end: tuple[tuple[str, ...], ...]

    @property
    def installed(self) -> bool:
        return self.file.exists()

    def install(self) -> None:
        """Write the file and start the cloud, now and at every sign-in. Raises Refused."""
        with writing(self.file):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_bytes(self.content)
        try:
            for command in self.begin:
                self._ask(command)
        except Refused:
            self.file.unlink(missing_ok=True)  # a file that stays would say that the cloud is supervised
            raise

    def uninstall(self) -> None:
        """Stop supervising, and stop the cloud. A no-op if it is not installed."""
        if self.installed:
            for command in self.end:
                self._ask(command)
            self.file.unlink(missing_ok=True)

    def start_now(self) -> bool:
        """Start an installed cloud; False if it is not installed or the supervisor failed."""
        if not self.installed:
            return False
        if self._starts_former_module():
            for command in self.end:
                _run(command)
            self.install()  # which also starts it
            return True
        return _run(self.start) is not None

    def _starts_former_module(self) -> bool:
        """Whether an earlier version wrote the file, for this home: the module that it starts is gone."""
        text = self.file.read_bytes()
        return FORMER_MODULE.encode() in text and str(self.home.absolute()).encode() in text

    def watches(self, pid: int) -> bool:
        """Whether the supervisor would restart this process."""
        told = _run(self.pid) if self.installed else None
        return told is not None and str(pid) in told.split()

    def _ask(self, command: Sequence[str]) -> None:
        if _run(command) is None:
            raise Refused(
                f"{self.name} did not accept {self.file}: `{shlex.join(command)}` failed",
                hint=f"try again in a session where {self.name} runs, or keep the cloud running yourself:"
                f" python -m {MODULE} --home {self.home}",
            )


def supervisor(home: Path, *, platform: str = sys.platform) -> Supervisor:
    """The supervisor of this operating system."""
    command = emulator_command(home.absolute(), "start")
    return _launchd(home, command) if platform == "darwin" else _systemd(home, command)


def _systemd(home: Path, command: Sequence[str]) -> Supervisor:
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"
    words = " ".join('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in command)
    content = (
        "[Unit]\nDescription=Remora's local cloud\n\n"
        f"[Service]\nExecStart={words.replace('%', '%%').replace('$', '$$')}\n"
        # `remora cloud stop` ends it with exit code 0, so it stays stopped; 9 means that another cloud runs.
        "Restart=on-failure\nRestartPreventExitStatus=9\nRestartSec=1\n\n"
        "[Install]\nWantedBy=default.target\n"
    )
    ask = ("systemctl", "--user")
    return Supervisor(
        name="systemd",
        home=home,
        file=folder / UNIT,
        content=content.encode(),
        begin=((*ask, "daemon-reload"), (*ask, "enable", "--now", UNIT)),
        start=(*ask, "start", UNIT),
        pid=(*ask, "show", "--property", "MainPID", "--value", UNIT),
        end=((*ask, "disable", "--now", UNIT),),
    )


def _launchd(home: Path, command: Sequence[str]) -> Supervisor:
    file = Path.home() / "Library" / "LaunchAgents" / f"{LABEL}.plist"
    log = str(home.absolute() / "cloud" / "cloud.log")
    document = {
        "Label": LABEL,
        "ProgramArguments": list(command),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "StandardErrorPath": log,
        "StandardOutPath": log,
    }
    domain = f"gui/{os.getuid()}"
    return Supervisor(
        name="launchd",
        home=home,
        file=file,
        content=plistlib.dumps(document),
        begin=(("launchctl", "bootstrap", domain, str(file)),),
        start=("launchctl", "kickstart", f"{domain}/{LABEL}"),
        pid=("launchctl", "list", LABEL),
        end=(("launchctl", "bootout", f"{domain}/{LABEL}"),),
    )


def _run(command: Sequence[str]) -> str | None:
    """The command's output; None if it does not exist or failed."""
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout.replace(";", " ") if ran.returncode == 0 else None
