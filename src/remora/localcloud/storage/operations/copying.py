"""Copy File: copies from any share of this server before it responds. Refuses other sources.

A file of another account is read with the token in its URL, as on Azure.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.responses import Response

from remora.localcloud.storage import headers as wire
from remora.localcloud.storage.call import Call
from remora.localcloud.storage.errors import FilesError
from remora.localcloud.storage.names import Target, parse_target
from remora.localcloud.storage.store.model import Share
from remora.localcloud.storage.store.properties import Copied

_AZURES_HOST: Final = re.compile(r"([a-z0-9]{3,24})\.file\.")


def start(call: Call) -> Response:
    url = call.headers["x-ms-copy-source"]
    source, content = _source(call, url)
    copied = Copied(str(uuid.uuid4()), url)
    descriptor, original = content.open(source.path)
    try:
        entry = call.share.copy_file(
            descriptor,
            call.target.path,
            wire.copy_changes(call.headers, original),
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


def _source(call: Call, url: str) -> tuple[Target, Share]:
    """A path-style URL of this server, or a host-style URL, which the account has on Azure."""
    try:
        parts = urlsplit(url)
        host = _AZURES_HOST.match(parts.hostname or "")
    except ValueError:
        raise FilesError("InvalidHeaderValue", f"x-ms-copy-source: {url}") from None
    path = parts.path.replace("%5C", "/")  # Azure reads a backslash as a slash
    path = f"/{host[1]}{path}" if host else path
    source = parse_target(path, keep_trailing_dots=wire.flag(call.headers, "x-ms-source-allow-trailing-dot"))
    query = dict(parse_qsl(parts.query))
    if not source.path:
        raise FilesError("CannotVerifyCopySource", f"'{url}' is not a file.")
    if source.account != call.target.account:
        _require_token(call, source, query, parts.scheme)
    if "sharesnapshot" in query:
        return source, call.shares.open_snapshot(source.account, source.share, query["sharesnapshot"])
    return source, call.shares.open(source.account, source.share)


def _require_token(call: Call, source: Target, query: Mapping[str, str], scheme: str) -> None:
    try:
        if "sig" not in query:
            raise FilesError("NoAuthenticationInformation")
        call.verify_token(source, query, scheme).require("file", "GET", "")
    except FilesError as error:
        raise FilesError("CannotVerifyCopySource", error.message) from None
