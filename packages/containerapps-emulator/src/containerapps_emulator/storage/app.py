"""The Azure Files service as an ASGI app: authenticates a request, finds its operation and runs it.

URLs are path-style: `/<account>/<share>/<path>`. What an operation does is defined in `operations/`.
"""

from __future__ import annotations

import errno
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from anyio import to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from containerapps_emulator.errors import HINTS, CannotWrite, DamagedState
from containerapps_emulator.state import State
from containerapps_emulator.storage import structured, xml
from containerapps_emulator.storage.access.bearer import challenge, check_bearer, check_intent
from containerapps_emulator.storage.access.sas import READING, Grant, require_user, verify_sas
from containerapps_emulator.storage.access.shared_key import verify
from containerapps_emulator.storage.body import Body
from containerapps_emulator.storage.call import Call
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.headers import flag, spelled_metadata, with_capitals
from containerapps_emulator.storage.http_protocol import SPELLED
from containerapps_emulator.storage.names import Target, parse_target
from containerapps_emulator.storage.operations import copying as copies
from containerapps_emulator.storage.operations import directories, files, handles, permissions, ranges, shares
from containerapps_emulator.storage.operations import leases as lease
from containerapps_emulator.storage.operations import services as service
from containerapps_emulator.storage.store.shares import Shares

Operation = Callable[[Call], Response]
May = Callable[[str, str, str, bool], bool]
"""(account, share, object id of an identity, whether it writes) → whether it may."""

OPERATIONS: Final[Mapping[tuple[str, str, str], Operation]] = {
    ("account", "GET", "list"): shares.list_shares,
    ("account", "GET", "properties"): service.get_properties,
    ("account", "PUT", "properties"): service.set_properties,
    ("account", "POST", "userdelegationkey"): service.delegation_key,
    ("share", "PUT", ""): shares.create,
    ("share", "GET", ""): shares.get,
    ("share", "HEAD", ""): shares.get,
    ("share", "DELETE", ""): shares.delete,
    ("share", "GET", "metadata"): shares.get_metadata,
    ("share", "HEAD", "metadata"): shares.get_metadata,
    ("share", "PUT", "metadata"): shares.set_metadata,
    ("share", "PUT", "properties"): shares.set_properties,
    ("share", "GET", "stats"): shares.stats,
    ("share", "GET", "acl"): shares.get_policies,
    ("share", "HEAD", "acl"): shares.get_policies,
    ("share", "PUT", "acl"): shares.set_policies,
    ("share", "PUT", "lease"): lease.lease_share,
    ("share", "PUT", "snapshot"): shares.snapshot,
    ("share", "PUT", "filepermission"): permissions.create,
    ("share", "GET", "filepermission"): permissions.get,
    ("share", "PUT", "undelete"): shares.restore,
    ("directory", "PUT", ""): directories.create,
    ("directory", "GET", ""): directories.get,
    ("directory", "HEAD", ""): directories.get,
    ("directory", "DELETE", ""): directories.delete,
    ("directory", "GET", "list"): directories.list_entries,
    ("directory", "GET", "metadata"): directories.get_metadata,
    ("directory", "HEAD", "metadata"): directories.get_metadata,
    ("directory", "PUT", "metadata"): directories.set_metadata,
    ("directory", "PUT", "properties"): directories.set_properties,
    ("directory", "PUT", "rename"): directories.rename,
    ("file", "PUT", ""): files.create,
    ("file", "GET", ""): files.read,
    ("file", "HEAD", ""): files.head,
    ("file", "DELETE", ""): files.delete,
    ("file", "PUT", "range"): ranges.write,
    ("file", "GET", "rangelist"): ranges.list_ranges,
    ("file", "GET", "metadata"): files.get_metadata,
    ("file", "HEAD", "metadata"): files.get_metadata,
    ("file", "PUT", "metadata"): files.set_metadata,
    ("file", "PUT", "properties"): files.set_properties,
    ("file", "PUT", "rename"): files.rename,
    ("file", "PUT", "lease"): lease.lease_file,
    ("file", "PUT", "copy"): copies.abort,
    ("handles", "GET", "listhandles"): handles.list_handles,
    ("handles", "PUT", "forceclosehandles"): handles.close,
}
"""(subject of the request, method, comp) to operation."""

