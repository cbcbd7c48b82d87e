"""The error tree, and the form of its messages. Owns code, exit code, HTTP status and hint.

Knows neither HTTP nor terminals. Messages are for users: they format a list with `listed` and another
library's error with `said`. A test checks the whole source tree for messages that do not.

RemoraError                      exit 1    HTTP 500   internal_error
├── InvalidInput                 exit 2    HTTP 400   invalid_value
│   ├── UnsupportedParameter               HTTP 400   unsupported_parameter
│   ├── ContextLengthExceeded              HTTP 400   context_length_exceeded
│   ├── InvalidFile                        HTTP 400   invalid_file
│   ├── BodyTooLarge                       HTTP 413   request_too_large
│   ├── HeadersTooLarge                    HTTP 431   headers_too_large
│   ├── BodyTooSlow                        HTTP 408   request_timeout
│   └── PortInUse                          HTTP 409   port_in_use
├── NotFound                     exit 3    HTTP 404   not_found
│   ├── ModelNotFound                      HTTP 404   model_not_found
│   ├── ProjectIncomplete                  HTTP 404   project_incomplete
│   │   └── BaseMissing                    HTTP 404   project_incomplete
│   └── DeploymentNotFound                 HTTP 404   deployment_not_found
├── SignInRequired               exit 4    HTTP 401   sign_in_required
│   └── InvalidApiKey                      HTTP 401   invalid_api_key
├── Refused                      exit 5    HTTP 400   refused
│   ├── AdapterRejected                    HTTP 400   adapter_rejected
│   ├── ForeignHost                        HTTP 403   foreign_host
│   ├── ForeignOrigin                      HTTP 403   foreign_origin
│   └── AdminKeyRequired                   HTTP 403   admin_key_required
├── ProvisioningFailed           exit 6    HTTP 502   provisioning_failed
│   └── SyncFailed                         HTTP 502   sync_failed
├── NotReady                     exit 7    HTTP 503   not_ready
│   ├── CloudUnavailable                   HTTP 503   cloud_unavailable
│   ├── EngineFailed                       HTTP 503   engine_failed
│   ├── LoadFailed                         HTTP 503   load_failed
│   ├── Overloaded                         HTTP 429   overloaded
│   ├── Draining                           HTTP 503   draining
│   └── DeadlineExceeded                   HTTP 504   deadline_exceeded
├── VerificationFailed           exit 8    HTTP 409   verification_failed
├── CannotWrite                  exit 1    HTTP 507   cannot_write
│   └── DiskFull                           HTTP 507   disk_full
├── NotOffered                   exit 2    HTTP 501   not_offered
├── DamagedState                 exit 1    HTTP 500   damaged_state
├── Locked                       exit 9    HTTP 409   locked
└── Interrupted                  exit 130  HTTP 499   interrupted
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import ClassVar

_SHOWN_ITEMS = 3
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSING = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_SQLITE_FULL, _SQLITE_READ_ONLY = 13, 8  # https://sqlite.org/rescode.html
_WRITABLE = "make it writable, or set REMORA_HOME to a folder that you can write to"
_XML = re.compile(r"<\?xml.*", re.DOTALL)
_XML_MESSAGE = re.compile(r"<message[^>]*>(.*?)</message>", re.IGNORECASE | re.DOTALL)
_XML_TAG = re.compile(r"<[^>]*>")
_OBJECT = re.compile(r"<([\w.]+)[^<>]* at 0x[0-9a-fA-F]+>")
_REPR = re.compile(r"\b\w*(?:Error|Exception)\((['\"])(.*?)\1,?\)")
_OPEN_REPR = re.compile(r"\b(\w*(?:Error|Exception))\(")


class RemoraError(Exception):
    """What happened (`message`, with the offending value) and what to do next (`hint`).

    `param` names the request field, flag or file key that caused the error, if there is one. A message may
    quote other software, so markup and Python's own notation are always removed from it here.
    """

    code: ClassVar[str] = "internal_error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "", param: str | None = None) -> None:
        self.message = _plain(message).rstrip().removesuffix(":") or self.code
        super().__init__(self.message)
        self.hint = hint
        self.param = param

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r}, hint={self.hint!r}, param={self.param!r})"


class InvalidInput(RemoraError):
    code = "invalid_value"
    exit_code = 2
    http_status = 400


class UnsupportedParameter(InvalidInput):
    code = "unsupported_parameter"


class ContextLengthExceeded(InvalidInput):
    code = "context_length_exceeded"


class InvalidFile(InvalidInput):
    """A file of the project is malformed; the message names the file and, where known, the line."""

    code = "invalid_file"


class BodyTooLarge(InvalidInput):
    code = "request_too_large"
    http_status = 413


class HeadersTooLarge(InvalidInput):
    code = "headers_too_large"
    http_status = 431


class BodyTooSlow(InvalidInput):
    """The request announced a body but did not send it in time."""

    code = "request_timeout"
    http_status = 408


class PortInUse(InvalidInput):
    code = "port_in_use"
    http_status = 409


class NotFound(RemoraError):
    code = "not_found"
    exit_code = 3
    http_status = 404


class ModelNotFound(NotFound):
    code = "model_not_found"


class ProjectIncomplete(NotFound):
    """The folder lacks a base model, adapters or the files that `remora init` writes."""

    code = "project_incomplete"


class BaseMissing(ProjectIncomplete):
    """No base model is on this machine. `hub_id` names one to download; None where nothing says which."""

    def __init__(self, message: str, *, hint: str, hub_id: str | None = None, revision: str = "") -> None:
        super().__init__(message, hint=hint)
        self.hub_id = hub_id
        self.revision = revision


class DeploymentNotFound(NotFound):
    code = "deployment_not_found"


class SignInRequired(RemoraError):
    code = "sign_in_required"
    exit_code = 4
    http_status = 401


class InvalidApiKey(SignInRequired):
    code = "invalid_api_key"


class Refused(RemoraError):
    """Refused before any change was made."""

    code = "refused"
    exit_code = 5
    http_status = 400


class AdapterRejected(Refused):
    code = "adapter_rejected"


class ForeignHost(Refused):
    """The request names a host that is not this machine; a web page from elsewhere may have sent it."""

    code = "foreign_host"
    http_status = 403


class ForeignOrigin(Refused):
    """A web page from elsewhere sent the request through a visitor's browser."""

    code = "foreign_origin"
    http_status = 403


