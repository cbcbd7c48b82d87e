"""Folders that the search of a project skips, and why; the adapters in them are only reported to the user.

Owns the reasons. Finds adapters and models by file names only, and to a limited depth. Reads no files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

ADAPTER_CONFIG = "adapter_config.json"
LIST_IT = "to serve it, list it under [adapters] in remora.toml"
SKIPPED = {
    "venv": "a folder of Python packages",
    "env": "a folder that usually has Python packages",
    "node_modules": "a folder of packages",
    "__pycache__": "a folder of compiled code",
    "site-packages": "a folder of Python packages",
    "checkpoints": "a folder of a training's checkpoints",
    "infra": "the project's own files",
    "cache": "a cache of unfinished and downloaded models",
}
CHECKPOINT = "checkpoint-"
MOST_FOLDERS = 200  # that are searched below one that is skipped


def why_skipped(name: str) -> str | None:
    """Why a folder with this name is not searched; None if it is."""
    if name.startswith("."):
        return "hidden"
    if name.startswith(CHECKPOINT):
        return "a checkpoint of a training"
    return SKIPPED.get(name)


def adapters_below(folder: Path, *, most_depth: int = 3) -> Iterator[Path]:
    """Folders with an adapter's configuration below a skipped folder, within the limits of the search."""
    for seen, (current, folders, files) in enumerate(os.walk(folder, followlinks=False), 1):
        here = Path(current)
        if ADAPTER_CONFIG in files:
            yield here
        if seen >= MOST_FOLDERS:
            return
        deep = len(here.relative_to(folder).parts) >= most_depth
        folders[:] = [] if deep else sorted(set(folders) - {"site-packages", "node_modules", "__pycache__"})
