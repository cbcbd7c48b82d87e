"""What an app without a mounted share cannot do, said before a deploy changes anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remora.adapters.in_place import IN_PLACE
from remora.adapters.model_set import ModelSet
from remora.adapters.store import ADAPTERS, ROOT
from remora.azure.provisioning.existing import CPU_PROFILE
from remora.azure.share.files import Share
from remora.cli.target import Target
from remora.errors import Refused
from remora.rollout.revision.app_shape import AppShape
from remora.rollout.revision.disk import check_disk
from remora.rollout.share.contents import Contents


def check_mountable(shape: AppShape, share: Share) -> None:
    """Refuse an app that mounts a share whose account forbids its keys. Raises Refused."""
    if not shape.pulls and share.forbids_keys:
        raise Refused(
            f"app {shape.app.name!r} mounts share {share.name!r} with the key of {share.account!r}, which"
            " forbids its keys (allowSharedKeyAccess is false)",
            hint="let it read the share without a key: remora up; or allow keys: az storage account update"
            f" --allow-shared-key-access true --resource-group {shape.app.group} --name {share.account}",
        )


def check_planned(target: Target, models: ModelSet) -> None:
    """Refuse models that are too large for the replicas that a template would create. Raises Refused."""
    if target.access.by_identity:
        folders = (models.base_path, *(adapter.path for adapter in models.adapters))
        check_disk(sum(map(_bytes_of, folders)), _planned_cpu(target.wanted.parameters))


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _size_of(contents: Contents) -> int:
    """Bytes of the base model and the adapters."""
    folders = (ROOT / "models", ADAPTERS)
    return sum(
        file.size_bytes for file in contents.files if any(file.path.is_relative_to(one) for one in folders)
    )


def _planned_cpu(parameters: Mapping[str, Any]) -> float:
    """The cores of a replica; those of the template's defaults where nothing is said."""
    profile = str(parameters.get("workloadProfile") or CPU_PROFILE)
    default = 2.0 if profile == CPU_PROFILE else 8.0
    return float(str(parameters.get("cpu") or default))


def check_pullable(shape: AppShape, contents: Contents) -> None:
    """Refuse what a replica could not pull: models too large for its disk, or that only a mount shows."""
    if not shape.pulls:
        return
    if any(file.path.parent == IN_PLACE for file in contents.files):
        raise Refused(
            "models lie on the share where a fine-tuning job left them, and a replica without a mounted share"
            " cannot keep what it reads there",
            hint="copy them into this folder, for example with azcopy; or allow the keys of the account",
        )
    container = shape.state.template["containers"][0]
    check_disk(_size_of(contents), float((container.get("resources") or {}).get("cpu") or 0.5))