class AdminKeyRequired(Refused):
    """The request needs the admin key, because it changes which adapters are served."""

    code = "admin_key_required"
    http_status = 403


class ProvisioningFailed(RemoraError):
    code = "provisioning_failed"
    exit_code = 6
    http_status = 502


class SyncFailed(ProvisioningFailed):
    code = "sync_failed"


class NotReady(RemoraError):
    code = "not_ready"
    exit_code = 7
    http_status = 503


class CloudUnavailable(NotReady):
    code = "cloud_unavailable"


class EngineFailed(NotReady):
    code = "engine_failed"


class LoadFailed(NotReady):
    """The engine could not load weights, for a reason other than the weights: memory, a device, a library."""

    code = "load_failed"


class Overloaded(NotReady):
    code = "overloaded"
    http_status = 429


class Draining(NotReady):
    """The endpoint is about to stop: it finishes running requests and accepts no new ones."""

    code = "draining"


class DeadlineExceeded(NotReady):
    """The answer took longer than the time limit and was stopped."""

    code = "deadline_exceeded"
    http_status = 504


class VerificationFailed(RemoraError):
    code = "verification_failed"
    exit_code = 8
    http_status = 409


class CannotWrite(RemoraError):
    """This path cannot be written: it is read-only, or the folder belongs to another user."""

    code = "cannot_write"
    http_status = 507


class DiskFull(CannotWrite):
    """The disk, or this user's quota, is full."""

    code = "disk_full"


class NotOffered(RemoraError):
    """A service of the OpenAI API that this endpoint does not have."""

    code = "not_offered"
    exit_code = 2
    http_status = 501


class DamagedState(RemoraError):
    """A state file on this machine is not as it was written; the hint says how to start again."""

    code = "damaged_state"


class Locked(RemoraError):
    code = "locked"
    exit_code = 9
    http_status = 409


class Interrupted(RemoraError):
    code = "interrupted"
    exit_code = 130
    http_status = 499


def listed(items: Iterable[object], most: int = _SHOWN_ITEMS, separator: str = ", ") -> str:
    """A list in a message: the first few items, and the number of the others."""
    every = [str(item) for item in items]
    shown = separator.join(every[:most])
    return f"{shown} and {len(every) - most} more" if len(every) > most else shown


def said(error: BaseException) -> str:
    """The message of another library's error, for users; its type name if the message is empty."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, KeyError) and error.args:
        return f"{error.args[0]!r} is missing"
    return _plain(str(error)) or type(error).__name__


def _plain(text: str) -> str:
    """The text without markup, memory addresses and Python's notation of exceptions."""
    if found := _XML.search(text):
        message = _XML_MESSAGE.search(found[0])
        inner = message[1] if message else _XML_TAG.sub(" ", found[0])
        text = text[: found.start()] + " ".join(inner.split())
    return _OPEN_REPR.sub(r"\1 (", _REPR.sub(r"\2", _OBJECT.sub(r"\1", text)))


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
        return CannotWrite(f"{place} cannot be written: it is read-only", hint=_WRITABLE)
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
            found = CannotWrite(f"{place} cannot be written: {error.strerror}", hint=_WRITABLE)
        if found is None:
            raise
        raise found from error
