"""The file shares of all storage accounts: directories `shares_root/<account>/<share>`, one row each.

Every directory is a share, whether this service or the management plane created it.
Owns the quota, metadata and leases of shares; `model.py` owns their content, `kept.py` their snapshots and
the shares that were deleted.
"""

from __future__ import annotations

import secrets
import shutil
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from containerapps_emulator.state import Json, State
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.names import is_share_name
from containerapps_emulator.storage.store import leases
from containerapps_emulator.storage.store.kept import Deleted, KeptShares, snapshot_key
from containerapps_emulator.storage.store.leases import Lease
from containerapps_emulator.storage.store.model import Share
from containerapps_emulator.storage.store.permissions import Permissions
from containerapps_emulator.storage.store.properties import PropertyStore

_KIND: Final = "files"
_SERVICE_KIND: Final = "files-service"
_DELEGATION_KIND: Final = "files-delegation"
_RETENTION_KIND: Final = "files-retention"
_DEFAULT_RETENTION_DAYS: Final = 7
_STAGING: Final = ".uploads"
_DELETED: Final = ".deleted"
_DEFAULT_QUOTA_GIB: Final = 102_400
TIERS: Final = ("TransactionOptimized", "Hot", "Cool", "Premium")


@dataclass(frozen=True, slots=True)
class ShareProperties:
    changed_ns: int
    quota_gib: int = _DEFAULT_QUOTA_GIB
    metadata: Mapping[str, str] = field(default_factory=dict)
    lease: Lease | None = None
    policies: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    created_ns: int = 0
    tier: str = ""
    """Empty until one is set."""
    tier_changed_ns: int = 0
    protocols: str = "SMB"
    root_squash: str | None = None
    snapshot_directory: bool | None = None
    """Whether NFS clients see snapshots in the folder .snapshot."""
    bursting: bool | None = None
    bursting_iops: int | None = None
    bursting_mibps: int | None = None
    raised_ns: int = 0
    """When the quota was last raised."""

    @property
    def shown_tier(self) -> str:
        return self.tier or TIERS[0]

    @property
    def shows_snapshots(self) -> bool:
        return self.snapshot_directory is not False

    @classmethod
    def from_json(cls, document: Json) -> ShareProperties:
        lease = document["lease"]
        return cls(**{**document, "lease": lease and Lease.from_json(lease)})

    def to_json(self) -> Json:
        return {
            "changed_ns": self.changed_ns,
            "quota_gib": self.quota_gib,
            "metadata": dict(self.metadata),
            "lease": self.lease and self.lease.to_json(),
            "policies": {name: dict(fields) for name, fields in self.policies.items()},
            "created_ns": self.created_ns or self.changed_ns,
            "tier": self.tier,
            "tier_changed_ns": self.tier_changed_ns,
            "protocols": self.protocols,
            "root_squash": self.root_squash,
            "snapshot_directory": self.snapshot_directory,
            "bursting": self.bursting,
            "bursting_iops": self.bursting_iops,
            "bursting_mibps": self.bursting_mibps,
            "raised_ns": self.raised_ns,
        }


@dataclass(frozen=True, slots=True)
class ShareSettings:
    """What a client sets of a share beside quota, metadata and policies. None leaves the current value."""

    tier: str | None = None
    protocols: str | None = None
    root_squash: str | None = None
    snapshot_directory: bool | None = None
    bursting: bool | None = None
    bursting_iops: int | None = None
    bursting_mibps: int | None = None

    def applied(self, share: ShareProperties, now_ns: int) -> ShareProperties:
        new_tier = self.tier is not None and self.tier != share.tier
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(share, tier_changed_ns=now_ns if new_tier else share.tier_changed_ns, **given)


_NO_SETTINGS: Final = ShareSettings()


