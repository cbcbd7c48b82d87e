"""A file share, through Microsoft's SDK. Owns bytes and paths; `rollout` decides what to upload."""

from __future__ import annotations

import base64
import hashlib
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError

from remora.azure.failures import explained
from remora.azure.profile import Clients
from remora.azure.share.entrance import enter
from remora.azure.share.plain_http import token_options
from remora.azure.share.ranges import RANGE_BYTES, upload_ranges
from remora.errors import Locked, SyncFailed, writing

if TYPE_CHECKING:
    from azure.storage.fileshare import ShareClient, ShareFileClient, ShareLeaseClient

_MAX_RANGES_IN_FLIGHT = 8
_LOST_RACE = frozenset({404, 409, 412})  # missing, in use, or with another lease


@dataclass(frozen=True, slots=True)
class ShareEntry:
    """A file or folder of a share; `written` is when its content last changed (UTC), if known."""

    path: PurePosixPath
    is_folder: bool
    size_bytes: int
    written: datetime | None


class Share:
    """One file share of a storage account. Paths are relative to its root; safe to use from threads."""

    def __init__(
        self, clients: Clients, group: str, account: str, name: str, *, access: str = "auto"
    ) -> None:
        """`access` is how to get in: with the account's "key", as an "identity", or as the account allows."""
        self.account = account
        self.name = name
        self._access = access
        self._clients = clients
        self._group = group
        self._fence: Callable[[], None] = lambda: None
        self._known_folders: set[PurePosixPath] = set()
        self._folder_lock = Lock()
        self._in_flight = BoundedSemaphore(_MAX_RANGES_IN_FLIGHT)

    def __repr__(self) -> str:
        return f"Share({self.account!r}, {self.name!r})"

    @property
    def forbids_keys(self) -> bool:
        """Whether the account cannot be used with its keys, and so cannot be mounted."""
        return self._properties.allow_shared_key_access is False

    @property
    def by_identity(self) -> bool:
        """Whether requests have a token of who is signed in, instead of a signature with the key."""
        return self._access == "identity" or (self._access == "auto" and self.forbids_keys)

    def fenced(self, fence: Callable[[], None]) -> Share:
        """The same share, which calls `fence` before every change; `fence` raises to prevent it."""
        share = copy(self)
        share._fence = fence
        return share

    def read(self, path: PurePosixPath) -> bytes | None:
        """A small file's content, or None if it does not exist. Raises DeploymentNotFound without a share."""
        client = self._client.get_file_client(str(path))
        with explained(f"reading {path} from {self!r}"):
            try:
                data: bytes = client.download_file().readall()
            except ResourceNotFoundError as error:
                if _is_of_share(error):
                    raise
                return None
        return data

    def read_start(self, path: PurePosixPath, count: int) -> bytes:
        """The first `count` bytes of a file, or all of a shorter one."""
        with explained(f"reading {path} from {self!r}"):
            reader = self._client.get_file_client(str(path)).download_file(offset=0, length=count)
            data: bytes = reader.readall()
        return data

    def download(self, path: PurePosixPath, target: Path) -> None:
        """Copy a file to this machine, completely or not at all."""
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
            try:
                with explained(f"reading {path} from {self!r}"), partial.open("wb") as file:
                    self._client.get_file_client(str(path)).download_file(max_concurrency=4).readinto(file)
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)

    def replace(self, path: PurePosixPath, data: bytes) -> None:
        """Write a small file so that a reader sees all of the old or of the new content."""
        self._fence()
        with explained(f"writing {path} to {self!r}"):
            self._write_beside(path, data).rename_file(str(path), overwrite=True)

    def move(self, source: PurePosixPath, target: PurePosixPath) -> None:
        """Replace one file by another; a reader sees all of the old or of the new one."""
        self._fence()
        self.make_folder(target.parent)
        with explained(f"moving {source.name} to {target} on {self!r}"):
            self._client.get_file_client(str(source)).rename_file(str(target), overwrite=True)

    def replace_if_same(self, path: PurePosixPath, data: bytes, *, expected: bytes | None) -> None:
        """`replace`, but only while the file's content is `expected` (None: while there is no file).

        Azure Files ignores If-Match. But it has leases and non-overwriting renames: the content is compared
        under a lease, and only the lease's holder can rename onto the file. A lease of another client is
        broken, because it never expires and its holder may be dead; if that client is still running, its
        rename fails. So of two concurrent writers one succeeds, and the other raises Locked.
        """
        self._fence()
        with explained(f"writing {path} to {self!r}"):
            temporary = self._write_beside(path, data)
            try:
                self._rename_if_same(temporary, path, expected)
            except (HttpResponseError, Locked) as error:
                with suppress(AzureError):
                    temporary.delete_file()
                if self.read(path) == data:  # an earlier attempt succeeded, but its response was lost
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
            with suppress(AzureError):  # the replaced file took it along, or another client broke it
                lease.release()

    def _write_beside(self, path: PurePosixPath, data: bytes) -> ShareFileClient:
        """Create a file with this content beside `path`, to be renamed."""
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

        A large file is visible while it grows: upload to a path that nothing refers to yet. An interrupted
        upload resumes where it stopped if both attempts pass the same `sha256` of the content.
        """
        self._fence()
        self.make_folder(path.parent)
        client = self._client.get_file_client(str(path))

        def arrived(count: int) -> None:
            self._fence()
            sent(count)

        with explained(f"uploading {path.name} to {self!r}"):
            if isinstance(source, Path) and source.stat().st_size > RANGE_BYTES:
                upload_ranges(client, source, sha256, in_flight=self._in_flight, sent=arrived)
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
        """Copy a file on the service; its bytes do not pass through this machine, unless as an identity."""
        if (
            self.by_identity
        ):  # the service would need a token for the source, too, which it takes for ranges only
            self._copy_through(source, target)
            return
        self._fence()
        self.make_folder(target.parent)
        client = self._client.get_file_client(str(target))
        with explained(f"copying {source} to {target} on {self!r}"):
            state = client.start_copy_from_url(self._client.get_file_client(str(source)).url)
            while state["copy_status"] == "pending":  # even a copy within an account can take a while
                time.sleep(self._clients.profile.poll_seconds)
                found = client.get_file_properties()
                state = {"copy_status": found.copy.status}
        if state["copy_status"] != "success":
            raise SyncFailed(f"copying {source} to {target} ended {state['copy_status']}", hint="try again")

    def _copy_through(self, source: PurePosixPath, target: PurePosixPath) -> None:
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder) / "copy"
            self.download(source, here)
            self.upload(target, here)

    def entries(self, folder: PurePosixPath) -> list[ShareEntry]:
        """The direct entries of a folder; a missing folder is empty."""
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
        self._fence()
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
        """The SDK's client of one file, for leases."""
        return self._client.get_file_client(str(path))

    def delete(self, path: PurePosixPath) -> None:
        """Delete a file; a missing one is a no-op."""
        self._fence()
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
        self._fence()
        with explained(f"creating {folder} on {self!r}"), suppress(ResourceExistsError):
            self._client.create_directory(str(folder))

    @cached_property
    def _properties(self) -> Any:
        accounts: Any = self._clients.storage.storage_accounts
        with explained(f"reading storage account {self.account!r}"):
            return accounts.get_properties(self._group, self.account)

    @cached_property
    def _client(self) -> ShareClient:
        from azure.storage.fileshare import ExponentialRetry, ShareClient

        profile = self._clients.profile
        client = ShareClient(
            share_name=self.name,
            retry_policy=ExponentialRetry(
                initial_backoff=profile.poll_seconds,  # the SDK's own 15 s would look like a hang
                random_jitter_range=0,
                retry_total=profile.retries,
            ),
            **(self._with_token() if self.by_identity else self._with_key()),
        )
        if self.by_identity:
            with explained(f"opening {self!r}"):
                enter(self._clients, str(self._properties.id), partial(_look, client))
        return client

    def _with_key(self) -> dict[str, Any]:
        accounts: Any = self._clients.storage.storage_accounts
        with explained(f"reading storage account {self.account!r}"):
            keys = accounts.list_keys(self._group, self.account).keys_property
        return {"credential": keys[0].value, "account_url": self._url}

    def _with_token(self) -> dict[str, Any]:
        """https://learn.microsoft.com/azure/storage/files/authorize-oauth-rest"""
        options: dict[str, Any] = {"credential": self._clients.credential, "token_intent": "backup"}
        return options | token_options(self._url)

    @property
    def _url(self) -> str:
        return str(self._properties.primary_endpoints.file).rstrip("/")


