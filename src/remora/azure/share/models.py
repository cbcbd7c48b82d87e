"""Finds base models and adapters on a share, where AI Toolkit's fine-tuning job puts them, by name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from remora.adapters.in_place import Listed, Place
from remora.adapters.text.text_files import TEXT_FILES
from remora.azure.share.files import Share, ShareEntry
from remora.project.skipped import ADAPTER_CONFIG, CHECKPOINT, SKIPPED
from remora.project.workspace import (
    ADAPTER_WEIGHTS,
    MODEL_CONFIG,
    MODEL_SUFFIXES,
    NAMED_TEMPLATES,
    NOT_OF_THE_MODEL,
)

ADAPTERS_BELOW = PurePosixPath("models")
BASES_BELOW = PurePosixPath("model-cache")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PARALLEL_LISTINGS = 8


@dataclass(frozen=True, slots=True)
class ShareModels:
    """Folders of models, and every file that belongs to them."""

    bases: tuple[PurePosixPath, ...]
    adapters: tuple[PurePosixPath, ...]
    files: Mapping[PurePosixPath, ShareEntry]

    def place(self, folder: PurePosixPath) -> Place:
        """One of the folders, with its files as listed."""
        files = {
            path.relative_to(folder).as_posix(): _listed(entry)
            for path, entry in self.files.items()
            if path.is_relative_to(folder)
        }
        return Place(folder, files)

    def written(self, folder: PurePosixPath) -> datetime | None:
        """When the newest file of a folder was written (UTC)."""
        times = [each.written for path, each in self.files.items() if path.is_relative_to(folder)]
        return max((time for time in times if time is not None), default=None)


def find_share_models(share: Share) -> ShareModels:
    """Search the two folders. Raises DeploymentNotFound without a share."""
    models = {entry.path: entry for entry in _files(share, ADAPTERS_BELOW)}
    cache = {entry.path: entry for entry in _files(share, BASES_BELOW)}
    adapters = _folders_with(models, (ADAPTER_CONFIG, ADAPTER_WEIGHTS))
    bases = [folder for folder in _folders_with(cache, (MODEL_CONFIG,)) if _has_weights(cache, folder)]
    files = {path: each for path, each in models.items() if _is_of_adapter(path, adapters)}
    files |= {path: each for path, each in cache.items() if _is_of_base(path, bases)}
    return ShareModels(tuple(bases), tuple(adapters), files)


def _files(share: Share, root: PurePosixPath) -> Iterator[ShareEntry]:
    """Every file below a folder, level by level, without skipped folders."""
    folders = [root]
    with ThreadPoolExecutor(_PARALLEL_LISTINGS) as pool:
        while folders:
            entries = [entry for listed in pool.map(share.entries, folders) for entry in listed]
            yield from (entry for entry in entries if not entry.is_folder)
            folders = [each.path for each in entries if each.is_folder and not _is_skipped(each.path.name)]


def _is_skipped(name: str) -> bool:
    return name in SKIPPED or name.startswith((".", CHECKPOINT))


def _is_of_adapter(path: PurePosixPath, adapters: Collection[PurePosixPath]) -> bool:
    if path.parent.name == NAMED_TEMPLATES:
        return path.parent.parent in adapters and path.suffix == ".jinja"
    return path.parent in adapters and path.name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS, *TEXT_FILES)


def _is_of_base(path: PurePosixPath, bases: Collection[PurePosixPath]) -> bool:
    if path.parent.name == NAMED_TEMPLATES:
        return path.parent.parent in bases and path.suffix == ".jinja"
    is_model = path.suffix in MODEL_SUFFIXES and path.name not in NOT_OF_THE_MODEL
    return path.parent in bases and is_model and not path.name.startswith(".")


def _listed(entry: ShareEntry) -> Listed:
    written = entry.written or _EPOCH
    moment = written if written.tzinfo else written.replace(tzinfo=UTC)
    return Listed(entry.size_bytes, (moment - _EPOCH) // timedelta(microseconds=1))


def _folders_with(files: Iterable[PurePosixPath], names: tuple[str, ...]) -> list[PurePosixPath]:
    found = set(files)
    return sorted({path.parent for path in found if all(path.parent / name in found for name in names)})


def _has_weights(files: Iterable[PurePosixPath], folder: PurePosixPath) -> bool:
    return any(path.parent == folder and path.suffix == ".safetensors" for path in files)
