"""Copies the content of a share as it is: files with their holes and times, directories. Skips what the API
hides (links, sockets, pipes). Owns no row.

Containers may write meanwhile: then a file's copy has some of its old and some of its new bytes.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from containerapps_emulator.storage.store import content
from containerapps_emulator.storage.store.tree import kind_of

_FICLONE: Final = 0x40049409
"""Linux's ioctl that makes two files share their blocks until one of them changes."""
_PART_BYTES: Final = 4 * 1024 * 1024


def copy_tree(source: Path, target: Path) -> Iterator[tuple[str, int]]:
    """Create `target`. Yields each entry's path below it, "" for itself, and its inode."""
    target.mkdir()
    for folder, _, files in os.walk(source):
        below = Path(folder).relative_to(source)
        for name in files:
            path = Path(folder, name)
            try:
                stat = path.lstat()
                if kind_of(stat) != "file":
                    continue
                _copy_file(path, target / below / name, stat)
            except FileNotFoundError:  # a container has removed it
                continue
            yield str(below / name), (target / below / name).stat().st_ino
        for name in _directories(Path(folder)):
            (target / below / name).mkdir()
    for folder, _, _ in os.walk(target, topdown=False):  # now that nothing changes a directory's time
        below = Path(folder).relative_to(target)
        _copy_times(source / below, Path(folder))
        yield "" if below == Path() else str(below), Path(folder).stat().st_ino


def _directories(folder: Path) -> list[str]:
    return [entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]


def _copy_file(source: Path, target: Path, stat: os.stat_result) -> None:
    reading = content.open_existing(source, write=False)
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, stat.st_mode & 0o777)
        try:
            if not _clone(reading, writing):
                _copy_data(reading, writing, stat.st_size)
            os.utime(writing, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _clone(reading: int, writing: int) -> bool:
    """Whether the file system shared the blocks, which costs neither time nor space."""
    try:
        fcntl.ioctl(writing, _FICLONE, reading)
    except OSError:
        return False
    return True


def _copy_data(reading: int, writing: int, size_bytes: int) -> None:
    for first, last in content.data_ranges(reading, 0, size_bytes):
        for start in range(first, last + 1, _PART_BYTES):
            part = content.read(reading, start, min(_PART_BYTES, last + 1 - start))
            content.write(writing, start, part)
    os.truncate(writing, size_bytes)


def _copy_times(source: Path, target: Path) -> None:
    try:
        stat = source.stat()
    except FileNotFoundError:
        return
    os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
