"""Repairs `aliases.json` and the manifest on a share: rebuilds them from the other files there.

Keeps a damaged file beside it, under another name. The aliases come from the newest complete alias set of a
revision and the history since then; the manifest comes from the adapters' files, which are read once. Does
not list base models: the next deploy finds them missing in the manifest and compares them again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from remora.adapters.adapter import Digest
from remora.adapters.aliases import AliasSet
from remora.adapters.peft.inspect import ADAPTER_FILES
from remora.adapters.store import ADAPTERS, ALIASES, MANIFEST, ROOT
from remora.azure.share.files import Share
from remora.errors import InvalidFile
from remora.rollout.share.history import Happened, happened, read_history, record
from remora.rollout.share.lock import HeldLock
from remora.rollout.share.plan import Recorded, decode_manifest, encode_manifest

_SETS = ROOT / "alias-sets"
_EVENTS = 500
_GENERATION = re.compile(rb'"\$generation"\s*:\s*(\d{1,15})')

Folders = Mapping[tuple[str, Digest], PurePosixPath]


@dataclass(frozen=True, slots=True)
class Repaired:
    """Which files were damaged and rebuilt, where the damaged ones are kept, and what is served now.

    `lost` are names in the history whose files on the share are no longer complete.
    """

    files: tuple[PurePosixPath, ...] = ()
    kept: tuple[PurePosixPath, ...] = ()
    aliases: Mapping[str, Digest] | None = None
    lost: tuple[str, ...] = ()


def repair(lock: HeldLock) -> Repaired:
    """Rebuild the damaged files on the locked share; files that can be read stay as they are."""
    share, done = lock.share, Repaired()
    folders = _adapters_on(share)
    if (damaged := _damaged_manifest(share)) is not None:
        lock.confirm()
        kept = _put_aside(share, MANIFEST, damaged)
        share.replace(MANIFEST, encode_manifest(_manifest_of(share, folders)))
        done = Repaired((MANIFEST,), (kept,))
    if (damaged := _damaged_aliases(share)) is not None:
        aliases, lost = _rebuilt(share, damaged, folders)
        lock.confirm()
        kept = _put_aside(share, ALIASES, damaged)
        share.replace_if_same(ALIASES, aliases.encode(), expected=damaged)
        done = Repaired((*done.files, ALIASES), (*done.kept, kept), aliases.digests, lost)
    if done.files:
        told = ", ".join(path.name for path in done.files)
        record(share, happened("adapters repair", "", message=f"rebuilt {told}"))
    return done


def _damaged_manifest(share: Share) -> bytes | None:
    """The manifest's content if it is damaged, else None."""
    data = share.read(MANIFEST)
    try:
        decode_manifest(data)
    except InvalidFile:
        return data
    return None


def _damaged_aliases(share: Share) -> bytes | None:
    data = share.read(ALIASES)
    try:
        AliasSet.decode(data, str(ALIASES))
    except InvalidFile:
        return data
    return None


def _put_aside(share: Share, path: PurePosixPath, data: bytes) -> PurePosixPath:
    kept = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    share.replace(kept, data)
    return kept


def _adapters_on(share: Share) -> Folders:
    """The folders that have all files of an adapter."""
    sizes = share.sizes(ADAPTERS)
    found = {path.parent for path in sizes if len(path.relative_to(ADAPTERS).parts) == 3}
    return {
        (folder.parent.name, Digest(folder.name)): folder
        for folder in sorted(found)
        if all(sizes.get(folder / name) for name in ADAPTER_FILES)
    }


def _manifest_of(share: Share, folders: Folders) -> dict[PurePosixPath, Recorded]:
    found = {}
    for path in (folder / name for folder in folders.values() for name in ADAPTER_FILES):
        if data := share.read(path):
            found[path] = Recorded(hashlib.sha256(data).hexdigest(), len(data))
    return found


def _rebuilt(share: Share, damaged: bytes, folders: Folders) -> tuple[AliasSet, tuple[str, ...]]:
    """The last aliases, with a generation that is newer than any that a replica may have."""
    newest = max(_whole_sets(share), key=lambda each: each.generation, default=AliasSet())
    digests, lost = dict(newest.digests), []
    since = _since_the_last_deploy(read_history(share, most=_EVENTS))
    for event in since:
        if event.after:
            digests[event.name] = Digest(event.after)
        else:
            digests.pop(event.name, None)
    for name in [name for name, digest in digests.items() if (name, digest) not in folders]:
        lost.append(name)
        del digests[name]
    told = [
        int(number) for data in (damaged, *_put_aside_before(share)) for number in _GENERATION.findall(data)
    ]
    generation = max(newest.generation, *told, 0) + len(since) + 1  # each change added one
    return AliasSet(generation, newest.serving(digests).aliases), tuple(sorted(lost))


def _put_aside_before(share: Share) -> list[bytes]:
    """The damaged aliases that earlier repairs kept; they also have earlier generations."""
    kept = (path for path in share.sizes(ROOT) if path.name.startswith(f"{ALIASES.name}.damaged-"))
    return [share.read(path) or b"" for path in kept]


def _whole_sets(share: Share) -> list[AliasSet]:
    found = []
    for path in share.sizes(_SETS):
        try:
            found.append(AliasSet.decode(share.read(path), str(path)))
        except InvalidFile:
            continue
    return found


def _since_the_last_deploy(events: list[Happened]) -> list[Happened]:
    """Adapter changes that no alias set can include, oldest first."""
    since = []
    for event in events:
        if event.what in ("deploy", "restart") and event.result == "ok":
            break
        if event.what.startswith("adapters ") and event.result == "ok" and event.name:
            since.append(event)
    return since[::-1]