def _look(client: ShareClient) -> None:
    """Read one entry of the share, for which an identity needs its role; there may be none."""
    with suppress(ResourceNotFoundError):
        next(iter(client.list_directories_and_files(results_per_page=1)), None)


def _create(client: ShareFileClient, data: bytes) -> None:
    """Create a file with its content in one request; the service checks the MD5."""
    if not data:
        client.create_file(0)
        return
    digest = hashlib.md5(data, usedforsecurity=False).digest()
    client.create_file(len(data), data=data, headers={"Content-MD5": base64.b64encode(digest).decode()})


def _time(stamp: str | datetime | None) -> datetime | None:
    """A time of a listing, which the SDK returns as the service's text."""
    return datetime.fromisoformat(stamp) if isinstance(stamp, str) else stamp


def _lease(client: ShareFileClient) -> ShareLeaseClient:
    """Acquire a lease on a file, breaking another client's."""
    try:
        return client.acquire_lease()
    except ResourceExistsError:
        from azure.storage.fileshare import ShareLeaseClient

        ShareLeaseClient(client).break_lease()
        return client.acquire_lease()


def _changed_meanwhile(path: PurePosixPath) -> Locked:
    return Locked(f"another client has changed {path} meanwhile", hint="run the command again")


def _is_of_share(error: ResourceNotFoundError) -> bool:
    """Whether the share itself is missing, not just a file in it."""
    return getattr(error, "error_code", None) == "ShareNotFound"
