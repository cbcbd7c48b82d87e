"""A plain directory as an Azure file share: every operation of the service on files and directories.

Owns which changes happen together and in which order. Knows no HTTP; `content.py` owns the bytes and
`properties.py` the rows. Containers read and write the same directory directly, at the same time.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from containerapps_emulator.state import State
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.names import fold
from containerapps_emulator.storage.store import content, leases
from containerapps_emulator.storage.store.leases import Lease
from containerapps_emulator.storage.store.properties import (
    MD5,
    Changes,
    Copied,
    Properties,
    PropertyStore,
    require_writable,
)
from containerapps_emulator.storage.store.stamps import ChangeClock
from containerapps_emulator.storage.store.tree import Kind, Place, children, locate

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or directory as it was when it was read."""

    path: Path
    kind: Kind
    stat: os.stat_result
    parent_id: str | None
    properties: Properties


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a directory's listing; `next_key` is where the next page starts; None at the end."""

    entries: tuple[Entry, ...]
    next_key: str | None


@dataclass(frozen=True, slots=True)
class Rename:
    """Also applies `changes`. The leases are those of the source and of a file that is replaced."""

    source: Names
    target: Names
    kind: Kind
    changes: Changes
    replace_existing: bool = False
    ignore_read_only: bool = False
    source_lease: str | None = None
    target_lease: str | None = None


