"""What a container can write to: its own folders and its volumes, where the kernel allows to bind it to that.

Owns which folders those are and whether the kernel allows it; the mounting itself is the launcher's.
"""

from __future__ import annotations

import asyncio
import site
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from containerapps_emulator.apps.replicas.container import Bind, launcher_command

PROBE_SECONDS: Final = 30
TEMPORARY: Final = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - each container gets its own in their place


@dataclass(frozen=True, slots=True)
class Own:
    """The folders of one container; the last two it shares with the other replicas of its app."""

    working: Path
    temporary: Path
    home: Path
    environment: Path

    def make(self) -> None:
        for folder in (self.working, self.temporary, self.home):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def binds(self) -> tuple[Bind, ...]:
        """Their places in a container that can write nowhere else; what lies below /tmp stays in sight."""
        hidden = [folder.resolve() for folder in TEMPORARY if folder.is_dir()]
        temporary = [Bind(str(self.temporary), str(folder)) for folder in hidden]
        writable = [Bind(str(folder), str(folder)) for folder in (self.working, self.home, self.environment)]
        seen = [Bind(str(folder), str(folder), read_only=True) for folder in _below(hidden, interpreter())]
        return (*temporary, *seen, *writable)


def packages() -> tuple[Path, ...]:
    """Where the packages lie that this very program runs with."""
    folders = [*site.getsitepackages(), site.getusersitepackages()]
    return tuple(Path(folder).resolve() for folder in folders if folder in sys.path)


def interpreter() -> tuple[Path, ...]:
    """The folders that a Python made from this one needs."""
    return (Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), *packages())


def _below(parents: Iterable[Path], folders: Iterable[Path]) -> list[Path]:
    parents = list(parents)
    return [folder for folder in folders if any(folder.is_relative_to(parent) for parent in parents)]


class Kernel:
    """Asks once what the kernel and our rights allow: the launcher is told to do it."""

    def __init__(self, *, allowed: bool = True) -> None:
        """`allowed=False` asks for nothing: a machine without mount namespaces."""
        self._allowed = allowed
        self._answers: dict[str, asyncio.Task[bool]] = {}

    async def isolates(self) -> bool:
        """Whether a container can be kept from writing anywhere but to its own."""
        return await self._ask("", isolated=True)

    async def binds(self, target: str) -> bool:
        """Whether a folder can be bound there."""
        return await self._ask(target, isolated=False)

    async def _ask(self, target: str, *, isolated: bool) -> bool:
        if not self._allowed:
            return False
        if target not in self._answers:
            trying = asyncio.to_thread(_try, target or str(TEMPORARY[0]), isolated=isolated)
            self._answers[target] = asyncio.create_task(trying)
        asked = self._answers[target]
        try:
            return await asyncio.shield(asked)
        except Exception:  # no answer yet: the next container asks again
            self._answers.pop(target, None)
            raise


def _try(target: str, *, isolated: bool) -> bool:
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryDirectory() as source, ours, theirs:
        command = launcher_command(theirs.fileno(), ("true",), (Bind(source, target),), isolated=isolated)
        try:
            subprocess.run(
                command,
                pass_fds=(theirs.fileno(),),
                cwd="/",
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PROBE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        ours.setblocking(False)
        try:
            return ours.recv(64) == b"exit 0\n"
        except BlockingIOError:
            return False