class Shares:
    """`now` returns seconds since 1970. Safe to call from many threads."""

    def __init__(self, root: Path, state: State, now: Callable[[], float]) -> None:
        self._root = root
        self._state = state
        self._now = now
        self._open: dict[str, Share] = {}
        self._lock = threading.Lock()
        self._permissions = Permissions(state)
        self.secret = _secret(state)
        """Of this cloud: user delegation keys are made of it."""
        self._kept = KeptShares(root, state, self._now_ns)
        self._clear_leftovers()

    def names(self, account: str) -> list[str]:
        directory = self._root / account
        if not directory.is_dir():
            return []
        return sorted(
            path.name for path in directory.iterdir() if is_share_name(path.name) and _is_share(path)
        )

    def open(self, account: str, share: str) -> Share:
        """The share's content; each operation on it raises ShareNotFound if there is no such share."""
        key = f"{account}/{share}"
        with self._lock:
            if key not in self._open:
                directory = self._root / account
                self._open[key] = Share(directory / share, directory / _STAGING, key, self._state, self._now)
            return self._open[key]

    def open_snapshot(self, account: str, share: str, stamp: str) -> Share:
        """A snapshot's content, for reading only."""
        with self._lock:
            folder = self._kept.snapshot_folder(account, share, stamp)
        key = snapshot_key(account, share, stamp)
        return Share(folder, self._root / account / _STAGING, key, self._state, self._now)

    def get(self, account: str, share: str) -> ShareProperties:
        with self._lock:
            return self._load(account, share)

    def permission(self, account: str, share: str, key: str) -> str:
        """The text of a permission of the share. Raises FilesError for an unknown key."""
        return self._permissions.find(f"{account}/{share}", key)

    def save_permission(self, account: str, share: str, text: str) -> str:
        """Its key."""
        with self._lock:
            self._load(account, share)
            return self._permissions.save(f"{account}/{share}", text)

    def snapshots(self, account: str, share: str) -> dict[str, ShareProperties]:
        """By time, the oldest first."""
        with self._lock:
            found = self._kept.snapshots(account, share)
        return {stamp: ShareProperties.from_json(document) for stamp, document in found.items()}

    def snapshot(self, account: str, share: str, metadata: Mapping[str, str]) -> tuple[str, ShareProperties]:
        """Copy the share as it is now. Also returns the time that names the snapshot."""
        with self._lock:
            current = self._load(account, share)
            taken = replace(
                current,
                changed_ns=self._now_ns(),
                lease=None,
                policies={},
                metadata=metadata or current.metadata,
            )
            return self._kept.snapshot(account, share, taken.to_json()), taken

    def delete_snapshot(self, account: str, share: str, stamp: str, lease: str | None) -> None:
        with self._lock:
            self._load(account, share)
            taken = self._load_snapshot(account, share, stamp)
            leases.check(taken.lease, lease, self._now(), what="Share")
            self._kept.drop_snapshot(account, share, stamp)

    def deleted(self, account: str) -> list[Deleted]:
        """The deleted shares that can be restored."""
        with self._lock:
            return self._kept.deleted(account)

    def restore(self, account: str, name: str, version: str) -> ShareProperties:
        """Raises ShareNotFound, and ShareAlreadyExists where another share has the name now."""
        with self._lock:
            restored = self._kept.restore(account, name, version)
            properties = ShareProperties.from_json(restored.properties)
            return self._save(account, restored.name, replace(properties, changed_ns=self._now_ns()))

    def retention_days(self, account: str) -> int:
        """How long a deleted share is kept; 0 if it is not."""
        found = self._state.get(_RETENTION_KIND, account)
        return _DEFAULT_RETENTION_DAYS if found is None else int(found["days"])

    def set_retention(self, account: str, days: int) -> None:
        self._state.put(_RETENTION_KIND, account, {"days": days})

    def forget_account(self, account: str) -> None:
        """The account is deleted with everything that was kept of it."""
        with self._lock:
            self._kept.forget(account)
            self._state.delete(_RETENTION_KIND, account)
            self._state.delete(_SERVICE_KIND, account)

    def create(
        self,
        account: str,
        share: str,
        quota_gib: int | None,
        metadata: Mapping[str, str],
        settings: ShareSettings = _NO_SETTINGS,
    ) -> ShareProperties:
        with self._lock:
            directory = self._root / account
            directory.mkdir(parents=True, exist_ok=True)
            try:
                (directory / share).mkdir()
            except FileExistsError:
                raise FilesError("ShareAlreadyExists") from None
            PropertyStore(self._state).drop_below(f"{account}/{share}")
            quota = _DEFAULT_QUOTA_GIB if quota_gib is None else quota_gib
            now_ns = self._now_ns()
            properties = ShareProperties(
                now_ns, quota, metadata, created_ns=now_ns, tier_changed_ns=now_ns, raised_ns=now_ns
            )
            return self._save(account, share, settings.applied(properties, now_ns))

    def update(
        self,
        account: str,
        share: str,
        lease: str | None,
        *,
        quota_gib: int | None = None,
        metadata: Mapping[str, str] | None = None,
        policies: Mapping[str, Mapping[str, str]] | None = None,
        settings: ShareSettings = _NO_SETTINGS,
    ) -> ShareProperties:
        with self._lock:
            current = self._load(account, share)
            leases.check(current.lease, lease, self._now(), what="Share")
            now_ns = self._now_ns()
            changed = replace(
                settings.applied(current, now_ns),
                changed_ns=now_ns,
                quota_gib=current.quota_gib if quota_gib is None else quota_gib,
                raised_ns=now_ns if (quota_gib or 0) > current.quota_gib else current.raised_ns,
                metadata=current.metadata if metadata is None else metadata,
                policies=current.policies if policies is None else policies,
            )
            return self._save(account, share, changed)

    def service_properties(self, account: str) -> dict[str, str]:
        """Maps each section that was set to its XML."""
        return self._state.get(_SERVICE_KIND, account) or {}

    def set_service_properties(self, account: str, sections: Mapping[str, str]) -> None:
        with self._lock:
            self._state.put(_SERVICE_KIND, account, {**self.service_properties(account), **sections})

    def change_lease(
        self,
        account: str,
        share: str,
        change: Callable[[Lease | None], Lease | None],
        snapshot: str | None = None,
    ) -> ShareProperties:
        """`change` gets the lease of the share, or of its snapshot, and returns the new one or raises."""
        with self._lock:
            current = self._load(account, share)
            if snapshot is None:
                return self._save(account, share, replace(current, lease=change(current.lease)))
            taken = self._load_snapshot(account, share, snapshot)
            changed = replace(taken, lease=change(taken.lease))
            self._kept.save_snapshot(account, share, snapshot, changed.to_json())
            return changed

    def delete(
        self,
        account: str,
        share: str,
        lease: str | None,
        *,
        with_snapshots: bool = True,
        with_leased: bool = True,
    ) -> None:
        """Atomic: the content is moved aside before it is removed, so a crash leaves no partial share.

        It is kept as long as the account's settings say. Raises ShareHasSnapshots, and LeaseIdMissing for a
        leased snapshot that is not to be deleted.
        """
        with self._lock:
            current = self._load(account, share)
            leases.check(current.lease, lease, self._now(), what="Share")
            snapshots = self._kept.snapshots(account, share)
            if snapshots and not with_snapshots:
                raise FilesError("ShareHasSnapshots")
            for document in snapshots.values() if not with_leased else ():
                leases.check(ShareProperties.from_json(document).lease, None, self._now(), what="Share")
            days = self.retention_days(account)
            if days:
                self._kept.keep(account, share, days, replace(current, lease=None).to_json())
                self._state.delete(_KIND, f"{account}/{share}")
                return
            self._kept.drop_snapshots(account, share)
            grave = self._root / account / _DELETED
            grave.mkdir(exist_ok=True)
            doomed = (self._root / account / share).rename(grave / uuid.uuid4().hex)
            self._state.delete(_KIND, f"{account}/{share}")
            PropertyStore(self._state).drop_below(f"{account}/{share}")
        shutil.rmtree(doomed)

    def _load(self, account: str, share: str) -> ShareProperties:
        if not _is_share(self._root / account / share):
            raise FilesError("ShareNotFound")
        document = self._state.get(_KIND, f"{account}/{share}")
        if document is None:  # created by the management plane; its ETag starts when it is first read
            return self._save(account, share, ShareProperties(self._now_ns()))
        return ShareProperties.from_json(document)

    def _load_snapshot(self, account: str, share: str, stamp: str) -> ShareProperties:
        document = self._kept.snapshots(account, share).get(stamp)
        if document is None:
            raise FilesError("ShareSnapshotNotFound")
        return ShareProperties.from_json(document)

    def _save(self, account: str, share: str, properties: ShareProperties) -> ShareProperties:
        self._state.put(_KIND, f"{account}/{share}", properties.to_json())
        return properties

    def _now_ns(self) -> int:
        return int(self._now() * 1_000_000_000)

    def _clear_leftovers(self) -> None:
        """Remove the files that an earlier process was writing or deleting when it was killed."""
        for name in (_STAGING, _DELETED):
            for directory in self._root.glob(f"*/{name}"):
                shutil.rmtree(directory)
        for directory in self._root.glob("*"):
            self._kept.purge(directory.name)
            self._kept.drop_strays(directory.name)


def _secret(state: State) -> str:
    known = state.get(_DELEGATION_KIND, "secret")
    if known is None:
        known = {"value": secrets.token_urlsafe(32)}
        state.put(_DELEGATION_KIND, "secret", known)
    return str(known["value"])


def _is_share(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
