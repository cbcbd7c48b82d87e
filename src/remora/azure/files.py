"""A file share, through Microsoft's SDK. Knows bytes and paths; what to upload is `rollout`'s."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError

from remora.azure.failures import explained
from remora.azure.profile import Clients
from remora.azure.ranges import RANGE_BYTES, upload_ranges
from remora.errors import Locked, SyncFailed

if TYPE_CHECKING:
    from azure.storage.fileshare import ShareClient, ShareFileClient, ShareLeaseClient

_MAX_RANGES_IN_FLIGHT = 8
_LOST_RACE = frozenset({404, 409, 412})  # gone, taken, or with another lease


@dataclass(frozen=True, slots=True)
class ShareEntry:
    """A file or folder of a share; `written` is when its content last changed (UTC), where that is known."""

    path: PurePosixPath
    is_folder: bool
    size_bytes: int
    written: datetime | None


class Share:
    """One file share of a storage account. Paths are relative to its root; safe to use from threads."""

    def __init__(self, clients: Clients, group: str, account: str, name: str) -> None:
        self.account = account
        self.name = name
        self._clients = clients
        self._group = group
        self._known_folders: set[PurePosixPath] = set()
        self._folder_lock = Lock()
        self._in_flight = BoundedSemaphore(_MAX_RANGES_IN_FLIGHT)

    def __repr__(self) -> str:
        return f"Share({self.account!r}, {self.name!r})"

    def read(self, path: PurePosixPath) -> bytes | None:
        """A small file's content, or None where it does not exist. Without a share: DeploymentNotFound."""
        client = self._client.get_file_client(str(path))
        with explained(f"reading {path} from {self!r}"):
            try:
                data: bytes = client.download_file().readall()
            except ResourceNotFoundError as error:
                if _is_of_share(error):
                    raise
                return None
        return data

    def download(self, path: PurePosixPath, target: Path) -> None:
        """Copy a file into a folder of this machine: complete, or not at all."""
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
        try:
            with explained(f"reading {path} from {self!r}"), partial.open("wb") as file:
                self._client.get_file_client(str(path)).download_file(max_concurrency=4).readinto(file)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def replace(self, path: PurePosixPath, data: bytes) -> None:
        """Write a small file so that a reader sees the old or the new content, never a part of it."""
        with explained(f"writing {path} to {self!r}"):
            self._write_beside(path, data).rename_file(str(path), overwrite=True)

    def move(self, source: PurePosixPath, target: PurePosixPath) -> None:
        """Put a file in another's place; a reader of the target sees the old or the new one whole."""
        self.make_folder(target.parent)
        with explained(f"moving {source.name} to {target} on {self!r}"):
            self._client.get_file_client(str(source)).rename_file(str(target), overwrite=True)

    def replace_if_same(self, path: PurePosixPath, data: bytes, *, expected: bytes | None) -> None:
        """`replace`, but only while the file's content is `expected` (None: while there is no file).

        Azure Files honours no If-Match. What it has are leases, and renaming that does not overwrite: the
        content is compared under a lease, and only the lease's holder can rename onto the file. A lease that
        somebody else holds is broken, since it never ends by itself and its holder may be dead; where the
        holder lives, it is the holder's rename that fails. So of two writers at once one wins, whoever it is,
        and the other raises Locked.
        """
        with explained(f"writing {path} to {self!r}"):
            temporary = self._write_beside(path, data)
            try:
                self._rename_if_same(temporary, path, expected)
            except (HttpResponseError, Locked) as error:
                with suppress(AzureError):
                    temporary.delete_file()
                if self.read(path) == data:  # done at a first attempt, whose answer was lost
                    return
                if isinstance(error, Locked) or error.status_code in _LOST_RACE:
                    raise _changed_meanwhile(path) from error
                raise

    def _rename_if_same(
        self, temporary: ShareFileClient, path: PurePosixPath, expected: bytes | None
    ) -> None:
        if expected is None:
            temporary.rename_file(str(path), overwrite=False)
            return
        target = self._client.get_file_client(str(path))
        lease = _lease(target)
        try:
            if target.download_file(lease=lease).readall() != expected:
                raise _changed_meanwhile(path)
            temporary.rename_file(str(path), overwrite=True, destination_lease=lease)
        finally:
            with suppress(AzureError):  # it went with the file that was replaced, or was broken
                lease.release()

    def _write_beside(self, path: PurePosixPath, data: bytes) -> ShareFileClient:
        """A new file with this content in the folder of another, to be renamed."""
        self.make_folder(path.parent)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        client = self._client.get_file_client(str(temporary))
        _create(client, data)
        return client

    def upload(
        self,
        path: PurePosixPath,
        source: Path | bytes,
        *,
        sha256: str = "",
        sent: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Upload a file; `sent` gets the number of bytes as they arrive, from any thread.

        A large one is visible while it grows: upload to a place that nothing points to yet. Interrupted, it
        goes on where it stopped if both attempts say that the content has the same `sha256`.
        """
        self.make_folder(path.parent)
        client = self._client.get_file_client(str(path))
        with explained(f"uploading {path.name} to {self!r}"):
            if isinstance(source, Path) and source.stat().st_size > RANGE_BYTES:
                upload_ranges(client, source, sha256, in_flight=self._in_flight, sent=sent)
                return
            data = source if isinstance(source, bytes) else source.read_bytes()
            _create(client, data)
            sent(len(data))

    def sizes(self, folder: PurePosixPath) -> Mapping[PurePosixPath, int]:
        """Path → size in bytes of every file below a folder; a missing folder is empty."""
        found: dict[PurePosixPath, int] = {}
        client = self._client.get_directory_client(str(folder))
        with explained(f"listing {folder} of {self!r}"):
            try:
                entries = list(client.list_directories_and_files())
            except ResourceNotFoundError as error:
                if _is_of_share(error):
                    raise
                return {}
        for entry in entries:
            path = folder / entry["name"]
            if entry["is_directory"]:
                found |= self.sizes(path)
            else:
                found[path] = entry["size"]
        return found

    def copy(self, source: PurePosixPath, target: PurePosixPath) -> None:
        """Make a file the copy of another, on the service; its bytes do not travel through this machine."""
        self.make_folder(target.parent)
        client = self._client.get_file_client(str(target))
        with explained(f"copying {source} to {target} on {self!r}"):
            copy = client.start_copy_from_url(self._client.get_file_client(str(source)).url)
            while copy["copy_status"] == "pending":  # a copy within an account may take a while all the same
                time.sleep(self._clients.profile.poll_seconds)
                found = client.get_file_properties()
                copy = {"copy_status": found.copy.status}
        if copy["copy_status"] != "success":
            raise SyncFailed(f"copying {source} to {target} ended {copy['copy_status']}", hint="try again")

    def entries(self, folder: PurePosixPath) -> list[ShareEntry]:
        """What lies directly in a folder; a missing folder is empty."""
        client = self._client.get_directory_client(str(folder))
        with explained(f"listing {folder} of {self!r}"):
            try:
                found = list(client.list_directories_and_files(include=["timestamps"]))
            except ResourceNotFoundError as error:
                if _is_of_share(error):
                    raise
                return []
        return [
            ShareEntry(
                path=folder / entry["name"],
                is_folder=bool(entry["is_directory"]),
                size_bytes=0 if entry["is_directory"] else entry["size"],
                written=_time(entry["last_write_time"]),
            )
            for entry in found
        ]

    def delete_folder(self, folder: PurePosixPath) -> None:
        """Delete a folder and everything in it; a missing one is a no-op."""
        for entry in self.entries(folder):
            if entry.is_folder:
                self.delete_folder(entry.path)
            else:
                self.delete(entry.path)
        with self._folder_lock:
            self._known_folders.discard(folder)
            with explained(f"deleting {folder} from {self!r}"), suppress(ResourceNotFoundError):
                self._client.delete_directory(str(folder))

    def file(self, path: PurePosixPath) -> ShareFileClient:
        """The SDK's client of one file, for what only that can say (leases)."""
        return self._client.get_file_client(str(path))

    def delete(self, path: PurePosixPath) -> None:
        """Delete a file; a missing one is a no-op."""
        with explained(f"deleting {path} from {self!r}"), suppress(ResourceNotFoundError):
            self._client.get_file_client(str(path)).delete_file()

    def make_folder(self, folder: PurePosixPath) -> None:
        """Create a folder and its parents; existing ones are a no-op."""
        for part in (*reversed(folder.parents), folder):
            with self._folder_lock:
                if part == PurePosixPath() or part in self._known_folders:
                    continue
                self._known_folders.add(part)
                self._create_folder(part)

    def _create_folder(self, folder: PurePosixPath) -> None:
        with explained(f"creating {folder} on {self!r}"), suppress(ResourceExistsError):
            self._client.create_directory(str(folder))

    @cached_property
    def _client(self) -> ShareClient:
        from azure.storage.fileshare import ExponentialRetry, ShareClient

        accounts: Any = self._clients.storage.storage_accounts
        profile = self._clients.profile
        with explained(f"reading storage account {self.account!r}"):
            properties = accounts.get_properties(self._group, self.account)
            keys = accounts.list_keys(self._group, self.account).keys_property
        return ShareClient(
            account_url=properties.primary_endpoints.file.rstrip("/"),
            share_name=self.name,
            credential=keys[0].value,
            retry_policy=ExponentialRetry(
                initial_backoff=profile.poll_seconds,  # the SDK's own 15 s would look like a hang
                random_jitter_range=0,
                retry_total=profile.retries,
            ),
        )


def _create(client: ShareFileClient, data: bytes) -> None:
    """A file with its content in one request; the service compares the MD5."""
    if not data:
        client.create_file(0)
        return
    digest = hashlib.md5(data, usedforsecurity=False).digest()
    client.create_file(len(data), data=data, headers={"Content-MD5": base64.b64encode(digest).decode()})


def _time(stamp: str | datetime | None) -> datetime | None:
    """The SDK hands a listing's times on as the service spells them."""
    return datetime.fromisoformat(stamp) if isinstance(stamp, str) else stamp


def _lease(client: ShareFileClient) -> ShareLeaseClient:
    """A lease on a file, taken from whoever holds one."""
    try:
        return client.acquire_lease()
    except ResourceExistsError:
        from azure.storage.fileshare import ShareLeaseClient

        ShareLeaseClient(client).break_lease()
        return client.acquire_lease()


def _changed_meanwhile(path: PurePosixPath) -> Locked:
    return Locked(f"somebody else has changed {path} meanwhile", hint="run the command again")


def _is_of_share(error: ResourceNotFoundError) -> bool:
    """Whether the share itself is missing, which is not the same as an empty one."""
    return getattr(error, "error_code", None) == "ShareNotFound"
