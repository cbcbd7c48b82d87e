"""The other kind of deploy: the app runs the user's own program, and gets the workspace unchanged."""

from __future__ import annotations

from pathlib import Path

from remora.adapters.hash_cache import HashCache
from remora.adapters.store import MANIFEST
from remora.azure.app.state import MountedShare
from remora.azure.profile import remora_home
from remora.cli.context import Deployment
from remora.cli.keyless import check_mountable
from remora.cli.output.console import Output
from remora.errors import Refused
from remora.rollout.program.files import workspace_files
from remora.rollout.program.payload import ProgramPayload, program_name
from remora.rollout.revision.app_shape import AppShape, mount_of, read_shape
from remora.rollout.share.part import Part


def reachable(deployment: Deployment) -> tuple[AppShape, str]:
    """The app, and the path at which it mounts the project's share.

    Raises Refused if a deploy would not reach it, DeploymentNotFound if the app or the share does not exist.
    """
    shape, config = read_shape(deployment.app), deployment.config
    try:
        mount = mount_of(shape, MountedShare(config.storage_account or "", config.file_share or ""))
        check_mountable(shape, deployment.share)
        return shape, mount
    except Refused:
        deployment.share.read(MANIFEST)  # a missing share is the more useful error
        raise


def program_payload(
    folder: Path, shape: AppShape, mount: str, part: Part, out: Output, *, timeout_seconds: float
) -> ProgramPayload:
    """The workspace's files, for the program that the app runs."""
    hashes = HashCache(remora_home() / "hashes.json")
    with out.step("reading the workspace") as say:
        files = workspace_files(folder, shape.named(mount), part, hashes)
        hashes.save()
        say(f"{len(files)} files for {program_name(shape)}")
    return ProgramPayload(files, part, shape, timeout_seconds=timeout_seconds)
