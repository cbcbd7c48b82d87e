"""Which files of a workspace are deployed for the user's own program. Uploads nothing.

- the top-level folders (and files) that the container's command names, and `inference` and `setup`;
- `model-cache`, the base model;
- below `models`, every folder called `adapter` or with an `adapter_config.json` in it.

Never `infra`, hidden files, or files that every checkout or run creates (`.git`, `__pycache__`, `venv`, …).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from remora.adapters.hash_cache import HashCache
from remora.errors import InvalidFile
from remora.project.skipped import ADAPTER_CONFIG, SKIPPED
from remora.rollout.share.part import Part
from remora.rollout.share.plan import SyncFile

CODE_FOLDERS = ("inference", "setup")
BASE_FOLDER = "model-cache"
MODELS_FOLDER = "models"
_ADAPTER_FOLDER = "adapter"
_COMPILED = (".pyc", ".pyo")


def workspace_files(root: Path, named: Iterable[str], part: Part, hashes: HashCache) -> tuple[SyncFile, ...]:
    """The files of `part` below `root`, each at the same path; `named` are the names that the command uses.

    Raises InvalidFile for a link that leads out of the folder, or to a folder.
    """
    root = root.resolve()
    found = sorted(set(_chosen(root, named, part)))
    return tuple(_file(path, root, hashes) for path in found)


def is_code(path: PurePosixPath) -> bool:
    """Whether a file of the workspace is code. Models may exist only on the share."""
    return path.parts[0] not in (BASE_FOLDER, MODELS_FOLDER)


def _chosen(root: Path, named: Iterable[str], part: Part) -> Iterator[Path]:
    if part is not Part.CODE:
        yield from _adapter_files(root / MODELS_FOLDER)
    if part is not Part.ADAPTERS:
        for name in (*CODE_FOLDERS, BASE_FOLDER, *(set(named) - {MODELS_FOLDER})):
            path = root / name
            if path.is_file() and not _is_skipped(name):
                yield path
            elif not _is_skipped(name):
                yield from _below(path)


def _adapter_files(models: Path) -> Iterator[Path]:
    adapters: list[Path] = []
    for path in _below(models):
        folder = path.parent
        inside = any(folder.is_relative_to(adapter) for adapter in adapters)
        if not inside and (folder.name == _ADAPTER_FOLDER or (folder / ADAPTER_CONFIG).is_file()):
            adapters.append(folder)
            inside = True
        if inside:
            yield path


def _below(folder: Path) -> Iterator[Path]:
    """Every file below a folder, parents first; a missing folder has none."""
    for current, folders, files in os.walk(folder, followlinks=False):
        here = Path(current)
        folders[:] = sorted(name for name in folders if not _is_skipped(name))
        for name in folders:
            if (here / name).is_symlink():
                raise InvalidFile(
                    f"{here / name} is a link to a folder, which would not be uploaded",
                    hint="replace it with the folder itself, or start its name with a dot to leave it out",
                )
        yield from (here / name for name in files if not _is_skipped(name))


def _is_skipped(name: str) -> bool:
    return name.startswith(".") or name in SKIPPED or name.endswith(_COMPILED)


def _file(path: Path, root: Path, hashes: HashCache) -> SyncFile:
    if not path.resolve().is_relative_to(root):
        raise InvalidFile(
            f"{path} is a link that leads out of {root}", hint="copy the file itself into the project"
        )
    return SyncFile(
        PurePosixPath(path.relative_to(root).as_posix()), path.stat().st_size, hashes.sha256(path), path
    )
