"""Where a container sees its volumes: bind mounts where the kernel allows them, else mapped in its texts.

Owns the choice between the two; the mounting itself is the launcher's.
"""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from remora.localcloud.apps.container import Bind, launcher_command
from remora.localcloud.apps.template import RevisionTemplate, Volume, VolumeMount

PROBE_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Share:
    """What an environment storage stands for."""

    account: str
    name: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Mounts:
    binds: tuple[Bind, ...]
    replacements: tuple[tuple[str, str], ...]  # mount path → real path
    root: str  # where the first share is visible; "" without a share

    def translate(self, text: str) -> str:
        for path, real in self.replacements:
            # "/mount" and "/mount/x", not "/mounted" nor "/a/mount"
            pattern = rf"(?<![\w./-]){re.escape(path)}(?![\w.-])"
            text = re.sub(pattern, real.replace("\\", r"\\"), text)
        return text


class MountError(Exception):
    """A volume that cannot be mounted; the message says which and why."""


class Mounter:
    """`bind_mounts=False` maps mount paths textually even where the kernel would bind them."""

    def __init__(self, shares_root: Path, bind_mounts: bool) -> None:
        self._shares_root = shares_root
        self._bind_mounts = bind_mounts
        self._can_bind: dict[str, bool] = {}

    async def plan(
        self, template: RevisionTemplate, share_of: Callable[[str], Share | None], scratch: Path
    ) -> Mounts:
        """Raises MountError for a share that does not exist."""
        volumes = {volume.name: volume for volume in template.volumes}
        binds: list[Bind] = []
        replacements: list[tuple[str, str]] = []
        root = ""
        for mount in template.mounts:
            bind = self._bind(mount, volumes, share_of, scratch)
            bound = await self._bindable(bind.target)
            if bound:
                binds.append(bind)
            else:
                replacements.append((bind.target, bind.source))
            if not root and volumes[mount.volume].storage_type == "AzureFile":
                root = bind.target if bound else bind.source
        return Mounts(tuple(binds), tuple(replacements), root)

    def _bind(
        self,
        mount: VolumeMount,
        volumes: Mapping[str, Volume],
        share_of: Callable[[str], Share | None],
        scratch: Path,
    ) -> Bind:
        volume = volumes[mount.volume]
        target = mount.path.rstrip("/")
        if volume.storage_type == "EmptyDir":
            source = scratch / "volumes" / volume.name / mount.sub_path
            source.mkdir(parents=True, exist_ok=True)
            return Bind(str(source), target)
        share = share_of(volume.storage_name)
        if share is None:
            raise MountError(
                f"the environment has no storage '{volume.storage_name}' for volume '{volume.name}'"
            )
        folder = self._shares_root / share.account / share.name
        if not folder.is_dir():
            raise MountError(f"share '{share.name}' of storage account '{share.account}' does not exist")
        source = folder / mount.sub_path
        source.mkdir(parents=True, exist_ok=True)
        return Bind(str(source.resolve()), target, share.read_only)

    async def _bindable(self, target: str) -> bool:
        if not self._bind_mounts:
            return False
        if target not in self._can_bind:
            self._can_bind[target] = await asyncio.to_thread(_try_bind, target)
        return self._can_bind[target]


def _try_bind(target: str) -> bool:
    """Whether the kernel and our rights allow to bind a folder there: the launcher is asked to do it."""
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryDirectory() as source, ours, theirs:
        command = launcher_command(theirs.fileno(), ("true",), (Bind(source, target),))
        try:
            subprocess.run(
                command,
                pass_fds=(theirs.fileno(),),
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
