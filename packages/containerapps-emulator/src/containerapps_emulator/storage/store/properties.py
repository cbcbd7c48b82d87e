"""The properties that Azure keeps beside a file's bytes: content headers, metadata, attributes, lease.

Reads no file: bytes and their times belong to the file system, because containers change them too. A row is
bound to the inode it was written for: if a container replaces the file, the row is ignored.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from containerapps_emulator.state import Json, State
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.store.leases import Lease

KIND: Final = "files"
MD5: Final = "content-md5"


@dataclass(frozen=True, slots=True)
class Copied:
    """The copy that made a file: its id, and its source as the client spelled it."""

    id: str
    source: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What a request sets; None leaves the current value. Sizes in bytes, times in ns since 1970."""

    metadata: Mapping[str, str] | None = None
    content: Mapping[str, str] | None = None
    attributes: str | None = None
    created_ns: int | None = None
    written_ns: int | None = None
    size_bytes: int | None = None
    changed_ns: int | None = None
    permission: str | None = None
    """The key of a security descriptor of the share."""


@dataclass(frozen=True, slots=True)
class Properties:
    """`content` maps lower-case header names (content-type …) to values; they are replaced together.

    `vouched` is the size and last-write time for which the stored MD5 was last known to be correct: after a
    write that bypasses the API, the MD5 no longer matches the bytes.
    """

    inode: int
    created_ns: int | None = None
    attributes: str | None = None
    content: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    lease: Lease | None = None
    vouched: tuple[int, int] | None = None
    copied: Copied | None = None
    change_time: tuple[int, int] | None = None
    """The change time that a client set, and the file system's own one that it stands for."""
    cleared: tuple[tuple[int, int], ...] = ()
    """The ranges that clients cleared: first and last byte, in order."""
    origin: int | None = None
    """Of a file in a snapshot: the inode of the file that it is a copy of."""
    permission: str | None = None

    def changed(self, changes: Changes) -> Properties:
        return replace(
            self,
            metadata=self.metadata if changes.metadata is None else changes.metadata,
            content=self.content if changes.content is None else changes.content,
            attributes=self.attributes if changes.attributes is None else changes.attributes,
            created_ns=self.created_ns if changes.created_ns is None else changes.created_ns,
            permission=self.permission if changes.permission is None else changes.permission,
        )

    def vouching_for(self, stat: os.stat_result) -> Properties:
        """A copy that marks the MD5 as correct for the file's current state."""
        return replace(self, inode=stat.st_ino, vouched=(stat.st_size, stat.st_mtime_ns))

    def with_change_time(self, changes: Changes, stat: os.stat_result) -> Properties:
        """The client's change time lasts until anything changes the file again."""
        if changes.changed_ns is None:
            return self
        return replace(self, change_time=(changes.changed_ns, stat.st_ctime_ns))

    def shown_change_ns(self, stat: os.stat_result) -> int:
        if self.change_time is not None and self.change_time[1] == stat.st_ctime_ns:
            return self.change_time[0]
        return stat.st_ctime_ns

    def with_cleared(self, first: int, last: int) -> Properties:
        merged: list[tuple[int, int]] = []
        for low, high in sorted((*self.cleared, (first, last))):
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        return replace(self, cleared=tuple(merged))

    def vouches_for(self, stat: os.stat_result) -> bool:
        return self.vouched == (stat.st_size, stat.st_mtime_ns)

    def without_md5(self) -> Properties:
        return replace(self, content={name: value for name, value in self.content.items() if name != MD5})

    def is_read_only(self) -> bool:
        return "ReadOnly" in (self.attributes or "")


class PropertyStore:
    """Rows by path key ("account/share/dir/file"), in the cloud's state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def load(self, key: str, stat: os.stat_result) -> Properties:
        """The row of this file; defaults if there is none or it belongs to a replaced file."""
        document = self._state.get(KIND, key)
        if document is None or document["inode"] != stat.st_ino:
            return Properties(stat.st_ino)
        return _from_json(document)

    def save(self, key: str, properties: Properties) -> None:
        self._state.put(KIND, key, _to_json(properties))

    def drop(self, key: str) -> None:
        self._state.delete(KIND, key)

    def copy_below(self, source: str, target: str) -> None:
        """Give every row below the directory `source` a second key below `target`."""
        for key, document in self._state.list(KIND, f"{source}/".lower()):
            self._state.put(KIND, f"{target}/{key[len(source.lower()) + 1 :]}", document)

    def move_below(self, source: str, target: str) -> None:
        """Give every row below the directory `source` its key below `target` instead."""
        self.copy_below(source, target)
        self.drop_below(source)

    def copy_for(self, source: str, target: str, inode: int) -> None:
        """Give the copy of an entry, which has this inode, the row of the original."""
        document = self._state.get(KIND, source)
        if document is not None:
            self._state.put(KIND, target, {**document, "inode": inode, "origin": document["inode"]})

    def path_of(self, origin: int, below: str) -> str | None:
        """The path below a snapshot's key of the file that is a copy of the one with this inode."""
        for key, document in self._state.list(KIND, f"{below}/".lower()):
            if document.get("origin") == origin:
                return key[len(below) + 1 :]
        return None

    def drop_below(self, key: str) -> None:
        for below, _ in self._state.list(KIND, f"{key}/".lower()):
            self._state.delete(KIND, below)


def require_writable(properties: Properties) -> None:
    if properties.is_read_only():
        raise FilesError("ReadOnlyAttribute")


def _to_json(properties: Properties) -> Json:
    return {
        "inode": properties.inode,
        "created_ns": properties.created_ns,
        "attributes": properties.attributes,
        "content": dict(properties.content),
        "metadata": dict(properties.metadata),
        "lease": properties.lease and properties.lease.to_json(),
        "vouched": properties.vouched,
        "copied": properties.copied and [properties.copied.id, properties.copied.source],
        "change_time": properties.change_time,
        "cleared": properties.cleared,
        "origin": properties.origin,
        "permission": properties.permission,
    }


def _from_json(document: Json) -> Properties:
    lease, vouched, copied = document["lease"], document["vouched"], document.get("copied")
    change_time = document.get("change_time")
    return Properties(
        inode=document["inode"],
        created_ns=document["created_ns"],
        attributes=document["attributes"],
        content=document["content"],
        metadata=document["metadata"],
        lease=lease and Lease.from_json(lease),
        vouched=vouched and (vouched[0], vouched[1]),
        copied=copied and Copied(*copied),
        change_time=change_time and (change_time[0], change_time[1]),
        cleared=tuple((first, last) for first, last in document.get("cleared", ())),
        origin=document.get("origin"),
        permission=document.get("permission"),
    )
