"""Repairs Remora's files on a share: rebuilds the damaged ones from the other files there.

Keeps a damaged file beside it, under another name. The aliases come from the newest complete alias set of a
revision and the history since then; the manifest comes from the adapters' files, which are read once. Does
not list base models: the next deploy finds them missing in the manifest and compares them again. What has an
id of its own is in `repair_documents`. History, owner and lock need no repair: a damaged one counts as none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from remora.adapters.adapter import Digest
from remora.adapters.aliases import AliasSet
from remora.adapters.in_place import Contents, settled
from remora.adapters.peft.inspect import ADAPTER_FILES
from remora.adapters.store import ADAPTERS, ALIASES, MANIFEST, ROOT
from remora.azure.share.files import Share
from remora.errors import InvalidFile
from remora.rollout.share.history import Happened, happened, read_history, record
from remora.rollout.share.in_place import find_contents
from remora.rollout.share.lock import HeldLock
from remora.rollout.share.plan import Recorded, decode_manifest, encode_manifest
from remora.rollout.share.repair_documents import (
    ALIAS_SETS,
    Folders,
    Mended,
    copy_aside,
    damaged,
    mend_alias_sets,
    mend_in_place,
    mend_releases,
    mend_workspace,
)

_EVENTS = 500
_GENERATION = re.compile(rb'"\$generation"\s*:\s*(\d{1,15})')


@dataclass(frozen=True, slots=True)
class Repaired:
    """Which files were damaged, and what is served now if the aliases were rebuilt.

    `lost` are names in the history whose files on the share are no longer complete.
    """

    files: tuple[Mended, ...] = ()
    aliases: Mapping[str, Digest] | None = None
    lost: tuple[str, ...] = ()


def repair(lock: HeldLock) -> Repaired:
    """Rebuild the damaged files on the locked share, or put them aside; all others stay as they are."""
    share, done = lock.share, list[Mended]()
    folders = _adapters_on(share)
    rebuilt: AliasSet | None = None
    lost: tuple[str, ...] = ()
    if damaged(manifest := share.read(MANIFEST), decode_manifest):
        kept = copy_aside(share, MANIFEST, manifest or b"")
        share.replace(MANIFEST, encode_manifest(_manifest_of(share, folders)))
        done.append(Mended(MANIFEST, kept))
    if damaged(aliases := share.read(ALIASES), lambda data: AliasSet.decode(data, str(ALIASES))):
        rebuilt, lost = _rebuilt(share, aliases or b"", folders)
        kept = copy_aside(share, ALIASES, aliases or b"")
        share.replace_if_same(ALIASES, rebuilt.encode(), expected=aliases)
        done.append(Mended(ALIASES, kept))
    done += mend_alias_sets(share, folders)
    done += (*mend_in_place(share), *mend_releases(share), *mend_workspace(share))
    if done:
        record(share, happened("adapters repair", "", message=_told(done)))
    return Repaired(tuple(done), rebuilt.digests if rebuilt else None, lost)


def _told(done: list[Mended]) -> str:
    """What happened, as the history says it."""
    groups = {
        "rebuilt": [each.path.name for each in done if not each.instead],
        "put aside": [each.path.name for each in done if each.instead],
    }
    return "; ".join(f"{what} {', '.join(names)}" for what, names in groups.items() if names)


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
    """Every file of the complete adapters; not the hidden ones, which killed writers left behind."""
    found = {}
    for folder in folders.values():
        for path in share.sizes(folder):
            if not path.name.startswith(".") and (data := share.read(path)):
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
    """The sets that can be read, with digests in the place of stamps."""

    def contents(stamp: Digest) -> Contents | None:
        with suppress(InvalidFile):
            return find_contents(share, stamp)
        return None

    found = []
    for path in share.sizes(ALIAS_SETS):
        with suppress(InvalidFile):
            found.append(settled(AliasSet.decode(share.read(path), str(path)), contents))
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
