"""Opens a user's file that may be anything: a pipe, a device, a circular link, a Git LFS pointer.

Owns what is refused and why. Does not know what the files contain.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from remora.errors import InvalidFile

MAX_BYTES = 100_000_000
LFS_MARK = b"version https://git-lfs"
CIRCLE = "a link that leads back to itself"
LFS_HINT = "run `git lfs pull` in the repository of the files, then copy them again"
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}


def open_regular(path: Path) -> int:
    """The descriptor of a regular file for reading. Reading a pipe can block forever; a device has no end.

    Raises InvalidFile if it is not a regular file, FileNotFoundError or another OSError as `open` does.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InvalidFile(f"{shown(path)} is {CIRCLE}", hint="put the file itself there") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        kind = _KINDS.get(stat.S_IFMT(os.fstat(descriptor).st_mode), "something else")
        os.close(descriptor)
        raise InvalidFile(f"{shown(path)} is {kind}, not a file", hint="put the file itself there")
    return descriptor


def read_text(path: Path, *, most_bytes: int = MAX_BYTES) -> str:
    """The text of a file that people write, its lines ended as Unix does.

    Raises InvalidFile where it is no such file, UnicodeDecodeError, or an OSError as `open_regular`.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        data = file.read(most_bytes + 1)
    if data.startswith(LFS_MARK):
        raise InvalidFile(f"{shown(path)} is a Git LFS pointer, not the file itself", hint=LFS_HINT)
    if len(data) > most_bytes:
        raise InvalidFile(f"{shown(path)} has more than {most_bytes:,} bytes", hint=f"correct {path.name}")
    return data.decode("utf-8-sig").replace("\r\n", "\n")


def odd_kind(path: Path) -> str | None:
    """What an entry of a folder is if it is neither a file nor a folder, nor a link to one; else None."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "a link that leads nowhere" if path.is_symlink() else None
    except (OSError, RuntimeError):
        return CIRCLE if path.is_symlink() else "not readable"
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    return _KINDS.get(stat.S_IFMT(mode), "something else")


def is_utf8(name: str) -> bool:
    """Whether a file's name is UTF-8; any other name cannot be written to the project's files."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def shown(path: Path | str) -> str:
    """A path as printable text, with bytes that are not UTF-8 as `\\xff`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
