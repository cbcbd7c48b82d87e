"""Decides which files to upload. Pure: data in, data out; never touches a network.

Every file is in a folder named by its content's digest, so a file that the manifest lists and the
share still has with that size is the right one; nothing is ever overwritten in place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from remora.errors import InvalidFile, said


@dataclass(frozen=True, slots=True)
class SyncFile:
    """One file that must be on the share, and where its bytes are on this machine."""

    path: PurePosixPath
    size_bytes: int
    sha256: str
    source: Path | bytes


@dataclass(frozen=True, slots=True)
class Recorded:
    """A file's entry in the manifest."""

    sha256: str
    size_bytes: int


Manifest = Mapping[PurePosixPath, Recorded]


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """Files to upload, files that are already there, and the manifest for the share afterwards."""

    uploads: tuple[SyncFile, ...]
    kept: tuple[SyncFile, ...]
    manifest: Manifest

    @property
    def upload_bytes(self) -> int:
        return sum(file.size_bytes for file in self.uploads)


def plan_sync(wanted: Iterable[SyncFile], manifest: Manifest, sizes: Mapping[PurePosixPath, int]) -> SyncPlan:
    """Compare the wanted files with the last manifest and with the share's real sizes (path → bytes)."""
    files = tuple(wanted)
    there = {path for path, entry in manifest.items() if sizes.get(path) == entry.size_bytes}
    uploads = tuple(file for file in files if file.path not in there)
    added = {file.path: Recorded(file.sha256, file.size_bytes) for file in uploads}
    return SyncPlan(
        uploads=uploads,
        kept=tuple(file for file in files if file.path in there),
        manifest={**manifest, **added},
    )


def sizes_in(manifest: Manifest) -> dict[PurePosixPath, int]:
    """Path → bytes, as the share has them if nothing else changed it."""
    return {path: entry.size_bytes for path, entry in manifest.items()}


def encode_manifest(manifest: Manifest) -> bytes:
    """`manifest.json`: path → sha256 and size in bytes."""
    files = {
        str(path): {"sha256": entry.sha256, "size": entry.size_bytes}
        for path, entry in sorted(manifest.items())
    }
    return (json.dumps({"files": files}, indent=1) + "\n").encode()


def decode_manifest(data: bytes | None, name: str = "manifest.json") -> Manifest:
    """The manifest's content; empty for None (no manifest yet). Raises InvalidFile, which names the file."""
    if data is None:
        return {}
    try:
        files = json.loads(data)["files"]
        return {
            PurePosixPath(path): Recorded(str(entry["sha256"]), int(entry["size"]))
            for path, entry in files.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidFile(
            f"the share's {name} is malformed: {said(error)}",
            hint="run: remora adapters repair",
        ) from error
