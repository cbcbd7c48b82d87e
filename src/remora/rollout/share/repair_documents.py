"""Repairs the documents on a share that have an id: sets of aliases, listings of models, releases.

An id or the manifest says what a document held, so what is rebuilt is compared with it. What cannot be
rebuilt is put aside, and the manifest forgets it: readers then act as if it had never been written, and the
next deploy writes it again. Does not touch `aliases.json`, the manifest's own damage, and models.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import islice, product
from pathlib import PurePosixPath

from remora.adapters.adapter import Digest
from remora.adapters.aliases import AliasSet
from remora.adapters.in_place import IN_PLACE, Place, decode_contents, decode_place, place_path
from remora.adapters.store import ALIASES, MANIFEST, RELEASE_FILE, ROOT, WORKSPACE, decode_release
from remora.azure.share.files import Share
from remora.azure.share.models import find_share_models
from remora.errors import InvalidFile
from remora.rollout.share.alias_sets import set_id
from remora.rollout.share.plan import Manifest, decode_manifest, encode_manifest

ALIAS_SETS = ROOT / "alias-sets"
RELEASES = ROOT / "releases"
_READ = ".read.json"
_MOST_GUESSES = 20_000

_SERVES_ALIASES = "its revision serves what aliases.json says"
_READ_AGAIN = "the next replica that starts reads the model again"
_DEPLOY = "run: remora deploy"

Folders = Mapping[tuple[str, Digest], PurePosixPath]


@dataclass(frozen=True, slots=True)
class Mended:
    """A damaged file. `kept` is where its damaged content lies now, None if it was missing.

    `instead` is "" for a file that was rebuilt, else what takes its place.
    """

    path: PurePosixPath
    kept: PurePosixPath | None
    instead: str = ""

    def __str__(self) -> str:
        was = f"the damaged file is kept as {self.kept}" if self.kept else "it was missing"
        return (
            f"put {self.path} aside; {was}; {self.instead}" if self.instead else f"rebuilt {self.path}; {was}"
        )


def damaged(data: bytes | None, decode: Callable[[bytes], object]) -> bool:
    """Whether there is a document, and it cannot be read."""
    if data is None:
        return False
    try:
        decode(data)
    except InvalidFile:
        return True
    return False


def copy_aside(share: Share, path: PurePosixPath, data: bytes) -> PurePosixPath:
    """Keep a damaged document's content beside it."""
    kept = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    share.replace(kept, data)
    return kept


def mend_alias_sets(share: Share, folders: Folders) -> list[Mended]:
    """Rebuild the sets that can be: their id is that of their content."""
    done = []
    for path, data in _documents(share, ALIAS_SETS):
        if damaged(data, lambda data, path=path: AliasSet.decode(data, str(path))):  # type: ignore[misc]
            rebuilt = _set_with_id(share, path.stem, folders)
            content = rebuilt.encode() if rebuilt else None
            done.append(_mend(share, path, data, content, _SERVES_ALIASES))
    return done


def mend_in_place(share: Share) -> list[Mended]:
    """Write a listing again from the files that it lists, if they have not changed; put the others aside."""
    done = []
    now = cache(lambda: _places_now(share))
    for path, data in _documents(share, IN_PLACE):
        if path.name.endswith(_READ):
            if damaged(data, lambda data, path=path: decode_contents(data, str(path))):  # type: ignore[misc]
                done.append(_mend(share, path, data, None, _READ_AGAIN))
        elif not _is_listing(data, path):
            place = now().get(path)
            done.append(_mend(share, path, data, place.encode() if place else None, _DEPLOY))
    _forget(share, {each.path for each in done if each.instead})
    return done


