"""A small document on the share that one writer at a time can hold, through Azure Files' leases.

Owns the protocol: leases, ranges, the server's clock. `rollout/share/lock.py` owns the content, and the rules
for taking a lease over.

A file's lease never expires (x-ms-lease-duration is -1 for files). Changing its id needs the current id, so
a change is a compare-and-swap: if two clients try to take over the same lease, one succeeds.
https://learn.microsoft.com/rest/api/storageservices/lease-file
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from remora.azure.failures import explained, file_code
from remora.azure.share.files import Share
from remora.errors import InvalidInput

if TYPE_CHECKING:
    from azure.storage.fileshare import ShareLeaseClient

DOCUMENT_BYTES = 1024
"""Each write replaces the whole content in place, padded with blanks: a new file would lose the lease."""

_TAKEN = frozenset({"LeaseAlreadyPresent", "LeaseIdMissing"})
_NOT_OURS = frozenset(
    {
        "LeaseIdMismatchWithFileOperation",
        "LeaseIdMismatchWithLeaseOperation",
        "LeaseLost",
        "LeaseNotPresentWithFileOperation",
        "LeaseNotPresentWithLeaseOperation",
        "LeaseIsBrokenAndCannotBeRenewed",
        "LeaseIsBreakingAndCannotBeChanged",
    }
)


@dataclass(frozen=True, slots=True)
class Held:
    """The content of a leased document, its age by the server's clock, and whether it is leased now."""

    content: bytes
    age_seconds: float
    leased: bool = False


class LeasedFile:
    """A document of at most DOCUMENT_BYTES. A lease's id is a GUID that the holder chooses."""

    def __init__(self, share: Share, path: PurePosixPath) -> None:
        self._share = share
        self._path = path
        self._client = share.file(path)

    def acquire(self, lease_id: str) -> bool:
        """Acquire the lease, creating the file if needed. False if another client holds it."""
        try:
            with explained(f"locking {self._share!r}", but=_TAKEN):
                self._acquire(lease_id)
        except HttpResponseError:
            return False
        return True

    def take_over(self, lease_id: str, former_id: str) -> bool:
        """Take the lease from the holder of `former_id`. False if that holder no longer has it."""
        try:
            with explained(f"taking over the lock of {self._share!r}", but=_NOT_OURS):
                self._lease(former_id).change(lease_id)
        except HttpResponseError:
            return False
        return True

    def break_lease(self) -> None:
        """Break the lease, also of another client; a missing lease is a no-op."""
        try:
            with explained(f"breaking the lock of {self._share!r}", but=_NOT_OURS):
                self._lease(None).break_lease()
        except HttpResponseError:
            return

    def write(self, lease_id: str, content: bytes) -> bool:
        """Write the document as the holder. False if the lease is lost."""
        if len(content) > DOCUMENT_BYTES:  # the service would report it as a wrong signature
            raise InvalidInput(f"{self._path} has room for {DOCUMENT_BYTES} bytes, not {len(content)}")
        padded = content.ljust(DOCUMENT_BYTES)
        try:
            with explained(f"writing {self._path} to {self._share!r}", but=_NOT_OURS):
                self._upload(padded, lease_id)
        except HttpResponseError:
            return False
        return True

    def read(self) -> Held:
        """The document, with or without a lease; a missing one is empty."""
        seen: dict[str, str] = {}
        with explained(f"reading {self._path} from {self._share!r}"):
            try:
                download = self._client.download_file(raw_response_hook=lambda raw: _note(raw, seen))
                content: bytes = download.readall()
            except ResourceNotFoundError as error:
                if getattr(error, "error_code", None) == "ShareNotFound":
                    raise
                return Held(b"", 0.0)
        age_seconds = _seconds_between(download.properties.last_modified, seen.get("Date"))
        return Held(content.strip(), age_seconds, seen.get("x-ms-lease-state") == "leased")

    def release(self, lease_id: str) -> None:
        """Release the lease; a lost lease is a no-op."""
        try:
            with explained(f"unlocking {self._share!r}", but=_NOT_OURS):
                self._lease(lease_id).release()
        except HttpResponseError:
            return

    def _acquire(self, lease_id: str) -> None:
        try:
            self._lease(lease_id).acquire()
        except ResourceNotFoundError as error:
            if getattr(error, "error_code", None) == "ShareNotFound":
                raise
            self._share.make_folder(self._path.parent)
            self._client.create_file(DOCUMENT_BYTES)
            self._lease(lease_id).acquire()

    def _upload(self, document: bytes, lease_id: str) -> None:
        """Write to the whole file, which others may have cut short."""
        lease = self._lease(lease_id)
        try:
            self._client.upload_range(document, 0, DOCUMENT_BYTES, lease=lease)
        except HttpResponseError as error:
            if file_code(error) != "InvalidRange":
                raise
            self._client.resize_file(DOCUMENT_BYTES, lease=lease)
            self._client.upload_range(document, 0, DOCUMENT_BYTES, lease=lease)

    def _lease(self, lease_id: str | None) -> ShareLeaseClient:
        from azure.storage.fileshare import ShareLeaseClient

        return ShareLeaseClient(self._client, lease_id)


def _note(raw: Any, seen: dict[str, str]) -> None:
    """Record the response's headers, which the SDK exposes only here."""
    seen.update(raw.http_response.headers)


def _seconds_between(modified: datetime, date: str | None) -> float:
    return (parsedate_to_datetime(date) - modified).total_seconds() if date else 0.0
