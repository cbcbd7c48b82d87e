"""What is kept of shares beside the shares themselves: their snapshots, and shares that were deleted.

Directories `<account>/.snapshots/<share>/<time>` and `<account>/.kept/<share>_<version>`, with a record each.
`shares.py` owns the living shares, and calls this with its lock held.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from containerapps_emulator.state import Json, State
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.store import stamps
from containerapps_emulator.storage.store.properties import PropertyStore
from containerapps_emulator.storage.store.tree_copy import copy_tree

_SNAPSHOT_KIND: Final = "files-snapshots"
_KEPT_KIND: Final = "files-kept"
SNAPSHOTS: Final = ".snapshots"
KEPT: Final = ".kept"
_MAX_SNAPSHOTS: Final = 200
_DAY_NS: Final = 24 * 60 * 60 * 1_000_000_000
_SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Deleted:
    """A share that can be restored until its days are over."""

    name: str
    version: str
    deleted_ns: int
    days: int
    properties: Json

    def remaining_days(self, now_ns: int) -> int:
        return max(0, self.days - (now_ns - self.deleted_ns) // _DAY_NS)

    @property
    def key(self) -> str:
        return f"{self.name}_{self.version}"


class KeptShares:
    """`now_ns` returns ns since 1970. The caller holds the lock of the shares."""

    def __init__(self, root: Path, state: State, now_ns: Callable[[], int]) -> None:
        self._root = root
        self._state = state
        self._rows = PropertyStore(state)
        self._now_ns = now_ns

    def snapshot(self, account: str, share: str, properties: Json) -> str:
        """Copy the share as it is. The answer is the snapshot's name: its time, in whole seconds.

        Raises ShareSnapshotCountExceeded.
        """
        known = self.snapshots(account, share)
        if len(known) >= _MAX_SNAPSHOTS:
            raise FilesError("ShareSnapshotCountExceeded")
        moment = self._now_ns() // _SECOND_NS * _SECOND_NS
        while (stamp := stamps.iso(moment)) in known:
            moment += _SECOND_NS
        folder = self._root / account / SNAPSHOTS / share
        folder.mkdir(parents=True, exist_ok=True)
        staged = folder / f".{stamp}"
        key = snapshot_key(account, share, stamp)
        shutil.rmtree(staged, ignore_errors=True)  # left by a snapshot that was interrupted
        for below, inode in copy_tree(self._root / account / share, staged):
            self._rows.copy_for(f"{account}/{share}/{below}", f"{key}/{below}", inode)
        staged.rename(folder / stamp)
        self.save_snapshot(account, share, stamp, properties)
        return stamp

    def snapshots(self, account: str, share: str) -> dict[str, Json]:
        """The properties of each snapshot, the oldest first."""
        found = {}
        for _, document in self._state.list(_SNAPSHOT_KIND, f"{account}/{share}/"):
            stamp = str(document.pop("stamp"))
            found[stamp] = document
        return found

    def save_snapshot(self, account: str, share: str, stamp: str, properties: Json) -> None:
        """Replace the properties of a snapshot that exists."""
        self._state.put(_SNAPSHOT_KIND, f"{account}/{share}/{stamp}", {**properties, "stamp": stamp})

    def snapshot_folder(self, account: str, share: str, stamp: str) -> Path:
        """Where its content is. Raises ShareSnapshotNotFound."""
        if stamp not in self.snapshots(account, share):
            raise FilesError("ShareSnapshotNotFound")
        return self._root / account / SNAPSHOTS / share / stamp

    def drop_snapshot(self, account: str, share: str, stamp: str) -> None:
        folder = self.snapshot_folder(account, share, stamp)
        self._state.delete(_SNAPSHOT_KIND, f"{account}/{share}/{stamp}")
        self._rows.drop_below(snapshot_key(account, share, stamp))
        shutil.rmtree(folder, ignore_errors=True)

    def keep(self, account: str, share: str, days: int, properties: Json) -> None:
        """Move a share that is being deleted aside, with its snapshots. The record comes first: one without
        a directory, left by a crash, is no kept share."""
        self.purge(account)
        now_ns = self._now_ns()
        version = f"{stamps.file_time(properties['created_ns']):016X}"
        deleted = Deleted(share, version, now_ns, days, properties)
        document = {"name": share, "version": version, "deleted_ns": now_ns, "days": days}
        self._state.put(_KEPT_KIND, f"{account}/{deleted.key}", {**document, "properties": properties})
        (self._root / account / KEPT).mkdir(exist_ok=True)
        (self._root / account / share).rename(self._root / account / KEPT / deleted.key)
        self._rows.move_below(f"{account}/{share}", f"{account}/{KEPT}/{deleted.key}")
        self._move_snapshots(account, share, deleted.key)

    def deleted(self, account: str) -> list[Deleted]:
        """The kept shares whose days are not over, the newest of a name first."""
        now_ns = self._now_ns()
        found = [deleted for deleted in self._records(account) if deleted.remaining_days(now_ns) > 0]
        return sorted(found, key=lambda deleted: (deleted.name, -deleted.deleted_ns))

    def restore(self, account: str, name: str, version: str) -> Deleted:
        """Move a kept share back. Raises ShareNotFound, ShareAlreadyExists."""
        wanted = (name.lower(), version.lower())
        for deleted in self.deleted(account):
            if (deleted.name.lower(), deleted.version.lower()) == wanted:
                break
        else:
            raise FilesError("ShareNotFound")
        target = self._root / account / deleted.name
        if target.exists():
            raise FilesError("ShareAlreadyExists")
        self._rows.move_below(f"{account}/{KEPT}/{deleted.key}", f"{account}/{deleted.name}")
        self._move_snapshots(account, deleted.key, deleted.name)
        (self._root / account / KEPT / deleted.key).rename(target)
        self._state.delete(_KEPT_KIND, f"{account}/{deleted.key}")
        return deleted

    def purge(self, account: str) -> None:
        """Remove the kept shares whose days are over."""
        now_ns = self._now_ns()
        for deleted in self._records(account):
            if deleted.remaining_days(now_ns) == 0:
                self._forget(account, deleted.key)

    def drop_strays(self, account: str) -> None:
        """Remove directories without a record: of an interrupted snapshot, or of a state that was reset."""
        known = {deleted.key for deleted in self._records(account)}
        for folder in (self._root / account / KEPT).glob("*"):
            if folder.name not in known:
                shutil.rmtree(folder)
        for folder in (self._root / account / SNAPSHOTS).glob("*/*"):
            if folder.name not in self.snapshots(account, folder.parent.name):
                shutil.rmtree(folder)

    def forget(self, account: str) -> None:
        """The account is deleted: nothing of it is kept. Its folder is the caller's."""
        for kind in (_SNAPSHOT_KIND, _KEPT_KIND):
            for key, _ in self._state.list(kind, f"{account}/"):
                self._state.delete(kind, key)
        for name in (SNAPSHOTS, KEPT):
            self._rows.drop_below(f"{account}/{name}")

    def drop_snapshots(self, account: str, share: str) -> None:
        for stamp in self.snapshots(account, share):
            self.drop_snapshot(account, share, stamp)

    def _records(self, account: str) -> list[Deleted]:
        listed = (Deleted(**document) for _, document in self._state.list(_KEPT_KIND, f"{account}/"))
        return [deleted for deleted in listed if (self._root / account / KEPT / deleted.key).is_dir()]

    def _forget(self, account: str, key: str) -> None:
        self.drop_snapshots(account, key)
        self._state.delete(_KEPT_KIND, f"{account}/{key}")
        self._rows.drop_below(f"{account}/{KEPT}/{key}")
        shutil.rmtree(self._root / account / KEPT / key, ignore_errors=True)

    def _move_snapshots(self, account: str, source: str, target: str) -> None:
        for stamp, document in self.snapshots(account, source).items():
            self._state.put(_SNAPSHOT_KIND, f"{account}/{target}/{stamp}", {**document, "stamp": stamp})
            self._state.delete(_SNAPSHOT_KIND, f"{account}/{source}/{stamp}")
            old, new = (snapshot_key(account, name, stamp) for name in (source, target))
            self._rows.move_below(old, new)
        folder = self._root / account / SNAPSHOTS
        if (folder / source).is_dir():
            (folder / source).rename(folder / target)


def snapshot_key(account: str, share: str, stamp: str) -> str:
    """The key of a snapshot's content in the property rows."""
    return f"{account}/{SNAPSHOTS}/{share}/{stamp}"
