"""The emulator's error tree, and the form of its messages. Owns code, exit code, HTTP status and hint.

Knows neither HTTP nor terminals. The codes are also those of Remora, which starts the emulator for its users
and shows its errors as its own. `said`, `disk_error` and `writing` are written there too: neither package can
import the other, and a third one for forty lines would be one more thing to install and release. One table of
cases tests both.

EmulatorError                exit 1    HTTP 500   internal_error
├── PortInUse                exit 2    HTTP 409   port_in_use
├── NotRunning               exit 7    HTTP 503   cloud_unavailable
├── CannotWrite              exit 1    HTTP 507   cannot_write
│   └── DiskFull                       HTTP 507   disk_full
├── DamagedState             exit 1    HTTP 500   damaged_state
└── Locked                   exit 9    HTTP 409   locked
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import ClassVar

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSING = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_SQLITE_FULL, _SQLITE_READ_ONLY = 13, 8  # https://sqlite.org/rescode.html


@dataclass(frozen=True, slots=True)
class Hints:
    """What helps, where it is a command. A program that starts the emulator for its users gives its own."""

    status: str = "containerapps-emulator status"
    reset: str = (
        "start again and keep the files of the shares: containerapps-emulator reset --keep-shares,"
        " then deploy again"
    )
    home: str = "make it writable, or name a folder that you can write to with --home"


HINTS: ContextVar[Hints] = ContextVar("HINTS", default=Hints())  # noqa: B039 - frozen


class EmulatorError(Exception):
    """What happened (`message`, with the offending value) and what to do next (`hint`)."""

    code: ClassVar[str] = "internal_error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class PortInUse(EmulatorError):
    code = "port_in_use"
    exit_code = 2
    http_status = 409


class NotRunning(EmulatorError):
    """No emulator runs for the folder."""

    code = "cloud_unavailable"
    exit_code = 7
    http_status = 503


class CannotWrite(EmulatorError):
    """This path cannot be written: it is read-only, or the folder belongs to another user."""

    code = "cannot_write"
    http_status = 507


class DiskFull(CannotWrite):
    """The disk, or this user's quota, is full."""

    code = "disk_full"


class DamagedState(EmulatorError):
    """A state file on this machine is not as it was written; the hint says how to start again."""

    code = "damaged_state"


class Locked(EmulatorError):
    """Another process uses the folder."""

    code = "locked"
    exit_code = 9
    http_status = 409


def said(error: BaseException) -> str:
    """The message of another library's error, for users; its type name if the message is empty."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, KeyError) and error.args:
        return f"{error.args[0]!r} is missing"
    return str(error) or type(error).__name__


def disk_error(error: BaseException, path: object = "") -> CannotWrite | None:
    """The error for a failed write if the disk is full or read-only; None for any other failure.

    For errors of the system and of SQLite. "Permission denied" may be about reading, so `writing` handles it.
    """
    place = str(path or getattr(error, "filename", None) or "the file")
    number = getattr(error, "errno", None)
    kind = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if number in _FULL or kind == _SQLITE_FULL:
        return DiskFull(
            f"{place} cannot be written: the disk is full",
            hint="free some space (see: df -h), then run the command again",
        )
    if number == errno.EROFS or kind == _SQLITE_READ_ONLY:
        return CannotWrite(f"{place} cannot be written: it is read-only", hint=HINTS.get().home)
    return None


@contextmanager
def writing(path: object = "") -> Iterator[None]:
    """Raise CannotWrite or DiskFull if the block cannot write `path` for lack of space or permission."""
    try:
        yield
    except OSError as error:
        found = disk_error(error, path)
        if found is None and error.errno in _REFUSING:
            place = str(path or error.filename or "the file")
            found = CannotWrite(f"{place} cannot be written: {error.strerror}", hint=HINTS.get().home)
        if found is None:
            raise
        raise found from error
