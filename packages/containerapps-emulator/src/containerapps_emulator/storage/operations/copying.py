"""Copy File, and the source of a copied range: any share of this server, copied before it responds. Refuses
other sources.

A file of another account is read with the token in its URL, as on Azure.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.responses import Response

from containerapps_emulator.storage import headers as wire
from containerapps_emulator.storage.call import Call
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.names import Target, parse_target
from containerapps_emulator.storage.operations.permissions import with_copied_permission
from containerapps_emulator.storage.store.model import Entry, Share
from containerapps_emulator.storage.store.properties import Copied

_AZURES_HOST: Final = re.compile(r"([a-z0-9]{3,24})\.(file|blob)\.")


def start(call: Call) -> Response:
    url = call.headers["x-ms-copy-source"]
    source = _find(call, url)
    if source.target.account != call.target.account:
        try:
            _check_token(call, source)
        except FilesError as error:
            raise FilesError("CannotVerifyCopySource", error.message) from None
    copied = Copied(str(uuid.uuid4()), url)
    descriptor, original = _content(call, source).open(source.target.path)
    try:
        entry = call.share.copy_file(
            descriptor,
            call.target.path,
            with_copied_permission(
                call,
                wire.copy_changes(call.headers, original),
                source.target.account,
                source.target.share,
                original,
            ),
            copied=copied,
            lease=call.lease_id,
            ignore_read_only=wire.flag(call.headers, "x-ms-file-copy-ignore-readonly"),
        )
    finally:
        os.close(descriptor)
    headers = {**wire.version_headers(entry), "x-ms-copy-id": copied.id, "x-ms-copy-status": "success"}
    return Response(status_code=202, headers=headers)


def abort(call: Call) -> Response:
    """Always fails: every copy is complete before the client learns its id."""
    call.share.get(call.target.path, "file")
    raise FilesError("NoPendingCopyOperation")


def open_source(call: Call) -> tuple[int, Entry]:
    """The source of a range, open for reading. Even one of the same account needs a token, as on Azure."""
    source = _find(call, call.headers["x-ms-copy-source"])
    scheme, _, token = call.headers.get("x-ms-copy-source-authorization", "").partition(" ")
    if not scheme:
        _check_token(call, source)
    elif scheme.lower() == "bearer":
        call.verify_bearer(source.target, token)
    else:
        raise FilesError("InvalidAuthenticationInfo", f"x-ms-copy-source-authorization: {scheme}")
    return _content(call, source).open(source.target.path)


@dataclass(frozen=True, slots=True)
class _Source:
    target: Target
    query: Mapping[str, str]
    scheme: str


def _find(call: Call, url: str) -> _Source:
    """A path-style URL of this server, or a host-style URL, which the account has on Azure."""
    try:
        parts = urlsplit(url)
        host = _AZURES_HOST.match(parts.hostname or "")
    except ValueError:
        raise FilesError("InvalidHeaderValue", f"x-ms-copy-source: {url}") from None
    if host and host[2] != "file":
        raise FilesError("CannotVerifyCopySource", f"'{url}' is no file: the local cloud has no {host[2]}s.")
    path = parts.path.replace("%5C", "/")  # Azure reads a backslash as a slash
    path = f"/{host[1]}{path}" if host else path
    target = parse_target(path, keep_trailing_dots=wire.flag(call.headers, "x-ms-source-allow-trailing-dot"))
    if not target.path:
        raise FilesError("CannotVerifyCopySource", f"'{url}' is not a file.")
    return _Source(target, dict(parse_qsl(parts.query)), parts.scheme)


def _content(call: Call, source: _Source) -> Share:
    account, share = source.target.account, source.target.share
    if "sharesnapshot" in source.query:
        return call.shares.open_snapshot(account, share, source.query["sharesnapshot"])
    return call.shares.open(account, share)


def _check_token(call: Call, source: _Source) -> None:
    if "sig" not in source.query:
        raise FilesError("NoAuthenticationInformation")
    call.verify_token(source.target, source.query, source.scheme).require("file", "GET", "")
