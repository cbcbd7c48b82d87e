"""Resolves a path below a share's root, in any letter case and without following links. Changes nothing."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.names import fold, is_name

Kind = Literal["directory", "file"]


@dataclass(frozen=True, slots=True)
class Place:
    """The location of a path, spelled as on disk. `stat` is None if nothing exists there yet.

    `kind` is None for entries that the API hides: links, sockets, pipes. `parent_id` is None for the root.
    """

    path: Path
    stat: os.stat_result | None
    parent_id: str | None

    @property
    def kind(self) -> Kind | None:
        return None if self.stat is None else kind_of(self.stat)


def locate(root: Path, names: Sequence[str]) -> Place:
    """Walk to `names`. Raises ShareNotFound without a root, ParentNotFound if a parent is missing."""
    root_stat = _lstat(root)
    if root_stat is None or kind_of(root_stat) != "directory":
        raise FilesError("ShareNotFound")
    place = Place(root, root_stat, None)
    for depth, name in enumerate(names):
        if place.stat is None or place.kind != "directory":
            raise FilesError("ParentNotFound")
        parent_id = "0" if depth == 0 else str(place.stat.st_ino)
        place = _child(place.path, name, parent_id)
    return place


def children(directory: Path) -> Iterator[tuple[str, Kind]]:
    """The entries of a directory that the API shows, in no particular order."""
    with os.scandir(directory) as entries:
        for entry in entries:
            kind = kind_of_entry(entry)
            if kind is not None and is_name(entry.name):
                yield entry.name, kind


def kind_of(stat: os.stat_result) -> Kind | None:
    if modes.S_ISDIR(stat.st_mode):
        return "directory"
    return "file" if modes.S_ISREG(stat.st_mode) else None


def kind_of_entry(entry: os.DirEntry[str]) -> Kind | None:
    if entry.is_dir(follow_symlinks=False):
        return "directory"
    return "file" if entry.is_file(follow_symlinks=False) else None


def _child(directory: Path, name: str, parent_id: str) -> Place:
    """The child with exactly this name, else the first whose name differs only in letter case."""
    path = directory / name
    stat = _lstat(path)
    if stat is None:
        wanted = fold(name)
        names = os.listdir(directory)  # noqa: PTH208 - a tenth of iterdir's time, for each new file
        same = sorted(other for other in names if fold(other) == wanted)
        if same:
            path = directory / same[0]
            stat = _lstat(path)
    return Place(path, stat, parent_id)


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
