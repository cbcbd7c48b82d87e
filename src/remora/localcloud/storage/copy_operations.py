"""Copy File: from any share of the same account, done before it is answered. Other sources are refused."""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit

from starlette.responses import Response

from remora.localcloud.storage import headers as wire
from remora.localcloud.storage.call import Call
from remora.localcloud.storage.errors import FilesError
from remora.localcloud.storage.names import Target, parse_target
from remora.localcloud.storage.properties import Copied


def start(call: Call) -> Response:
    url = call.headers["x-ms-copy-source"]
    source = _source(call, url)
    copied = Copied(str(uuid.uuid4()), url)
    entry = call.share.copy_file(
        call.shares.open(source.account, source.share),
        source.path,
        call.target.path,
        metadata=wire.metadata(call.headers) or None,
        copied=copied,
        lease=call.lease_id,
        ignore_read_only=wire.flag(call.headers, "x-ms-file-copy-ignore-readonly"),
    )
    headers = {**wire.version_headers(entry), "x-ms-copy-id": copied.id, "x-ms-copy-status": "success"}
    return Response(status_code=202, headers=headers)


def abort(call: Call) -> Response:
    """Every copy is complete when its client learns its id."""
    call.share.get(call.target.path, "file")
    raise FilesError("NoPendingCopyOperation")


def _source(call: Call, url: str) -> Target:
    """A path-style URL of this server, or the host-style one that the account has on Azure."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise FilesError("InvalidHeaderValue", f"x-ms-copy-source: {url}") from None
    is_azure = host.startswith(f"{call.target.account}.file.")
    path = f"/{call.target.account}{parts.path}" if is_azure else parts.path
    source = parse_target(path, keep_trailing_dots=wire.flag(call.headers, "x-ms-source-allow-trailing-dot"))
    if source.account != call.target.account or not source.path:
        raise FilesError("CannotVerifyCopySource", f"'{url}' is no file of this account.")
    if "sharesnapshot" in parts.query:
        raise FilesError("CannotVerifyCopySource", "Share snapshots are not supported by the local cloud.")
    return source
