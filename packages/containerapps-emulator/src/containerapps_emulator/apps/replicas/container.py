"""One running container: a process group under the launcher, and the killing of groups a crash left behind.

Knows nothing of probes, restarts or revisions.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from containerapps_emulator.background import in_background, surviving

LAUNCHER: Final = Path(__file__).with_name("launcher.py")
KILLED: Final = 128 + signal.SIGKILL
OUTPUT_AFTER_EXIT_SECONDS: Final = 1.0
LAUNCHER_SECONDS: Final = 2.0  # a launcher that does not react in this time is killed with its group
LINE_BYTES: Final = 16 * 1024  # longer lines are cut, as a container runtime does


@dataclass(frozen=True, slots=True)
class Bind:
    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Launch:
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    binds: tuple[Bind, ...]
    isolated: bool = False
    """Whether it can write to what `binds` mounts, and nowhere else."""


class Container:
    """Started by `start`; ends by itself, by `terminate` or with the control plane."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._ended: asyncio.Task[int] | None = None

    @classmethod
    async def start(cls, launch: Launch, on_line: Callable[[str], None]) -> Container:
        """Raises OSError where no process can be started at all."""
        ours, theirs = socket.socketpair()
        output, their_output = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: ASYNC220 - returns after vfork; output is read without blocking
                launcher_command(theirs.fileno(), launch.command, launch.binds, isolated=launch.isolated),
                env=dict(launch.environment),
                cwd=launch.folder,
                stdin=subprocess.DEVNULL,
                stdout=their_output,
                stderr=their_output,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            os.close(output)
            raise
        finally:
            theirs.close()
            os.close(their_output)
        container = cls(process, ours)
        watch = container._watch(output, on_line)
        container._ended = in_background(watch, f"the watch of process {process.pid}")
        return container

    @property
    def pid(self) -> int:
        """The launcher's, which is also the process group's."""
        return self._process.pid

    async def wait(self) -> int:
        """The exit code of the command, 128+n for signal n. May be cancelled and called again."""
        assert self._ended is not None  # noqa: S101 - set by start, the only way to get one
        return await asyncio.shield(self._ended)

    async def terminate(self, grace_seconds: float) -> int:
        """SIGTERM to the group, SIGKILL after the grace."""
        self._signal_group(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_seconds):
                return await self.wait()
        except TimeoutError:
            self.kill()
            return await self.wait()

    def kill(self) -> None:
        """SIGKILL to all that the container runs, now."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)  # the launcher knows what left the group, too
        asyncio.get_running_loop().call_later(LAUNCHER_SECONDS, self._signal_group, signal.SIGKILL)

    def _signal_group(self, number: signal.Signals) -> None:
        if self._process.returncode is None:  # once the launcher is waited for, its number may be another's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    async def _watch(self, output: int, on_line: Callable[[str], None]) -> int:
        lines = in_background(_read_lines(output, on_line), f"the reading of what process {self.pid} prints")
        try:
            code = await self._report()
        finally:
            self._signal_group(signal.SIGKILL)  # what is left of the group where the launcher was killed
        await asyncio.to_thread(self._process.wait)
        # A daemon that left the group may hold the output open for ever.
        await asyncio.wait({lines}, timeout=OUTPUT_AFTER_EXIT_SECONDS)
        lines.cancel()
        await asyncio.wait({lines})
        return code

    async def _report(self) -> int:
        reader, writer = await asyncio.open_connection(sock=self._control)
        try:
            report = await reader.readline()
        except ConnectionError:
            report = b""
        finally:
            writer.close()
        return int(report.split()[1]) if report.startswith(b"exit ") else KILLED


def launcher_command(
    control_fd: int, command: tuple[str, ...], binds: tuple[Bind, ...], *, isolated: bool
) -> list[str]:
    launch = {"command": command, "mounts": [asdict(bind) for bind in binds], "isolated": isolated}
    return [sys.executable, "-I", "-S", str(LAUNCHER), str(control_fd), json.dumps(launch)]


async def _read_lines(descriptor: int, on_line: Callable[[str], None]) -> None:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    rest = b""
    try:
        while chunk := await reader.read(64 * 1024):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                with surviving("the keeping of a line"):  # a pipe that nobody reads stops the container
                    on_line(_text(line))
            while len(rest) > LINE_BYTES:
                on_line(_text(rest[:LINE_BYTES]))
                rest = rest[LINE_BYTES:]
    finally:
        if rest:
            on_line(_text(rest))
        transport.close()


def _text(line: bytes) -> str:
    return line[:LINE_BYTES].decode(errors="replace").rstrip("\r")


def started_at(pid: int) -> str | None:
    """When a process started, as the system says it: with the pid an identity. None: no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
        listed = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return listed.stdout.strip() or None
    except ProcessLookupError:
        return None
    return stat.rpartition(")")[2].split()[19]


def kill_leftover(pid: int, started: str, replica: str) -> bool:
    """Kill the group that a former control plane started as `replica`, if it still lives; True if so."""
    members = [pid] if started_at(pid) == started else _orphans(pid, replica)
    if not members:
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    return True


def _orphans(group: int, replica: str) -> list[int]:
    """Members of a group whose leader died; its number may be another's by now, so the marker decides."""
    marker = f"CONTAINER_APP_REPLICA_NAME={replica}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and marker in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found