PROTOCOL: Final = "containerapps_emulator.storage.http_protocol:BulkProtocol"
"""The uvicorn protocol class that this app needs."""

_UNSUPPORTED_HEADERS: Final = (
    "x-ms-blob-type",
    "x-ms-file-file-type",
    "x-ms-mode",
    "x-ms-owner",
    "x-ms-group",
    "x-ms-file-mode-copy-mode",
    "x-ms-file-owner-copy-mode",
    "x-ms-link-text",
    "x-ms-file-target-file",
    "x-ms-enable-smb-directory-lease",
    "x-ms-share-provisioned-iops",
    "x-ms-share-provisioned-bandwidth-mibps",
)
_CONDITIONS: Final = tuple(
    f"{of}if-{what}"
    for of in ("", "x-ms-source-")
    for what in ("match", "none-match", "modified-since", "unmodified-since")
)
_WITH_CONTENT: Final = {("file", "PUT", ""), ("file", "PUT", "range"), ("file", "GET", "")}
_DISK_ERRORS: Final[Mapping[int | None, str]] = {
    errno.ENAMETOOLONG: "InvalidFileOrDirectoryPathName",
    errno.ENOENT: "ResourceNotFound",
    errno.ENOTDIR: "ParentNotFound",
    errno.ENOTEMPTY: "DirectoryNotEmpty",
    errno.EEXIST: "ResourceAlreadyExists",
    errno.EISDIR: "ResourceTypeMismatch",
    errno.ENOSPC: "ShareSizeLimitReached",
    errno.EDQUOT: "ShareSizeLimitReached",
    errno.EFBIG: "OutOfRangeInput",
    errno.EROFS: "CannotWrite",
}
"""Errors of the file system, when a container changes something between the check and the operation."""

_log = logging.getLogger(__name__)


def create_files_app(
    *,
    shares_root: Path,
    account_keys: Callable[[str], Sequence[str]],
    state: State,
    now: Callable[[], float] = time.time,
    is_full: Callable[[], bool] = lambda: False,
    fault: Callable[[], tuple[str, str] | None] = lambda: None,
    claims: Callable[[str], Mapping[str, Any]] = lambda _: {},
    tenant_id: str = "",
    is_premium: Callable[[str], bool] = lambda _: False,
    allows_keys: Callable[[str], bool] = lambda _: True,
    may: May = lambda *_: True,
) -> ASGIApp:
    """`account_keys` returns an account's valid base64 keys, none for an unknown account. `is_full` is called
    before content is written; if it returns True, the write is refused. `fault` is called for every request
    and returns the code and the detail of an error to answer, if there is one. `claims` reads a bearer
    token, and returns nothing for one that is not valid. `tenant_id` is where clients get their tokens.
    `is_premium` tells whether an account is one for premium files, `allows_keys` whether an account can be
    used with its keys, and `may` whether an identity has a role for the files of a share."""
    return _Service(
        shares=Shares(shares_root, state, now),
        account_keys=account_keys,
        now=now,
        is_full=is_full,
        fault=fault,
        claims=claims,
        tenant_id=tenant_id,
        is_premium=is_premium,
        allows_keys=allows_keys,
        may=may,
    )


