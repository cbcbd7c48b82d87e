"""The keys that are good now. Owns finding out whose key was presented, and following a file that changes.

A key is added to the file, its users move over, the old line goes: each time the file changes it is read
again, within CHECK_SECONDS or at once on SIGHUP. A file that cannot be read changes nothing, and says so.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from remora.errors import AdminKeyRequired, InvalidFile
from remora.project.api_keys import ApiKey
from remora.server.access.keys import ADMIN_VARIABLE, keys_from_file

CHECK_SECONDS = 1.0

Stamp = tuple[int, int, int]

logger = logging.getLogger(__name__)


class KeyRing:
    """Keys that stay as they are, and those of a file. `now` gives seconds that only grow."""

    def __init__(
        self,
        fixed: Sequence[ApiKey] = (),
        file: Path | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fixed = tuple(fixed)
        self._file = file
        self._now = now
        self._of_file: tuple[ApiKey, ...] = ()
        self._stamp: Stamp | None = None
        self._next_check = 0.0
        if file is not None:
            self._stamp = _stamp(file)
            self._of_file = keys_from_file(file)
            self._next_check = now() + CHECK_SECONDS

    @property
    def keys(self) -> tuple[ApiKey, ...]:
        """All keys that are good now."""
        self._follow_file()
        return (*self._fixed, *self._of_file)

    def find(self, presented: str) -> ApiKey | None:
        """The key that was presented, None where it is none of ours.

        Every key is compared, and by digests of one length: the time taken says nothing about any of them.
        """
        wanted = _digest(presented)
        found = None
        for key in self.keys:
            if hmac.compare_digest(_digest(key.secret), wanted):
                found = found or key
        return found

    def check_admin(self, key: ApiKey | None) -> None:
        """Raises AdminKeyRequired unless this is an admin key."""
        if key is not None and key.is_admin:
            return
        if any(known.is_admin for known in self.keys):
            raise AdminKeyRequired(
                "this needs the admin key", hint="send the header 'Authorization: Bearer ADMIN_KEY'"
            )
        raise AdminKeyRequired(
            "this endpoint has no admin key, so nobody may do this",
            hint=f"start it with {ADMIN_VARIABLE} set, or with a line `admin:KEY` in its file of keys",
        )

    def reload(self) -> None:
        """Read the file again now."""
        if self._file is None:
            return
        self._stamp = _stamp(self._file)
        try:
            self._of_file = keys_from_file(self._file)
        except InvalidFile as error:
            logger.warning("the former API keys stay: %s", error.message)
            return
        logger.warning("API keys read again: %s", ", ".join(key.name for key in self._of_file))

    def _follow_file(self) -> None:
        if self._file is None or self._now() < self._next_check:
            return
        self._next_check = self._now() + CHECK_SECONDS
        if _stamp(self._file) != self._stamp:
            self.reload()


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def _stamp(file: Path) -> Stamp | None:
    """What differs as soon as a file was written or replaced; None where it is gone."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
