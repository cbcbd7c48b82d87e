"""The service's operations on shares, and the list of an account's shares. Does not read their files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from starlette.responses import Response

from remora.localcloud.storage import documents, xml
from remora.localcloud.storage import headers as wire
from remora.localcloud.storage.call import Call, decode_marker, encode_marker, page_size
from remora.localcloud.storage.errors import FilesError
from remora.localcloud.storage.store import stamps
from remora.localcloud.storage.store.shares import TIERS, ShareProperties, ShareSettings
from remora.localcloud.storage.xml import ListedShare

_MAX_QUOTA_GIB: Final = 102_400
_PROTOCOLS: Final = ("SMB", "NFS")
_SQUASHES: Final = ("NoRootSquash", "RootSquash", "AllSquash")


def list_shares(call: Call) -> Response:
    query = call.listing()
    first, prefix = decode_marker(query.marker), query.prefix.lower()
    found = sorted(_listed(call, query.include), key=lambda item: item.key)
    wanted = [item for item in found if item.key >= first and item.name.startswith(prefix)]
    limit = page_size(query)
    marker = encode_marker(wanted[limit].key if len(wanted) > limit else None)
    return Response(xml.share_list(query, wanted[:limit], marker, call.now()), media_type="application/xml")


def _listed(call: Call, include: frozenset[str]) -> Iterator[ListedShare]:
    account = call.target.account
    for name in call.shares.names(account):
        yield ListedShare(name, call.shares.get(account, name))
        if "snapshots" in include:
            for stamp, properties in call.shares.snapshots(account, name).items():
                yield ListedShare(name, properties, snapshot=stamp)
    for deleted in call.shares.deleted(account) if "deleted" in include else ():
        yield ListedShare(deleted.name, ShareProperties.from_json(deleted.properties), deleted=deleted)


def create(call: Call) -> Response:
    share = call.shares.create(
        call.target.account,
        call.target.share,
        _quota(call),
        wire.metadata(call.headers),
        _settings(call),
    )
    return Response(status_code=201, headers=_version(share))


def get(call: Call) -> Response:
    share = _shown(call)
    headers = {
        **_version(share),
        **wire.lease_headers(share.lease, call.now()),
        **wire.metadata_headers(share.metadata),
        "x-ms-access-tier": share.shown_tier,
        "x-ms-has-immutability-policy": "false",
        "x-ms-share-quota": str(share.quota_gib),
    }
    if share.tier:
        headers["x-ms-access-tier-change-time"] = stamps.http_date(share.tier_changed_ns)
    if share.protocols != _PROTOCOLS[0]:
        headers["x-ms-enabled-protocols"] = share.protocols
        headers["x-ms-root-squash"] = share.root_squash or _SQUASHES[0]
    return Response(headers=headers)


def get_metadata(call: Call) -> Response:
    share = _shown(call)
    return Response(headers={**_version(share), **wire.metadata_headers(share.metadata)})


def set_metadata(call: Call) -> Response:
    share = call.shares.update(
        call.target.account, call.target.share, call.lease_id, metadata=wire.metadata(call.headers)
    )
    return Response(headers=_version(share))


def set_properties(call: Call) -> Response:
    share = call.shares.update(
        call.target.account,
        call.target.share,
        call.lease_id,
        quota_gib=_quota(call),
        settings=_settings(call),
    )
    return Response(headers=_version(share))


def stats(call: Call) -> Response:
    root = call.share.get((), "directory").path
    return Response(xml.share_stats(used_bytes(root)), media_type="application/xml")


def used_bytes(root: Path) -> int:
    return sum(Path(folder, name).lstat().st_size for folder, _, files in os.walk(root) for name in files)


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


def snapshot(call: Call) -> Response:
    account, share = call.target.account, call.target.share
    stamp, properties = call.shares.snapshot(account, share, wire.metadata(call.headers))
    return Response(status_code=201, headers={**_version(properties), "x-ms-snapshot": stamp})


def restore(call: Call) -> Response:
    """Undelete: the path names the share that is to be, which is the deleted one's name."""
    name = call.headers.get("x-ms-deleted-share-name")
    version = call.headers.get("x-ms-deleted-share-version")
    if not name or not version:
        raise FilesError("MissingRequiredHeader", "x-ms-deleted-share-name, x-ms-deleted-share-version")
    if name.lower() != call.target.share:
        raise FilesError("InvalidHeaderValue", f"x-ms-deleted-share-name: {name}; it is not the URL's share.")
    share = call.shares.restore(call.target.account, name, version)
    return Response(status_code=201, headers=_version(share))


def delete(call: Call) -> Response:
    account, share = call.target.account, call.target.share
    include = call.headers.get("x-ms-delete-snapshots", "").lower()
    if include not in {"", "include", "include-leased"}:
        raise FilesError("InvalidHeaderValue", f"x-ms-delete-snapshots: {include}")
    if call.snapshot is None:
        call.shares.delete(account, share, call.lease_id, with_snapshots=bool(include))
    elif include:
        raise FilesError("InvalidQueryParameterValue", "sharesnapshot, with x-ms-delete-snapshots")
    else:
        call.shares.delete_snapshot(account, share, call.snapshot)
    return Response(status_code=202)


def _shown(call: Call) -> ShareProperties:
    """The properties of the share, or of the snapshot that the request names."""
    account, share = call.target.account, call.target.share
    if call.snapshot is None:
        return call.shares.get(account, share)
    found = call.shares.snapshots(account, share).get(call.snapshot)
    if found is None:
        raise FilesError("ShareSnapshotNotFound")
    return found


def _version(share: ShareProperties) -> wire.Headers:
    return {"etag": stamps.etag(share.changed_ns), "last-modified": stamps.http_date(share.changed_ns)}


def _quota(call: Call) -> int | None:
    quota_gib = wire.optional_int(call.headers, "x-ms-share-quota")
    if quota_gib is not None and not 1 <= quota_gib <= _MAX_QUOTA_GIB:
        raise FilesError("InvalidHeaderValue", f"x-ms-share-quota: {quota_gib} GiB")
    return quota_gib


def _settings(call: Call) -> ShareSettings:
    return ShareSettings(
        tier=_one_of(call, "x-ms-access-tier", TIERS),
        protocols=_one_of(call, "x-ms-enabled-protocols", _PROTOCOLS),
        root_squash=_one_of(call, "x-ms-root-squash", _SQUASHES),
    )


def _one_of(call: Call, name: str, allowed: tuple[str, ...]) -> str | None:
    given = call.headers.get(name)
    if given is None:
        return None
    found = next((value for value in allowed if value.lower() == given.lower()), None)
    if found is None:
        raise FilesError("InvalidHeaderValue", f"{name}: {given}")
    return found
