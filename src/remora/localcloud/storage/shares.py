"""The file shares of all storage accounts: directories `shares_root/<account>/<share>`, one row each.

A share exists because its directory does, whoever made it: this service or the management plane.
Owns quota, metadata and leases of shares; what is inside is model.py's.
"""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from remora.localcloud.state import State
from remora.localcloud.storage import leases
from remora.localcloud.storage.errors import FilesError
from remora.localcloud.storage.leases import Lease
from remora.localcloud.storage.model import Share
from remora.localcloud.storage.names import is_share_name
from remora.localcloud.storage.properties import PropertyStore

_KIND: Final = "files"
_SERVICE_KIND: Final = "files-service"
_STAGING: Final = ".uploads"
_DELETED: Final = ".deleted"
_DEFAULT_QUOTA_GIB: Final = 102_400


@dataclass(frozen=True, slots=True)
class ShareProperties:
    changed_ns: int
    quota_gib: int = _DEFAULT_QUOTA_GIB
    metadata: Mapping[str, str] = field(default_factory=dict)
    lease: Lease | None = None
    policies: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class Shares:
    """`now` gives seconds since 1970. Safe to call from many threads."""

    def __init__(self, root: Path, state: State, now: Callable[[], float]) -> None:
        self._root = root
        self._state = state
        self._now = now
        self._open: dict[str, Share] = {}
        self._lock = threading.Lock()
        self._clear_leftovers()

    def names(self, account: str) -> list[str]:
        directory = self._root / account
        if not directory.is_dir():
            return []
        return sorted(
            path.name for path in directory.iterdir() if is_share_name(path.name) and _is_share(path)
        )

    def open(self, account: str, share: str) -> Share:
        """The share's content; each operation on it raises ShareNotFound where there is none."""
        key = f"{account}/{share}"
        with self._lock:
            if key not in self._open:
                directory = self._root / account
                self._open[key] = Share(directory / share, directory / _STAGING, key, self._state, self._now)
            return self._open[key]

    def get(self, account: str, share: str) -> ShareProperties:
        with self._lock:
            return self._load(account, share)

    def create(
        self, account: str, share: str, quota_gib: int | None, metadata: Mapping[str, str]
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
            return self._save(account, share, ShareProperties(self._now_ns(), quota, metadata))

    def update(
        self,
        account: str,
        share: str,
        lease: str | None,
        *,
        quota_gib: int | None = None,
        metadata: Mapping[str, str] | None = None,
        policies: Mapping[str, Mapping[str, str]] | None = None,
    ) -> ShareProperties:
        with self._lock:
            current = self._load(account, share)
            leases.check(current.lease, lease, self._now(), what="Share")
            changed = replace(
                current,
                changed_ns=self._now_ns(),
                quota_gib=current.quota_gib if quota_gib is None else quota_gib,
                metadata=current.metadata if metadata is None else metadata,
                policies=current.policies if policies is None else policies,
            )
            return self._save(account, share, changed)

    def service_properties(self, account: str) -> dict[str, str]:
        """Section → XML, of the sections that were set."""
        return self._state.get(_SERVICE_KIND, account) or {}

    def set_service_properties(self, account: str, sections: Mapping[str, str]) -> None:
        with self._lock:
            self._state.put(_SERVICE_KIND, account, {**self.service_properties(account), **sections})

    def change_lease(
        self, account: str, share: str, change: Callable[[Lease | None], Lease | None]
    ) -> ShareProperties:
        with self._lock:
            current = self._load(account, share)
            return self._save(account, share, replace(current, lease=change(current.lease)))

    def delete(self, account: str, share: str, lease: str | None) -> None:
        """Gone at once; the content is removed under another name, so a crash leaves no half share."""
        with self._lock:
            current = self._load(account, share)
            leases.check(current.lease, lease, self._now(), what="Share")
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
        if document is None:  # made by the management plane; its ETag begins when it is first seen
            return self._save(account, share, ShareProperties(self._now_ns()))
        lease = document.pop("lease")
        return ShareProperties(**document, lease=lease and Lease.from_json(lease))

    def _save(self, account: str, share: str, properties: ShareProperties) -> ShareProperties:
        document = {
            "changed_ns": properties.changed_ns,
            "quota_gib": properties.quota_gib,
            "metadata": dict(properties.metadata),
            "lease": properties.lease and properties.lease.to_json(),
            "policies": {name: dict(fields) for name, fields in properties.policies.items()},
        }
        self._state.put(_KIND, f"{account}/{share}", document)
        return properties

    def _now_ns(self) -> int:
        return int(self._now() * 1_000_000_000)

    def _clear_leftovers(self) -> None:
        """Remove what an earlier process was writing or deleting when it was killed."""
        for name in (_STAGING, _DELETED):
            for directory in self._root.glob(f"*/{name}"):
                shutil.rmtree(directory)


def _is_share(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
