"""The bytes of one open file: read, write, clear, map. Knows no names, leases or properties.

The kernel has every acknowledged write, so it survives a sudden end of this process. Writes do not wait for
the disk, so a power cut may lose the last seconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from containerapps_emulator.storage.errors import FilesError

MAX_WRITE_BYTES: Final = 4 * 1024 * 1024
Data = bytes | memoryview
_COPIED_BYTES: Final = 4 * 1024 * 1024
_SENT_BYTES: Final = 1024 * 1024
PAGE_BYTES: Final = 512
_ZEROS: Final = bytes(1024 * 1024)


def open_existing(path: Path, *, write: bool) -> int:
    """Open the file itself; never follow a link."""
    try:
        return os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise FilesError("ResourceNotFound") from None


def create(path: Path, size_bytes: int, body: Data) -> None:
    """Create a file of this size that starts with `body`; the rest is zeros."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        _write_all(descriptor, 0, body)
        os.truncate(descriptor, size_bytes)
    finally:
        os.close(descriptor)


def copy(source: int, path: Path) -> None:
    """Create a file with the bytes of an open one."""
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
    """Set the bytes of [start, end) to zero."""
    for position in range(start, end, len(_ZEROS)):
        _write_all(descriptor, position, _ZEROS[: min(len(_ZEROS), end - position)])


def read(descriptor: int, start: int, length: int) -> bytes:
    """The whole range; shorter only if the file was truncated meanwhile."""
    parts: list[bytes] = []
    while length > 0 and (part := os.pread(descriptor, length, start)):
        parts.append(part)
        start, length = start + len(part), length - len(part)
    return b"".join(parts)


def parts(read_part: Callable[[int, int], bytes], start: int, end: int) -> Iterator[bytes]:
    """[start, end) in pieces; fewer if the file was truncated meanwhile."""
    while start < end and (part := read_part(start, min(_SENT_BYTES, end - start))):
        yield part
        start += len(part)


def ranges(descriptor: int, start: int, end: int) -> list[tuple[int, int]]:
    """The parts of [start, end) that hold data, as (first, last) byte; the rest reads as zeros.

    Azure keeps pages of 512 bytes. A file system's are larger, so pages of zeros are looked for.
    """
    found: list[tuple[int, int]] = []
    for first, last in data_ranges(descriptor, start, end):
        position = first
        while position <= last:
            stop = min(last + 1, (position // _COPIED_BYTES + 1) * _COPIED_BYTES)
            for page, size in _pages(read(descriptor, position, stop - position), position):
                if found and found[-1][1] + 1 == page:
                    found[-1] = (found[-1][0], page + size - 1)
                else:
                    found.append((page, page + size - 1))
            position = stop
    return found


def data_ranges(descriptor: int, start: int, end: int) -> list[tuple[int, int]]:
    """The parts of [start, end) that are not holes of the file system, as (first, last) byte."""
    found: list[tuple[int, int]] = []
    while start < end:
        try:
            data = os.lseek(descriptor, start, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole from here on
            break
        hole = os.lseek(descriptor, data, os.SEEK_HOLE)
        if data < end:
            found.append((data, min(hole, end) - 1))
        start = hole
    return found


def _pages(data: bytes, position: int) -> Iterator[tuple[int, int]]:
    """The pages of `data` that are not all zeros: position and size. `data` starts at `position`."""
    if not data.strip(b"\0"):
        return
    start = 0
    while start < len(data):
        size = min(PAGE_BYTES - (position + start) % PAGE_BYTES, len(data) - start)
        if data.count(0, start, start + size) != size:
            yield position + start, size
        start += size


def _write_all(descriptor: int, start: int, data: Data) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, start)
        view, start = view[written:], start + written
