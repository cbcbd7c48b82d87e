"""The properties of a container app that a deploy depends on: command, mounted share, ingress, key.

The app may come from another template. An app that cannot work is refused, with the reason, before any
upload.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remora.azure.app.apps import API_KEY_SECRET, API_KEY_VARIABLE, ContainerApp
from remora.azure.app.state import SHARE_URL_VARIABLE, AppState, MountedShare
from remora.errors import Refused, listed
from remora.project.toolkit.command_steps import names_below, script_of
from remora.project.toolkit.commands import Program, program_of

_CONFIG = "infra/inference.config.json"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the container and its volume; `share` is None if it has nothing of an Azure file share.

    `pulled`: it is on the replica's own disk, and what is needed of the share is pulled into it.
    """

    path: str
    sub_path: str
    share: MountedShare | None
    pulled: bool = False


@dataclass(frozen=True, slots=True)
class AppShape:
    """An app as a deploy sees it. `script` is the command of its first container."""

    app: ContainerApp
    state: AppState
    container: str
    script: str
    mounts: tuple[Mount, ...]

    @property
    def program(self) -> Program:
        """Whose program the app runs."""
        return program_of([self.script])

    @property
    def pulls(self) -> bool:
        """Whether its replicas pull from the share instead of mounting it."""
        return any(mount.pulled for mount in self.mounts)

    def runs_workspace(self, root: Path, mount: str) -> bool:
        """Whether its program is in the project's folder, and is deployed unchanged."""
        if self.program is not Program.OTHER:
            return self.program is Program.STOCK
        return any((root / name).exists() for name in self.named(mount))

    def named(self, mount: str) -> set[str]:
        """The top-level names on the share that its command uses."""
        return names_below(self.script, mount)


def read_shape(app: ContainerApp) -> AppShape:
    """Read an app's shape. Raises DeploymentNotFound."""
    state = app.read()
    container = state.template["containers"][0]
    return AppShape(
        app,
        state,
        str(container.get("name")),
        script_of(state.command),
        tuple(_mounts(app, state, container)),
    )


def mount_of(shape: AppShape, share: MountedShare) -> str:
    """The path at which the app mounts the share. Raises Refused if a deploy could not reach or check it."""
    _check_ingress(shape)
    _check_first(shape)
    mount = _mount_of(shape, share)
    if not shape.script:
        raise Refused(
            f"container {shape.container!r} of app {shape.app.name!r} has no command: it runs its"
            " image's program, which does not read what a deploy uploads",
            hint="set the defaultCommands of our template with: remora provision",
        )
    return mount.path.rstrip("/")


def check_remora(shape: AppShape, mount: str) -> None:
    """Refuse an app in which Remora's own endpoint could not start."""
    if shape.program is Program.REMORA and f"{mount}/.remora/releases/" not in shape.script:
        raise Refused(
            f"app {shape.app.name!r} mounts the share at {mount}, but its command looks for the release"
            f" elsewhere: {shape.script}",
            hint=f"start the command with: cd {mount}/.remora/releases/$REMORA_RELEASE",
        )
    if shape.program is Program.REMORA and not shape.app.api_key():
        group, name = shape.app.group, shape.app.name
        raise Refused(
            f"app {name!r} does not set {API_KEY_VARIABLE} for its container, which the endpoint needs",
            hint=f"set it: az containerapp secret set -g {group} -n {name} --secrets {API_KEY_SECRET}=KEY,"
            f" then az containerapp update -g {group} -n {name}"
            f" --set-env-vars {API_KEY_VARIABLE}=secretref:{API_KEY_SECRET}",
        )


def _check_ingress(shape: AppShape) -> None:
    if not shape.state.fqdn:
        name, group = shape.app.name, shape.app.group
        raise Refused(
            f"app {name!r} has no ingress, so no address to send requests to",
            hint=f"enable it: az containerapp ingress enable -g {group} -n {name}"
            " --type external --target-port 7860",
        )


def _check_first(shape: AppShape) -> None:
    """Refuse an app whose first container is not ours: a deploy sets its environment and reads its logs."""
    first, *others = shape.state.template["containers"]
    if first.get("volumeMounts") or not any(other.get("volumeMounts") for other in others):
        return
    ours = next(other["name"] for other in others if other.get("volumeMounts"))
    raise Refused(
        f"app {shape.app.name!r} has {1 + len(others)} containers, and {ours!r}, which mounts a share, is not"
        " the first",
        hint=f"put {ours!r} first in the app's template",
    )


def _mount_of(shape: AppShape, share: MountedShare) -> Mount:
    name = shape.app.name
    found = next((mount for mount in shape.mounts if mount.share == share), None)
    if found is None:
        others = [str(mount.share) for mount in shape.mounts if mount.share]
        if not others:
            raise Refused(
                f"app {name!r} mounts no Azure file share, so it cannot read what a deploy uploads",
                hint="mount the share at /mount, or create the app again with: remora provision",
            )
        raise Refused(
            f"app {name!r} mounts {listed(others)}, but {_CONFIG} says {share}",
            hint=f"correct STORAGE_ACCOUNT_NAME and FILE_SHARE_NAME in {_CONFIG}, or mount that share",
        )
    if found.sub_path:
        raise Refused(
            f"app {name!r} mounts only the folder {found.sub_path!r} of {share}; a deploy writes to the root",
            hint=f"remove the subPath from the volume mount at {found.path}",
        )
    return found


def _mounts(app: ContainerApp, state: AppState, container: Json) -> Iterator[Mount]:
    volumes = {volume["name"]: volume for volume in state.template.get("volumes") or ()}
    url = state.environment.get(SHARE_URL_VARIABLE)
    for mount in container.get("volumeMounts") or ():
        volume = volumes.get(mount.get("volumeName")) or {}
        if url and volume.get("storageType") == "EmptyDir":
            yield Mount(mount["mountPath"], mount.get("subPath") or "", MountedShare.of_url(url), pulled=True)
            continue
        is_files = volume.get("storageType") == "AzureFile"
        share = app.mounted_share(state, volume["storageName"]) if is_files else None
        yield Mount(mount["mountPath"], mount.get("subPath") or "", share)
