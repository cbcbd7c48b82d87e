"""Removes files from the share that nothing points to.

Keeps everything that `aliases.json` points to and can roll back to, and everything that the running revisions
and the last few before them name: their release, base model and alias set. Also keeps everything younger than
a grace period. Reads only folders of Remora's own layout; never touches wheels, history and other files.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import PurePosixPath

from remora.adapters.aliases import AliasSet
from remora.adapters.in_place import settled
from remora.adapters.store import (
    ADAPTERS,
    ALIASES,
    MANIFEST,
    RELEASE_FILE,
    ROOT,
    adapter_folder,
    alias_set_path,
    decode_release,
    model_folder,
    release_folder,
)
from remora.azure.app.apps import ContainerApp
from remora.azure.share.files import Share, ShareEntry
from remora.rollout.revision.candidate import ADAPTERS_VARIABLE, RELEASE_VARIABLE
from remora.rollout.share.history import HISTORY, happened, record
from remora.rollout.share.in_place import find_contents
from remora.rollout.share.lock import LockTimes, locked
from remora.rollout.share.owner import check_owner
from remora.rollout.share.plan import decode_manifest, encode_manifest

GRACE = timedelta(hours=1)
KEPT_REVISIONS = 3
"""The number of stopped revisions to keep for a rollback."""

_TEMPORARY = re.compile(
    r"\..+\.[0-9a-f]{8}"
)  # temporary files of `Share.replace`; a killed one leaves them behind


@dataclass(frozen=True, slots=True)
class Garbage:
    """What can be removed. `size_bytes` is the size of all files."""

    folders: tuple[PurePosixPath, ...]
    files: tuple[PurePosixPath, ...]
    size_bytes: int


def collect_garbage(
    share: Share,
    app: ContainerApp,
    *,
    front: ContainerApp | None = None,
    grace: timedelta = GRACE,
    dry_run: bool = False,
    times: LockTimes | None = None,
) -> Garbage:
    """Remove everything that nothing points to, under the share's lock; with `dry_run` only list it.

    What a `front` before the app runs is kept too.

    Raises DeploymentNotFound without an app, because then it is not known what its next deploy would reuse.
    Raises Refused if the share belongs to another app.
    """
    check_owner(share, app)
    with locked(share, "adapters gc", times) as lock:
        kept = _kept(share, (app, front) if front else (app,))
        garbage = _find(share, kept, datetime.now(UTC) - grace)
        if dry_run or not (garbage.folders or garbage.files):
            return garbage
        lock.confirm()
        share = lock.share
        _forget(share, garbage.folders)  # first, so that no manifest lists missing files
        for folder in garbage.folders:
            share.delete_folder(folder)
        for file in garbage.files:
            share.delete(file)
        count = len(garbage.folders) + len(garbage.files)
        record(
            share, happened("adapters gc", "", message=f"removed {count} items, {garbage.size_bytes} bytes")
        )
        return garbage


def _kept(share: Share, apps: Iterable[ContainerApp]) -> frozenset[PurePosixPath]:
    """The folders and files that something points to."""
    sets = [AliasSet.decode(share.read(ALIASES), str(ALIASES))]
    paths: set[PurePosixPath] = set()
    for environment in chain.from_iterable(map(_environments, apps)):
        if (release := environment.get(RELEASE_VARIABLE, "")) and release.isalnum():
            paths.add(release_folder(release))
            paths |= _models_of(share, release)
        if set_id := environment.get(ADAPTERS_VARIABLE):
            path = alias_set_path(set_id)
            paths.add(path)
            named = AliasSet.decode(share.read(path), str(path))
            sets.append(settled(named, lambda stamp: find_contents(share, stamp)))
    for aliases in sets:
        paths |= {adapter_folder(name, digest) for name, digest in aliases.referenced}
    return frozenset(paths)


def _models_of(share: Share, release: str) -> set[PurePosixPath]:
    """The base model of a release; all of them if its document is gone, because it may be any."""
    path = release_folder(release) / RELEASE_FILE
    if data := share.read(path):
        return {model_folder(decode_release(data, str(path)).base_digest)}
    return {each.path for each in share.entries(ROOT / "models")}


def _environments(app: ContainerApp) -> Iterable[Mapping[str, str]]:
    """The environments of every active revision, and of the last few inactive ones."""
    revisions = app.revisions()
    active = [revision for revision in revisions if revision.active]
    recent = [revision for revision in revisions if not revision.active][-KEPT_REVISIONS:]
    return [revision.environment for revision in (*active, *recent)]


def _find(share: Share, kept: Collection[PurePosixPath], older_than: datetime) -> Garbage:
    folders: list[PurePosixPath] = []
    for name in share.entries(ADAPTERS):
        folders += [each.path for each in share.entries(name.path) if each.path not in kept]
    for place in ("models", "releases"):
        folders += [each.path for each in share.entries(ROOT / place) if each.path not in kept]
    unused = [folder for folder in folders if _is_older(share, folder, older_than)]
    files = [entry for entry in _loose_files(share) if entry.path not in kept and _before(entry, older_than)]
    size = sum(sum(share.sizes(folder).values()) for folder in unused)
    size += sum(entry.size_bytes for entry in files)
    return Garbage(tuple(unused), tuple(entry.path for entry in files), size)


def _loose_files(share: Share) -> Iterator[ShareEntry]:
    """Alias sets, and temporary files that killed writers left behind."""
    for folder in (ROOT, HISTORY, ROOT / "alias-sets"):
        for entry in share.entries(folder):
            is_set = folder.name == "alias-sets" and entry.path.suffix == ".json"
            if not entry.is_folder and (is_set or _TEMPORARY.fullmatch(entry.path.name)):
                yield entry


def _is_older(share: Share, folder: PurePosixPath, than: datetime) -> bool:
    """Whether nothing below a folder was written recently, so that no upload is in progress."""
    return all(_before(entry, than) for entry in share.entries(folder))


def _before(entry: ShareEntry, than: datetime) -> bool:
    return entry.written is None or entry.written <= than


def _forget(share: Share, folders: Iterable[PurePosixPath]) -> None:
    data = share.read(MANIFEST)
    if data is None:
        return
    gone, manifest = set(folders), decode_manifest(data)
    left = {path: entry for path, entry in manifest.items() if gone.isdisjoint(path.parents)}
    if len(left) < len(manifest):
        share.replace(MANIFEST, encode_manifest(left))
