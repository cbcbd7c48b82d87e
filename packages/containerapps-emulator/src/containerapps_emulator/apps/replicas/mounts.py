"""Where a container sees its volumes: bind mounts where the kernel allows them, else mapped in its texts.

Owns the choice between the two; the mounting itself is the launcher's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from containerapps_emulator.apps.documents.records import Share
from containerapps_emulator.apps.documents.template import Volume, VolumeMount
from containerapps_emulator.apps.replicas.container import Bind
from containerapps_emulator.apps.replicas.isolation import Kernel


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


@dataclass(frozen=True, slots=True)
class Sources:
    """What a replica's volumes are made of."""

    volumes: Mapping[str, Volume]
    share_of: Callable[[str], Share | None]
    secrets: Mapping[str, str]  # of the app, by name
    scratch: Path  # gone with the replica


class MountError(Exception):
    """A volume that cannot be mounted; the message says which and why."""


class Mounter:
    def __init__(
        self, shares_root: Path, kernel: Kernel, allows_keys: Callable[[str], bool] = lambda _: True
    ) -> None:
        """`allows_keys` says whether a storage account takes its keys, which mounting needs."""
        self._shares_root = shares_root
        self._kernel = kernel
        self._allows_keys = allows_keys

    async def plan(self, wanted: Iterable[VolumeMount], sources: Sources) -> Mounts:
        """Raises MountError for a share that does not exist."""
        binds: list[Bind] = []
        replacements: list[tuple[str, str]] = []
        root = ""
        for mount in wanted:
            bind = self._bind(mount, sources)
            bound = await self._kernel.binds(bind.target)
            if bound:
                binds.append(bind)
            else:
                replacements.append((bind.target, bind.source))
                if await self._kernel.isolates():  # it is to be written to where it lies
                    binds.append(replace(bind, target=bind.source))
            if not root and sources.volumes[mount.volume].storage_type == "AzureFile":
                root = bind.target if bound else bind.source
        return Mounts(tuple(binds), tuple(replacements), root)

    def _bind(self, mount: VolumeMount, sources: Sources) -> Bind:
        volume = sources.volumes[mount.volume]
        target = mount.path.rstrip("/")
        if volume.storage_type == "EmptyDir":
            source = sources.scratch / "volumes" / volume.name / mount.sub_path
            source.mkdir(parents=True, exist_ok=True)
            return Bind(str(source), target)
        if volume.storage_type == "Secret":
            return Bind(str(_written(volume, sources) / mount.sub_path), target, read_only=True)
        share = sources.share_of(volume.storage_name)
        if share is None:
            raise MountError(
                f"the environment has no storage '{volume.storage_name}' for volume '{volume.name}'"
            )
        folder = self._shares_root / share.account / share.name
        if not folder.is_dir():
            raise MountError(f"share '{share.name}' of storage account '{share.account}' does not exist")
        if not self._allows_keys(share.account):
            raise MountError(
                f"mount error(13): Permission denied: share '{share.name}' of storage account"
                f" '{share.account}', which does not allow its keys"
            )
        source = folder / mount.sub_path
        source.mkdir(parents=True, exist_ok=True)
        return Bind(str(source.resolve()), target, share.read_only)


def _written(volume: Volume, sources: Sources) -> Path:
    """The folder of a volume of secrets: a file for each, which only its owner reads."""
    folder = sources.scratch / "secrets" / volume.name
    files = {item.path: item.secret for item in volume.secrets} or {name: name for name in sources.secrets}
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path, secret in files.items():
        file = folder / path
        if not file.resolve().is_relative_to(folder.resolve()):
            raise MountError(f"path '{path}' of volume '{volume.name}' leads out of the volume")
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        file.write_text(sources.secrets.get(secret, ""))
    return folder
