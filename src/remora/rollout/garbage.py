"""What on the share nothing points to any more, and its removal.

Kept are: what `aliases.json` points to and could roll back to, and whatever the running revisions and the
last few before them name: their release, base model and set of aliases. What is younger than a grace period
stays too. Only folders of Remora's own layout are ever looked at; wheels, history and foreign files are not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from remora.adapters.aliases import AliasSet
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
from remora.azure.apps import ContainerApp
from remora.azure.files import Share, ShareEntry
from remora.rollout.candidate import ADAPTERS_VARIABLE, RELEASE_VARIABLE
from remora.rollout.history import HISTORY, happened, record
from remora.rollout.lock import LockTimes, locked
from remora.rollout.owner import check_owner
from remora.rollout.plan import decode_manifest, encode_manifest

GRACE = timedelta(hours=1)
KEPT_REVISIONS = 3
"""Of those that run no more: enough to go back to."""

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}")  # what `Share.replace` renames; a killed one leaves it


@dataclass(frozen=True, slots=True)
class Garbage:
    """What may go. `size_bytes` is that of all files."""

    folders: tuple[PurePosixPath, ...]
    files: tuple[PurePosixPath, ...]
    size_bytes: int


def collect_garbage(
    share: Share,
    app: ContainerApp,
    *,
    grace: timedelta = GRACE,
    dry_run: bool = False,
    times: LockTimes | None = None,
) -> Garbage:
    """Remove what nothing points to, under the share's lock; with `dry_run` only say what that is.

    Raises DeploymentNotFound without an app: what its next deploy would use again is not known then. Raises
    Refused where the share is another app's.
    """
    check_owner(share, app)
    with locked(share, "adapters gc", times) as lock:
        kept = _kept(share, app)
        garbage = _find(share, kept, datetime.now(UTC) - grace)
        if dry_run or not (garbage.folders or garbage.files):
            return garbage
        lock.confirm()
        _forget(share, garbage.folders)  # first, so that no manifest ever lists what is not there
        for folder in garbage.folders:
            share.delete_folder(folder)
        for file in garbage.files:
            share.delete(file)
        count = len(garbage.folders) + len(garbage.files)
        record(
            share, happened("adapters gc", "", message=f"removed {count} items, {garbage.size_bytes} bytes")
        )
        return garbage


def _kept(share: Share, app: ContainerApp) -> frozenset[PurePosixPath]:
    """The folders and files that something points to."""
    sets = [AliasSet.decode(share.read(ALIASES), str(ALIASES))]
    paths: set[PurePosixPath] = set()
    for environment in _environments(app):
        if (release := environment.get(RELEASE_VARIABLE, "")) and release.isalnum():
            paths.add(release_folder(release))
            data = share.read(release_folder(release) / RELEASE_FILE)
            paths |= {model_folder(decode_release(data, release).base_digest)} if data else set()
        if set_id := environment.get(ADAPTERS_VARIABLE):
            path = alias_set_path(set_id)
            paths.add(path)
            sets.append(AliasSet.decode(share.read(path), str(path)))
    for aliases in sets:
        paths |= {adapter_folder(name, digest) for name, digest in aliases.referenced}
    return frozenset(paths)


def _environments(app: ContainerApp) -> Iterable[Mapping[str, str]]:
    """Those of every revision that is active, and of the last few that are not."""
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
    """Sets of aliases, and what killed writers left beside the files that they were to replace."""
    for folder in (ROOT, HISTORY, ROOT / "alias-sets"):
        for entry in share.entries(folder):
            is_set = folder.name == "alias-sets" and entry.path.suffix == ".json"
            if not entry.is_folder and (is_set or _TEMPORARY.fullmatch(entry.path.name)):
                yield entry


def _is_older(share: Share, folder: PurePosixPath, than: datetime) -> bool:
    """Whether nothing below a folder was written lately: an upload may be going on."""
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
