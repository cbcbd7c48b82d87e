"""What of a container app decides whether a deploy reaches it: command, mounted share, ingress, key.

An app need not come from our template. What cannot work is refused by name, before anything is uploaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remora.azure.apps import API_KEY_SECRET, API_KEY_VARIABLE, AppState, ContainerApp, MountedShare
from remora.errors import Refused
from remora.project.command_steps import names_below, script_of
from remora.project.commands import Program, program_of

_CONFIG = "infra/inference.config.json"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the container, and what is mounted there; `share` None is nothing that we can write to."""

    path: str
    sub_path: str
    share: MountedShare | None


@dataclass(frozen=True, slots=True)
class AppShape:
    """An app as a deploy sees it. `script` is what its first container runs."""

    app: ContainerApp
    state: AppState
    container: str
    script: str
    mounts: tuple[Mount, ...]

    @property
    def program(self) -> Program:
        """Whose program it runs."""
        return program_of([self.script])

    def runs_workspace(self, root: Path, mount: str) -> bool:
        """Whether its program is one that lies in the project's folder, to be deployed as it is."""
        if self.program is not Program.OTHER:
            return self.program is Program.STOCK
        return any((root / name).exists() for name in self.named(mount))

    def named(self, mount: str) -> set[str]:
        """The names at the top of the share that its command uses."""
        return names_below(self.script, mount)


def read_shape(app: ContainerApp) -> AppShape:
    """Look at an app. Raises DeploymentNotFound."""
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
    """Where the app sees the share. Raises Refused where a deploy could not reach it, or not be checked."""
    _check_ingress(shape)
    _check_first(shape)
    mount = _mount_of(shape, share)
    if not shape.script:
        raise Refused(
            f"container {shape.container!r} of app {shape.app.name!r} has no command: its image starts a"
            " program of its own, which does not read what a deploy uploads",
            hint="give it the defaultCommands of our template, with: remora provision",
        )
    return mount.path.rstrip("/")


def check_remora(shape: AppShape, mount: str) -> None:
    """Refuse an app on which Remora's own endpoint could not start."""
    if shape.program is Program.REMORA and f"{mount}/.remora/releases/" not in shape.script:
        raise Refused(
            f"app {shape.app.name!r} mounts the share at {mount}, but its command looks for the release"
            f" elsewhere: {shape.script}",
            hint=f"make the command begin with: cd {mount}/.remora/releases/$REMORA_RELEASE",
        )
    if shape.program is Program.REMORA and not shape.app.api_key():
        group, name = shape.app.group, shape.app.name
        raise Refused(
            f"app {name!r} gives its container no {API_KEY_VARIABLE}, which the endpoint needs",
            hint=f"make one: az containerapp secret set -g {group} -n {name} --secrets {API_KEY_SECRET}=KEY,"
            f" then az containerapp update -g {group} -n {name}"
            f" --set-env-vars {API_KEY_VARIABLE}=secretref:{API_KEY_SECRET}",
        )


def _check_ingress(shape: AppShape) -> None:
    if not shape.state.fqdn:
        name, group = shape.app.name, shape.app.group
        raise Refused(
            f"app {name!r} has no ingress: it has no address at which it could be asked",
            hint=f"give it one: az containerapp ingress enable -g {group} -n {name}"
            " --type external --target-port 7860",
        )


def _check_first(shape: AppShape) -> None:
    """A deploy sets the environment of the first container, and reads its logs."""
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
                f"app {name!r} mounts no Azure file share: nothing that a deploy uploads would reach it",
                hint="mount the share at /mount, or make the app anew with: remora provision",
            )
        raise Refused(
            f"app {name!r} mounts {', '.join(others)}, but {_CONFIG} says {share}",
            hint=f"correct STORAGE_ACCOUNT_NAME and FILE_SHARE_NAME in {_CONFIG}, or mount that share",
        )
    if found.sub_path:
        raise Refused(
            f"app {name!r} mounts only the folder {found.sub_path!r} of {share}; a deploy writes to its top",
            hint=f"take the subPath out of the volume mount at {found.path}",
        )
    return found


def _mounts(app: ContainerApp, state: AppState, container: Json) -> Iterator[Mount]:
    volumes = {volume["name"]: volume for volume in state.template.get("volumes") or ()}
    for mount in container.get("volumeMounts") or ():
        volume = volumes.get(mount.get("volumeName")) or {}
        is_files = volume.get("storageType") == "AzureFile"
        share = app.mounted_share(state, volume["storageName"]) if is_files else None
        yield Mount(mount["mountPath"], mount.get("subPath") or "", share)
