"""Whether the disk of a replica has room for what it pulls from a share without a mount. Asks no cloud."""

from __future__ import annotations

from remora.errors import Refused

GIB = 1024**3
# (most cores, GiB): https://learn.microsoft.com/azure/container-apps/storage-mounts (ephemeral storage)
_DISKS = ((0.25, 1), (0.5, 2), (1.0, 4))
_LARGEST_GIB = 8
PACKAGES_GIB = 1.0
"""What is left for packages that the first start installs, and for the rest of the container."""


def disk_gib(cpu: float) -> int:
    """The ephemeral storage that Container Apps give a replica with so many cores, in GiB."""
    return next((size for most, size in _DISKS if cpu <= most), _LARGEST_GIB)


def check_disk(model_bytes: int, cpu: float) -> None:
    """Refuse a base model and adapters of this size for a replica with so many cores. Raises Refused."""
    needed, has = model_bytes / GIB + PACKAGES_GIB, disk_gib(cpu)
    if needed <= has:
        return
    enough = next((most for most, size in (*_DISKS, (2.0, _LARGEST_GIB)) if needed <= size), None)
    hint = (
        f"set cpu to {enough:g} in inference.parameters.json and run: remora up"
        if enough
        else "no replica has so large a disk: use a smaller or a quantized model, or a storage account that"
        " allows its keys, whose share is mounted"
    )
    raise Refused(
        f"a replica pulls {model_bytes / GIB:.1f} GiB of models into its own disk and needs {needed:.1f} GiB"
        f" with the packages; with {cpu:g} cores it has {has} GiB",
        hint=hint,
        param="cpu",
    )
