"""The service's operations on shares, and the list of an account's shares."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from starlette.responses import Response

from remora.localcloud.storage import documents, stamps, xml
from remora.localcloud.storage import headers as wire
from remora.localcloud.storage.call import Call, decode_marker, encode_marker, page_size
from remora.localcloud.storage.errors import FilesError
from remora.localcloud.storage.shares import ShareProperties

_MAX_QUOTA_GIB: Final = 102_400


def list_shares(call: Call) -> Response:
    query = call.listing()
    first = decode_marker(query.marker)
    account = call.target.account
    names = [
        name for name in call.shares.names(account) if name >= first and name.startswith(query.prefix.lower())
    ]
    limit = page_size(query)
    page = [(name, call.shares.get(account, name)) for name in names[:limit]]
    marker = encode_marker(names[limit] if len(names) > limit else None)
    return Response(xml.share_list(query, page, marker, call.now()), media_type="application/xml")


def create(call: Call) -> Response:
    share = call.shares.create(
        call.target.account, call.target.share, _quota(call), wire.metadata(call.headers)
    )
    return Response(status_code=201, headers=_version(share))


def get(call: Call) -> Response:
    share = call.shares.get(call.target.account, call.target.share)
    headers = {
        **_version(share),
        **wire.lease_headers(share.lease, call.now()),
        **wire.metadata_headers(share.metadata),
        "x-ms-has-immutability-policy": "false",
        "x-ms-share-quota": str(share.quota_gib),
    }
    return Response(headers=headers)


def get_metadata(call: Call) -> Response:
    share = call.shares.get(call.target.account, call.target.share)
    return Response(headers={**_version(share), **wire.metadata_headers(share.metadata)})


def set_metadata(call: Call) -> Response:
    share = call.shares.update(
        call.target.account, call.target.share, call.lease_id, metadata=wire.metadata(call.headers)
    )
    return Response(headers=_version(share))


def set_properties(call: Call) -> Response:
    share = call.shares.update(call.target.account, call.target.share, call.lease_id, quota_gib=_quota(call))
    return Response(headers=_version(share))


def stats(call: Call) -> Response:
    root = call.share.get((), "directory").path
    used_bytes = sum(
        Path(folder, name).lstat().st_size for folder, _, files in os.walk(root) for name in files
    )
    return Response(xml.share_stats(used_bytes), media_type="application/xml")


def get_policies(call: Call) -> Response:
    share = call.shares.get(call.target.account, call.target.share)
    return Response(
        xml.access_policies(share.policies), headers=_version(share), media_type="application/xml"
    )


def set_policies(call: Call) -> Response:
    share = call.shares.update(
        call.target.account,
        call.target.share,
        call.lease_id,
        policies=documents.read_policies(call.body),
    )
    return Response(headers=_version(share))


def delete(call: Call) -> Response:
    call.shares.delete(call.target.account, call.target.share, call.lease_id)
    return Response(status_code=202)


def _version(share: ShareProperties) -> wire.Headers:
    return {"etag": stamps.etag(share.changed_ns), "last-modified": stamps.http_date(share.changed_ns)}


def _quota(call: Call) -> int | None:
    quota_gib = wire.optional_int(call.headers, "x-ms-share-quota")
    if quota_gib is not None and not 1 <= quota_gib <= _MAX_QUOTA_GIB:
        raise FilesError("InvalidHeaderValue", f"x-ms-share-quota: {quota_gib} GiB")
    return quota_gib
