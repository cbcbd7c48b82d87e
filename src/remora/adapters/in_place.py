"""Models that lie on the share where a fine-tuning job left them, and are served without being uploaded.

A folder that nobody has read yet is known by its stamp: where it lies, and its files' names, sizes and times.
The first replica that serves it reads it once and keeps what it read. Owns the documents, and moves no model:

.remora/in-place/<stamp>.json        what was listed there (`Place`)
.remora/in-place/<stamp>.read.json   what a replica read there (`Contents`)

Only a set of aliases beside `aliases.json` may hold a stamp in the place of a digest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from remora.adapters.adapter import Digest
from remora.adapters.aliases import Alias, AliasSet
from remora.adapters.store import ROOT
from remora.errors import InvalidFile, said

IN_PLACE = ROOT / "in-place"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LATER_MICROSECONDS = 2_000_000  # a mounted share may round times


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as a listing shows it; the time is that of its last write, in microseconds since 1970."""

    size_bytes: int
    written_microseconds: int


@dataclass(frozen=True, slots=True)
class Place:
    """A model's folder, relative to the share, and the files of it that are the model."""

    folder: PurePosixPath
    files: Mapping[str, Listed]

    @property
    def stamp(self) -> Digest:
        """Another one for every other content that a listing can tell apart."""
        return Digest(hashlib.sha256(b"remora place 1\n" + self.encode()).hexdigest())

    def encode(self) -> bytes:
        """The document, spelt alike for equal places."""
        files = {
            name: [each.size_bytes, each.written_microseconds] for name, each in sorted(self.files.items())
        }
        return (json.dumps({"folder": str(self.folder), "files": files}, indent=1) + "\n").encode()

    def is_as_listed(self, share: Path) -> bool:
        """Whether no file of it has changed since, as far as a mounted share shows."""
        return all(_is_same(share / self.folder / name, listed) for name, listed in self.files.items())

    def was_changed(self, share: Path) -> bool:
        """Whether a file of it surely has another content than was listed; a missing one has none."""
        return any(_was_changed(share / self.folder / name, listed) for name, listed in self.files.items())


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file as a replica read it."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What a place held when it was read: the digest of the model, and its files."""

    digest: Digest
    files: Mapping[str, ReadFile]

    def encode(self) -> bytes:
        """The document."""
        files = {name: [each.sha256, each.size_bytes] for name, each in sorted(self.files.items())}
        return (json.dumps({"digest": self.digest, "files": files}, indent=1) + "\n").encode()


def place_path(stamp: Digest) -> PurePosixPath:
    """Where the share has what was listed."""
    return IN_PLACE / f"{stamp}.json"


def contents_path(stamp: Digest) -> PurePosixPath:
    """Where the share has what a replica read, once one has."""
    return IN_PLACE / f"{stamp}.read.json"


def decode_place(data: bytes, origin: str) -> Place:
    """A place's document. Raises InvalidFile."""
    try:
        document = json.loads(data)
        files = {str(name): Listed(*map(int, each)) for name, each in document["files"].items()}
        folder = PurePosixPath(document["folder"])
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise _malformed(origin, error) from error
    paths = (folder, *map(PurePosixPath, files))
    if any(path.is_absolute() or ".." in path.parts for path in paths):
        raise _malformed(origin, ValueError(f"it leads out of the share: {folder}"))
    return Place(folder, files)


def decode_contents(data: bytes, origin: str) -> Contents:
    """What a replica read. Raises InvalidFile."""
    try:
        document = json.loads(data)
        files = {
            str(name): ReadFile(str(sha256), int(size)) for name, (sha256, size) in document["files"].items()
        }
        digest = str(document["digest"])
        if not _DIGEST.fullmatch(digest):  # it becomes a folder
            raise ValueError(f"its digest is {digest!r}")
        return Contents(Digest(digest), files)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise _malformed(origin, error) from error


def settled(aliases: AliasSet, contents: Callable[[Digest], Contents | None]) -> AliasSet:
    """The set with a digest in the place of every stamp of which it is known what was read there."""

    def digest_of(digest: Digest) -> Digest:
        known = contents(digest)
        return known.digest if known else digest

    def settle(alias: Alias) -> Alias:
        return Alias(digest_of(alias.digest), alias.previous and digest_of(alias.previous))

    return replace(aliases, aliases={name: settle(alias) for name, alias in aliases.aliases.items()})


def _is_same(path: Path, listed: Listed) -> bool:
    try:
        now = path.stat()
    except OSError:
        return False
    return (now.st_size, now.st_mtime_ns // 1000) == (listed.size_bytes, listed.written_microseconds)


def _was_changed(path: Path, listed: Listed) -> bool:
    try:
        now = path.stat()
    except OSError:
        return False
    later = now.st_mtime_ns // 1000 - listed.written_microseconds
    return now.st_size != listed.size_bytes or later > _LATER_MICROSECONDS


def _malformed(origin: str, error: Exception) -> InvalidFile:
    return InvalidFile(f"{origin} is malformed: {said(error)}", hint="run: remora adapters repair")
