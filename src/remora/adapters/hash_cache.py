"""Remembered file hashes, so that a second deploy of a 15 GB model reads none of it again.

Owns one JSON file. A remembered hash is used only while the file's size, times and inode are those it was
hashed with; a file changed in the last moments before hashing is not remembered, since a later change
within the clock's tick would go unseen.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from remora.adapters.digest import sha256_of_file
from remora.project.files.json_file import replace_object

VERSION = 1


class HashCache:
    """Hashes files and remembers; `save` writes what it learnt. A damaged cache file counts as empty."""

    def __init__(self, path: Path, *, settled_seconds: float = 2.0) -> None:
        self._settled_nanoseconds = int(settled_seconds * 1e9)
        self._path = path
        self._entries = _load(path)
        self._changed = False
        self.hashed_bytes = 0
        """How many bytes were really read since the start."""

    def sha256(self, path: Path) -> str:
        """The sha256 (hex) of a file's bytes now."""
        before = path.stat()
        key, stamp = str(path.resolve()), _stamp(before)
        known = self._entries.get(key)
        if known is not None and known[:-1] == stamp:
            return known[-1]
        started = time.time_ns()
        digest = sha256_of_file(path)
        self.hashed_bytes += before.st_size
        if _stamp(path.stat()) == stamp and _newest(before) < started - self._settled_nanoseconds:
            self._entries[key] = [*stamp, digest]
            self._changed = True
        return digest

    def save(self) -> None:
        """Write what was learnt since the last save; entries of files that are gone are dropped."""
        if not self._changed:
            return
        self._entries = {key: entry for key, entry in self._entries.items() if Path(key).exists()}
        replace_object(self._path, {"version": VERSION, "files": self._entries})
        self._changed = False


def _stamp(status: os.stat_result) -> list[str]:
    numbers = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return [str(number) for number in numbers]


def _newest(status: os.stat_result) -> int:
    return max(status.st_mtime_ns, status.st_ctime_ns)


def _load(path: Path) -> dict[str, list[str]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(document, dict) or document.get("version") != VERSION:
        return {}
    files = document.get("files")
    if not isinstance(files, dict):
        return {}
    return {key: entry for key, entry in files.items() if _is_entry(entry)}


def _is_entry(entry: object) -> bool:
    return isinstance(entry, list) and len(entry) == 5 and all(isinstance(part, str) for part in entry)