class Share:
    """One share. Safe to call from many threads: short changes hold one lock, long writes hold none."""

    def __init__(self, root: Path, staging: Path, key: str, state: State, now: Callable[[], float]) -> None:
        self._root = root
        self._staging = staging
        self._key = key
        self._rows = PropertyStore(state)
        self._now = now
        self._clock = ChangeClock()
        self._lock = threading.Lock()
        self._writers: Counter[int] = Counter()

    def get(self, names: Names, kind: Kind) -> Entry:
        with self._lock:
            return self._require(names, kind)

    def open(self, names: Names) -> tuple[int, Entry]:
        """A descriptor for reading, which the caller closes, and the entry of the same file."""
        with self._lock:
            entry = self._require(names, "file")
            return content.open_existing(entry.path, write=False), entry

    def path_of(self, origin: int) -> Names | None:
        """In a snapshot: the path of the copy of the file with this inode."""
        found = self._rows.path_of(origin, self._key)
        return tuple(found.split("/")) if found else None

    def list(self, names: Names, *, prefix: str, first_key: str, limit: int) -> Page:
        """Children in name order, from `first_key` on, whose names start with `prefix` in any case."""
        directory = self.get(names, "directory")
        found = [(_sort_key(name), name) for name, _ in children(directory.path)]
        wanted = sorted(
            pair for pair in found if pair[0] >= first_key and fold(pair[1]).startswith(fold(prefix))
        )
        page, rest = wanted[:limit], wanted[limit:]
        with self._lock:
            entries = [self._listed(names, directory, name) for _, name in page]
        return Page(tuple(entry for entry in entries if entry is not None), rest[0][0] if rest else None)

    def create_directory(self, names: Names, changes: Changes) -> Entry:
        with self._lock:
            place = locate(self._root, names)
            if place.stat is not None:
                raise FilesError("ResourceAlreadyExists")
            place.path.mkdir()
            _set_written(place.path, changes)
            return self._register(names, place, "directory", changes)

    def create_file(
        self, names: Names, size_bytes: int, body: content.Data, changes: Changes, lease: str | None
    ) -> Entry:
        """Create or replace a file atomically, with its full size and `body` at its start."""

        def write(staged: Path) -> None:
            content.create(staged, size_bytes, body)

        return self._put_file(names, write, changes, lease)

    def copy_file(
        self,
        source: int,
        names: Names,
        changes: Changes,
        *,
        copied: Copied,
        lease: str | None,
        ignore_read_only: bool,
    ) -> Entry:
        """Atomic, like create_file. `source` is the descriptor of an open file."""
        return self._put_file(
            names,
            lambda staged: content.copy(source, staged),
            changes,
            lease,
            copied=copied,
            ignore_read_only=ignore_read_only,
        )

    def _put_file(
        self,
        names: Names,
        write: Callable[[Path], None],
        changes: Changes,
        lease: str | None,
        *,
        copied: Copied | None = None,
        ignore_read_only: bool = False,
    ) -> Entry:
        """Let `write` create a staged file, then move it into place."""
        if locate(self._root, names[:-1]).kind != "directory":  # refuse before writing to the disk
            raise FilesError("ParentNotFound")
        self._staging.mkdir(exist_ok=True)
        staged = self._staging / uuid.uuid4().hex
        try:
            write(staged)
            _set_written(staged, changes)
            with self._lock:
                place = locate(self._root, names)
                kept = self._allow_replacing(names, place, lease, ignore_read_only=ignore_read_only)
                staged.replace(place.path)
                return self._register(names, place, "file", changes, kept, copied)
        finally:
            staged.unlink(missing_ok=True)

    def delete_directory(self, names: Names) -> None:
        with self._lock:
            entry = self._require(names, "directory")
            if not names:
                raise FilesError("CannotDeleteFileOrDirectory", "It is the root of the share.")
            require_writable(entry.properties)
            entry.path.rmdir()
            self._forget(names)

    def delete_file(self, names: Names, lease: str | None) -> None:
        with self._lock:
            entry = self._require_unleased(names, lease)
            require_writable(entry.properties)
            entry.path.unlink()
            self._forget(names)

    def update(self, names: Names, kind: Kind, changes: Changes, lease: str | None) -> Entry:
        """Set metadata, attributes, content headers, times or the size."""
        with self._lock:
            entry = self._require(names, kind)
            if kind == "file":
                leases.check(entry.properties.lease, lease, self._now(), what="File")
            vouched = entry.properties.vouches_for(entry.stat) or changes.content is not None
            if changes.size_bytes is not None:
                os.truncate(entry.path, changes.size_bytes)
            stat = self._touch(entry.path, changes.written_ns)
            properties = entry.properties.changed(changes).with_change_time(changes, stat)
            return self._save(names, entry, properties.vouching_for(stat) if vouched else properties)

    def write(
        self, names: Names, start: int, data: content.Data | int, lease: str | None, *, keep_write_time: bool
    ) -> Entry:
        """Write `data` (or that many zeros) into an existing file, never beyond its end."""
        length = data if isinstance(data, int) else len(data)
        entry, descriptor, vouched = self._begin_write(names, start + length, lease)
        try:
            if isinstance(data, int):
                content.clear(descriptor, start, start + length)
            else:
                content.write(descriptor, start, data)
        finally:
            with self._lock:
                stat = self._end_write(names, entry, descriptor, vouched, keep_write_time)
                if isinstance(data, int):
                    known = self._rows.load(self._row(names), stat)
                    self._rows.save(self._row(names), known.with_cleared(start, start + length - 1))
        return replace(entry, stat=stat)

    def rename(self, rename: Rename) -> Entry:
        """Atomic: readers of the target see the whole old file or the whole new one."""
        with self._lock:
            source = self._require(rename.source, rename.kind)
            if not rename.source:
                raise FilesError("CannotDeleteFileOrDirectory", "It is the root of the share.")
            if rename.kind == "file":
                leases.check(source.properties.lease, rename.source_lease, self._now(), what="File")
            place = locate(self._root, rename.target)
            self._allow_target(rename, source, place)
            self._move(rename, source, place)
            return self._require(rename.target, rename.kind)

    def change_lease(self, names: Names, change: Callable[[Lease | None], Lease | None]) -> Entry:
        """`change` gets the file's lease and returns the new one, or raises; None means no lease."""
        with self._lock:
            entry = self._require(names, "file")
            return self._save(names, entry, replace(entry.properties, lease=change(entry.properties.lease)))

    def _require(self, names: Names, kind: Kind) -> Entry:
        place = locate(self._root, names)
        if place.stat is None or place.kind != kind:
            raise FilesError("ResourceNotFound")
        return Entry(
            place.path, kind, place.stat, place.parent_id, self._rows.load(self._row(names), place.stat)
        )

    def _require_unleased(self, names: Names, lease: str | None) -> Entry:
        entry = self._require(names, "file")
        leases.check(entry.properties.lease, lease, self._now(), what="File")
        return entry

    def _listed(self, names: Names, directory: Entry, name: str) -> Entry | None:
        """None if a container has removed it since the directory was read."""
        parent_id = str(directory.stat.st_ino) if names else "0"
        path = directory.path / name
        try:
            place = Place(path, path.lstat(), parent_id)
        except FileNotFoundError:
            return None
        if place.stat is None or place.kind is None:
            return None
        return Entry(
            path, place.kind, place.stat, parent_id, self._rows.load(self._row((*names, name)), place.stat)
        )

    def _register(  # noqa: PLR0917
        self,
        names: Names,
        place: Place,
        kind: Kind,
        changes: Changes,
        lease: Lease | None = None,
        copied: Copied | None = None,
    ) -> Entry:
        """As the last step, bind a row to the entry that is now at `place`."""
        stat = self._clock.settle(place.path)
        properties = Properties(stat.st_ino, created_ns=stat.st_mtime_ns, lease=lease, copied=copied)
        properties = properties.changed(changes).with_change_time(changes, stat).vouching_for(stat)
        self._rows.save(self._row(names), properties)
        return Entry(place.path, kind, stat, place.parent_id, properties)

    def _allow_replacing(
        self, names: Names, place: Place, lease: str | None, *, ignore_read_only: bool
    ) -> Lease | None:
        """The lease that a new file at `place` keeps from the file it replaces."""
        if place.stat is None:
            return None
        if place.kind != "file":
            raise FilesError("ResourceTypeMismatch")
        existing = self._require_unleased(names, lease)
        if not ignore_read_only:
            require_writable(existing.properties)
        return existing.properties.lease

    def _allow_target(self, rename: Rename, source: Entry, place: Place) -> None:
        if source.path in place.path.parents:
            raise FilesError("InvalidInput", "A directory cannot be moved into itself.")
        if place.stat is None or place.path == source.path:  # the same entry: only the letter case differs
            return
        if place.kind != "file" or not rename.replace_existing:
            raise FilesError("ResourceAlreadyExists")
        existing = self._require_unleased(rename.target, rename.target_lease)
        if not rename.ignore_read_only:
            require_writable(existing.properties)

    def _move(self, rename: Rename, source: Entry, place: Place) -> None:
        """Rows get their new keys first: a row without its file, left by a crash, is ignored."""
        properties = source.properties.changed(rename.changes)
        self._rows.save(self._row(rename.target), properties)
        if rename.kind == "directory":
            self._rows.copy_below(self._row(rename.source), self._row(rename.target))
            if place.kind == "file":
                place.path.unlink()
        source.path.replace(place.path)
        wanted = place.path.with_name(rename.target[-1])
        if wanted != place.path:
            place.path.replace(wanted)
        stat = self._touch(wanted, rename.changes.written_ns)
        if rename.changes.changed_ns is not None:
            properties = properties.with_change_time(rename.changes, stat)
            self._rows.save(self._row(rename.target), properties)
        if fold(self._row(rename.source)) != fold(self._row(rename.target)):
            self._rows.drop(self._row(rename.source))
            self._rows.drop_below(self._row(rename.source))

    def _begin_write(self, names: Names, end: int, lease: str | None) -> tuple[Entry, int, bool]:
        """The file, a descriptor, and whether its stored MD5 is valid (or an open write makes it valid)."""
        with self._lock:
            entry = self._require_unleased(names, lease)
            require_writable(entry.properties)
            if end > entry.stat.st_size:
                raise FilesError("InvalidRange", f"The file has {entry.stat.st_size} bytes.")
            vouched = entry.properties.vouches_for(entry.stat) or self._writers[entry.stat.st_ino] > 0
            descriptor = content.open_existing(entry.path, write=True)
            self._writers[entry.stat.st_ino] += 1
            return entry, descriptor, vouched

    def _end_write(
        self, names: Names, entry: Entry, descriptor: int, vouched: bool, keep_write_time: bool
    ) -> os.stat_result:
        """Settle the timestamps and, if the row has an MD5, record whether it is still valid."""
        self._writers[entry.stat.st_ino] -= 1
        if not self._writers[entry.stat.st_ino]:
            del self._writers[entry.stat.st_ino]
        try:
            if keep_write_time:
                os.utime(descriptor, ns=(entry.stat.st_atime_ns, entry.stat.st_mtime_ns))
            stat = self._clock.settle(descriptor)
        finally:
            os.close(descriptor)
        properties = self._rows.load(self._row(names), stat)
        if MD5 in properties.content:
            kept = properties.vouching_for(stat) if vouched else properties.without_md5()
            self._rows.save(self._row(names), kept)
        return stat

    def _touch(self, path: Path, written_ns: int | None) -> os.stat_result:
        """Advance the change time, and set the last-write time if one is given."""
        stat = path.lstat()
        written = stat.st_mtime_ns if written_ns is None else written_ns
        os.utime(path, ns=(stat.st_atime_ns, written), follow_symlinks=False)
        return self._clock.settle(path)

    def _save(self, names: Names, entry: Entry, properties: Properties) -> Entry:
        self._rows.save(self._row(names), properties)
        return replace(entry, stat=entry.path.lstat(), properties=properties)

    def _forget(self, names: Names) -> None:
        self._rows.drop(self._row(names))
        self._rows.drop_below(self._row(names))

    def _row(self, names: Sequence[str]) -> str:
        """The key of a row; the root directory has a key of its own, apart from the share's."""
        return "/".join((self._key, *names)) if names else f"{self._key}/"


def _set_written(path: Path, changes: Changes) -> None:
    if changes.written_ns is not None:
        os.utime(path, ns=(changes.written_ns, changes.written_ns))


def _sort_key(name: str) -> str:
    return f"{fold(name)}\0{name}"