def mend_releases(share: Share) -> list[Mended]:
    """Compare each release's files with the manifest; take what differs from a release with the same file."""
    manifest, done = decode_manifest(share.read(MANIFEST)), []
    listed = {path for path in manifest if path.is_relative_to(RELEASES)}
    for path in sorted(listed | set(share.sizes(RELEASES))):
        data = share.read(path)
        if not _is_of_release(path, data, manifest):
            done.append(_mend(share, path, data, _twin(share, path, manifest), _DEPLOY))
    _forget(share, {each.path for each in done if each.instead})
    return done


def mend_workspace(share: Share) -> list[Mended]:
    """Put aside a damaged list of a workspace's files: the next deploy then uploads all of them."""
    data = share.read(WORKSPACE)
    if data is None or not damaged(data, lambda data: decode_manifest(data, WORKSPACE.name)):
        return []
    return [_mend(share, WORKSPACE, data, None, _DEPLOY)]


def _mend(
    share: Share, path: PurePosixPath, data: bytes | None, rebuilt: bytes | None, instead: str
) -> Mended:
    kept = None if data is None else copy_aside(share, path, data)
    if rebuilt is not None:
        share.replace(path, rebuilt)
        return Mended(path, kept)
    if data is not None:
        share.delete(path)
    return Mended(path, kept, instead)


def _documents(share: Share, folder: PurePosixPath) -> Iterator[tuple[PurePosixPath, bytes]]:
    for path in sorted(share.sizes(folder)):
        if path.suffix == ".json" and (data := share.read(path)) is not None:
            yield path, data


def _set_with_id(share: Share, wanted: str, folders: Folders) -> AliasSet | None:
    """The set with this id: the current aliases, or what a deploy could have made of them.

    A set matters only while `aliases.json` is older, and then it is the next generation of it.
    """
    current = AliasSet.decode(share.read(ALIASES), str(ALIASES))
    stamps = [Digest(path.stem) for path in share.sizes(IN_PLACE) if path.name == f"{path.stem}.json"]
    stamps = [stamp for stamp in stamps if not stamp.endswith(".read")]
    names = sorted({*current.aliases, *(name for name, _ in folders)})
    choices = [(*(digest for owner, digest in folders if owner == name), *stamps, None) for name in names]
    guesses = (
        current.serving({name: digest for name, digest in zip(names, chosen, strict=True) if digest})
        for chosen in product(*choices)
    )
    possible = (each for each in (current, *islice(guesses, _MOST_GUESSES)))
    return next((each for each in possible if set_id(each) == wanted), None)


def _is_listing(data: bytes, path: PurePosixPath) -> bool:
    try:
        return place_path(decode_place(data, str(path)).stamp) == path
    except InvalidFile:
        return False


def _places_now(share: Share) -> dict[PurePosixPath, Place]:
    """The models on the share as they are now, by the path that their listing has."""
    models = find_share_models(share)
    places = [models.place(folder) for folder in (*models.bases, *models.adapters)]
    return {place_path(place.stamp): place for place in places}


def _is_of_release(path: PurePosixPath, data: bytes | None, manifest: Manifest) -> bool:
    """Whether a file holds what the manifest says; one that it does not list need only be readable."""
    recorded = manifest.get(path)
    if recorded is not None:
        return data is not None and hashlib.sha256(data).hexdigest() == recorded.sha256
    return path.name != RELEASE_FILE or not damaged(data, lambda data: decode_release(data, str(path)))


def _twin(share: Share, path: PurePosixPath, manifest: Manifest) -> bytes | None:
    """The content that a file had, from another release."""
    recorded = manifest.get(path)
    same = [other for other, entry in manifest.items() if entry == recorded and other != path]
    for data in map(share.read, same):
        if data is not None and recorded and hashlib.sha256(data).hexdigest() == recorded.sha256:
            return data
    return None


def _forget(share: Share, paths: Collection[PurePosixPath]) -> None:
    """Take these out of the manifest, so that the next deploy uploads them."""
    manifest = decode_manifest(share.read(MANIFEST))
    left = {path: entry for path, entry in manifest.items() if path not in paths}
    if len(left) < len(manifest):
        share.replace(MANIFEST, encode_manifest(left))