@dataclass(frozen=True, slots=True)
class _Service:
    shares: Shares
    account_keys: Callable[[str], Sequence[str]]
    now: Callable[[], float]
    is_full: Callable[[], bool]
    fault: Callable[[], tuple[str, str] | None]
    claims: Callable[[str], Mapping[str, Any]]
    tenant_id: str
    is_premium: Callable[[str], bool]
    allows_keys: Callable[[str], bool]
    may: May

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        request_id, body = str(uuid.uuid4()), Body(request)
        try:
            response = await self._operate(request, body)
        except FilesError as error:
            await body.drain()
            response = self._refusal(error, request, request_id)
        except ClientDisconnect:  # during its upload: nothing changed, and nobody reads this response
            return Response(status_code=400)
        except CannotWrite as error:  # the properties of files are part of the state
            response = self._refusal(FilesError(type(error).__name__), request, request_id)
        except DamagedState as error:
            response = self._refusal(
                FilesError("DamagedState", f"{HINTS.get().status}. {error.message}"), request, request_id
            )
        except Exception:
            _log.exception("%s %s", request.method, request.url.path)
            response = self._refusal(FilesError("InternalError"), request, request_id)
        response.headers.update(_common_headers(request, request_id))
        response.raw_headers = with_capitals(response.raw_headers)
        return response

    async def _operate(self, request: Request, body: Body) -> Response:
        headers = dict(request.headers)
        target = parse_target(_raw_path(request), keep_trailing_dots=flag(headers, "x-ms-allow-trailing-dot"))
        if (wrong := self.fault()) is not None:
            raise FilesError(*wrong)
        comp = request.query_params.get("comp", "").lower()
        identity = self._identity(headers)
        grant = self._authenticate(request, target, headers, identity)
        subject = _subject(request, target, comp)
        if grant is not None:
            grant.require(subject, request.method, comp)
        _refuse_unsupported(request, subject, comp)
        if "sharesnapshot" in request.query_params:
            _refuse_change_of_snapshot(subject, request.method, comp)
        if request.method == "PUT" and subject == "file" and comp in ("", "range") and self.is_full():
            raise FilesError("ShareSizeLimitReached")
        operation = _operation(subject, request.method, comp)
        call = Call(
            origin=f"{request.url.scheme}://{request.url.netloc}",
            target=target,
            query=request.query_params,
            headers=spelled_metadata(headers, request.scope.get(SPELLED, {})),
            body=await body.read(),
            shares=self.shares,
            now=self.now,
            verify_token=partial(self._verify_token, request.client.host if request.client else ""),
            verify_bearer=self._verify_bearer,
            identity=identity,
            premium=self.is_premium,
        )
        return await to_thread.run_sync(_run, operation, call)

    def _identity(self, headers: Mapping[str, str]) -> Mapping[str, Any]:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return self.claims(token) if scheme.lower() == "bearer" else {}

    def _authenticate(
        self, request: Request, target: Target, headers: Mapping[str, str], identity: Mapping[str, Any]
    ) -> Grant | None:
        """What a signature in the URL allows; None for a key or a bearer token, which allow everything."""
        query = request.query_params
        scheme = headers.get("authorization", "").partition(" ")[0]
        if scheme.lower() == "bearer":
            self._check_audience(target.account, identity)
            if query.get("comp") != "userdelegationkey":
                check_intent(headers)
        if "sig" in query and ("authorization" not in headers or "sduoid" in query):
            client_ip = request.client.host if request.client else ""
            grant = self._verify_token(client_ip, target, query, request.url.scheme)
            require_user(query, identity)
            return grant
        if scheme.lower() == "bearer":
            if query.get("comp") != "userdelegationkey":
                self._check_role(target, identity, writes=request.method not in READING)
            return None
        self._check_keys(target.account)
        verify(
            method=request.method,
            raw_path=_raw_path(request),
            query=query.multi_items(),
            headers=headers,
            account=target.account,
            keys=self.account_keys(target.account),
            now=self.now(),
        )
        return None

    def _verify_bearer(self, source: Target, token: str) -> None:
        claims = self.claims(token)
        self._check_audience(source.account, claims)
        self._check_role(source, claims, writes=False)

    def _check_role(self, target: Target, identity: Mapping[str, Any], *, writes: bool) -> None:
        if not self.may(target.account, target.share, str(identity.get("oid", "")), writes):
            raise FilesError("AuthorizationPermissionMismatch")

    def _check_keys(self, account: str) -> None:
        if not self.allows_keys(account):
            raise FilesError("KeyBasedAuthenticationNotPermitted")

    def _check_audience(self, account: str, claims: Mapping[str, Any]) -> None:
        check_bearer(str(claims.get("aud", "")), account, known=bool(self.account_keys(account)))

    def _verify_token(self, client_ip: str, target: Target, query: Mapping[str, str], scheme: str) -> Grant:
        if "skoid" not in query:
            self._check_keys(target.account)
        return verify_sas(
            target=target,
            query=query,
            keys=self.account_keys(target.account),
            policies=lambda: self.shares.get(target.account, target.share).policies,
            client_ip=client_ip,
            scheme=scheme,
            now=self.now(),
            secret=self.shares.secret,
        )

    def _refusal(self, error: FilesError, request: Request, request_id: str) -> Response:
        headers = {"x-ms-error-code": error.code}
        if error.source is not None:
            headers["x-ms-copy-source-error-code"] = error.source.code
            headers["x-ms-copy-source-status-code"] = str(error.source.status)
        elif error.status == 401:
            headers["www-authenticate"] = challenge(self.tenant_id)
        if request.method == "HEAD":
            return Response(status_code=error.status, headers=headers)
        body = xml.error(error, request_id, int(self.now() * 1_000_000_000))
        return Response(body, error.status, headers, media_type="application/xml")


