"""The bytes of one open file: read, written, cleared, mapped. Knows no names, leases or properties.

What is acknowledged survives the end of this process, however sudden: it is with the kernel. It is not
waited for until it is on the disk, so a power cut may lose the last seconds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from remora.localcloud.storage.errors import FilesError

MAX_WRITE_BYTES: Final = 4 * 1024 * 1024
Data = bytes | memoryview
_COPIED_BYTES: Final = 4 * 1024 * 1024
_ZEROS: Final = bytes(1024 * 1024)


def open_existing(path: Path, *, write: bool) -> int:
    """A descriptor of the file itself, never of what a link at its place points to."""
    try:
        return os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise FilesError("ResourceNotFound") from None


def create(path: Path, size_bytes: int, body: Data, written_ns: int | None) -> None:
    """A new file of this size, its beginning being `body` and the rest zeros."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        _write_all(descriptor, 0, body)
        os.truncate(descriptor, size_bytes)
        if written_ns is not None:
            os.utime(descriptor, ns=(written_ns, written_ns))
    finally:
        os.close(descriptor)


def copy(source: int, path: Path) -> None:
    """A new file with the bytes of an open one."""
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        position = 0
        while part := read(source, position, _COPIED_BYTES):
            _write_all(target, position, part)
            position += len(part)
    finally:
        os.close(target)


def write(descriptor: int, start: int, data: Data) -> None:
    _write_all(descriptor, start, data)


def clear(descriptor: int, start: int, end: int) -> None:
    """Make the bytes from `start` to before `end` zero."""
    for position in range(start, end, len(_ZEROS)):
        _write_all(descriptor, position, _ZEROS[: min(len(_ZEROS), end - position)])


def read(descriptor: int, start: int, length: int) -> bytes:
    """All of the range; shorter only where the file has been cut since."""
    parts: list[bytes] = []
    while length > 0 and (part := os.pread(descriptor, length, start)):
        parts.append(part)
        start, length = start + len(part), length - len(part)
    return b"".join(parts)


def ranges(descriptor: int, start: int, end: int) -> list[tuple[int, int]]:
    """The parts of [start, end) that hold data, as (first, last) byte; the holes read as zeros."""
    found: list[tuple[int, int]] = []
    while start < end:
        try:
            data = os.lseek(descriptor, start, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole from here on
            break
        hole = os.lseek(descriptor, data, os.SEEK_HOLE)
        if data < end:
            found.append((data, min(hole, end) - 1))
        start = hole
    return found


def _write_all(descriptor: int, start: int, data: Data) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, start)
        view, start = view[written:], start + written
