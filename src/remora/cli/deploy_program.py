"""The other kind of deploy: the app runs a program of the user's own, and gets the workspace as it is."""

from __future__ import annotations

from pathlib import Path

from remora.adapters.hash_cache import HashCache
from remora.adapters.store import MANIFEST
from remora.azure.apps import MountedShare
from remora.azure.profile import remora_home
from remora.cli.context import Deployment
from remora.cli.output import Output
from remora.errors import Refused
from remora.rollout.app_shape import AppShape, mount_of, read_shape
from remora.rollout.part import Part
from remora.rollout.program import ProgramRollout, program_name
from remora.rollout.workspace_files import workspace_files


def reachable(deployment: Deployment) -> tuple[AppShape, str]:
    """The app, and where it sees the project's share.

    Raises Refused where a deploy would not reach it, DeploymentNotFound where app or share are not there.
    """
    shape, config = read_shape(deployment.app), deployment.config
    try:
        return shape, mount_of(shape, MountedShare(config.storage_account or "", config.file_share or ""))
    except Refused:
        deployment.share.read(MANIFEST)  # that a share does not exist is the better reason
        raise


def program_rollout(
    folder: Path,
    deployment: Deployment,
    shape: AppShape,
    mount: str,
    part: Part,
    out: Output,
    *,
    timeout_seconds: float,
) -> ProgramRollout:
    """The rollout of the workspace's files for the program that the app runs."""
    hashes = HashCache(remora_home() / "hashes.json")
    with out.step("reading the workspace") as say:
        files = workspace_files(folder, shape.named(mount), part, hashes)
        hashes.save()
        say(f"{len(files)} files for {program_name(shape)}")
    return ProgramRollout(
        files,
        part,
        shape=shape,
        share=deployment.share,
        endpoint_scheme=deployment.clients.profile.endpoint_scheme,
        timeout_seconds=timeout_seconds,
        steps=out.step,
    )
