"""Base models and adapters on a share, where AI Toolkit's fine-tuning job leaves them. Goes by names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from remora.azure.files import Share
from remora.project.workspace import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    MODEL_CONFIG,
    MODEL_SUFFIXES,
    SKIPPED,
)

ADAPTERS_BELOW = PurePosixPath("models")
BASES_BELOW = PurePosixPath("model-cache")


@dataclass(frozen=True, slots=True)
class ShareModels:
    """Folders of models, and every file that belongs to them with its size in bytes."""

    bases: tuple[PurePosixPath, ...]
    adapters: tuple[PurePosixPath, ...]
    files: Mapping[PurePosixPath, int]


def find_share_models(share: Share) -> ShareModels:
    """Look through the two folders. Raises DeploymentNotFound without a share."""
    models = {path: size for path, size in share.sizes(ADAPTERS_BELOW).items() if not _is_skipped(path)}
    cache = {path: size for path, size in share.sizes(BASES_BELOW).items() if not _is_skipped(path)}
    adapters = _folders_with(models, (ADAPTER_CONFIG, ADAPTER_WEIGHTS))
    bases = [folder for folder in _folders_with(cache, (MODEL_CONFIG,)) if _has_weights(cache, folder)]
    files = {path: size for path, size in models.items() if path.parent in adapters and _is_adapter(path)}
    files |= {
        path: size for path, size in cache.items() if path.parent in bases and path.suffix in MODEL_SUFFIXES
    }
    return ShareModels(tuple(bases), tuple(adapters), files)


def _is_skipped(path: PurePosixPath) -> bool:
    return any(part in SKIPPED or part.startswith((".", "checkpoint-")) for part in path.parts)


def _is_adapter(path: PurePosixPath) -> bool:
    return path.name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)


def _folders_with(files: Iterable[PurePosixPath], names: tuple[str, ...]) -> list[PurePosixPath]:
    found = set(files)
    return sorted({path.parent for path in found if all(path.parent / name in found for name in names)})


def _has_weights(files: Iterable[PurePosixPath], folder: PurePosixPath) -> bool:
    return any(path.parent == folder and path.suffix == ".safetensors" for path in files)