def _run(operation: Operation, call: Call) -> Response:
    try:
        return operation(call)
    except OSError as error:
        code = _DISK_ERRORS.get(error.errno)
        if code is None:
            _log.exception("the disk refused an operation on share %s", call.target.share)
        raise FilesError(code or "InternalError") from error


def _operation(subject: str, method: str, comp: str) -> Operation:
    operation = OPERATIONS.get((subject, method, comp))
    if operation is not None:
        return operation
    if any((known_subject, known_comp) == (subject, comp) for known_subject, _, known_comp in OPERATIONS):
        raise FilesError("UnsupportedHttpVerb", f"{method} on a {subject}.")
    raise FilesError("UnsupportedQueryParameter", f"comp={comp} on a {subject}.")


def _subject(request: Request, target: Target, comp: str) -> str:
    restype = request.query_params.get("restype", "").lower()
    if not target.share:
        return "account"
    if comp.endswith("handles"):
        return "handles"
    if restype == "share" and not target.path:
        return "share"
    if restype == "directory":
        return "directory"
    if restype in {"hardlink", "symboliclink"}:
        raise FilesError("UnsupportedQueryParameter", f"restype={restype}")
    if restype or not target.path:
        raise FilesError("InvalidUri", f"restype={restype} is not valid for this path.")
    return "file"


def _refuse_unsupported(request: Request, subject: str, comp: str) -> None:
    """Refuse by name what would change the meaning of a request; never ignore it."""
    call = (subject, request.method, comp)
    if "prevsharesnapshot" in request.query_params and call != ("file", "GET", "rangelist"):
        raise FilesError("UnsupportedQueryParameter", "prevsharesnapshot")
    if structured.NAME in request.headers and call not in _WITH_CONTENT:
        raise FilesError("UnsupportedHeader", f"{structured.NAME} with comp={comp} on a {subject}")
    for name in _UNSUPPORTED_HEADERS:
        if name in request.headers:
            raise FilesError("UnsupportedHeader", name)
    semantics = request.headers.get("x-ms-file-property-semantics", "New")
    if semantics.lower() not in {"new", "restore"}:  # of both, attributes are kept as they are given
        raise FilesError("InvalidHeaderValue", f"x-ms-file-property-semantics: {semantics}")
    if comp not in ("", "range") and "x-ms-copy-source" in request.headers:
        raise FilesError("UnsupportedHeader", f"x-ms-copy-source with comp={comp}")
    for name in _CONDITIONS:
        if name in request.headers:
            raise FilesError("ConditionHeadersNotSupported", name)


def _refuse_change_of_snapshot(subject: str, method: str, comp: str) -> None:
    """A snapshot can be read, leased and deleted as a whole."""
    reads = method in {"GET", "HEAD"} and comp != "listhandles"
    whole = subject == "share" and (method, comp) in {("DELETE", ""), ("PUT", "lease")}
    if not reads and not whole:
        raise FilesError("ShareSnapshotOperationNotSupported")


def _common_headers(request: Request, request_id: str) -> dict[str, str]:
    headers = {"x-ms-request-id": request_id}
    for name in ("x-ms-version", "x-ms-client-request-id"):
        if name in request.headers:
            headers[name] = request.headers[name]
    return headers


def _raw_path(request: Request) -> str:
    """The path as the client signed it, still percent-encoded."""
    raw: bytes = request.scope["raw_path"]
    return raw.decode("latin-1")
