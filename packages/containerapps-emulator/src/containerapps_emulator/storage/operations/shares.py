"""The service's operations on shares, and the list of an account's shares. Does not read their files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from starlette.responses import Response

from containerapps_emulator.storage import documents, xml
from containerapps_emulator.storage import headers as wire
from containerapps_emulator.storage.call import Call, decode_marker, encode_marker, page_size
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.operations import share_settings as asked
from containerapps_emulator.storage.store import leases, stamps
from containerapps_emulator.storage.store.shares import TIERS, ShareProperties
from containerapps_emulator.storage.xml import ListedShare, provisioning


def list_shares(call: Call) -> Response:
    query = call.listing()
    first, prefix = decode_marker(query.marker), query.prefix.lower()
    found = sorted(_listed(call, query.include), key=lambda item: item.key)
    wanted = [item for item in found if item.key >= first and item.name.startswith(prefix)]
    limit = page_size(query)
    marker = encode_marker(wanted[limit].key if len(wanted) > limit else None)
    body = xml.share_list(query, wanted[:limit], marker, call.now(), premium=call.is_premium)
    return Response(body, media_type="application/xml")


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
    settings = asked.settings(call)
    asked.require_supported(call, settings, settings.protocols or asked.PROTOCOLS[0])
    share = call.shares.create(
        call.target.account,
        call.target.share,
        asked.quota_gib(call),
        wire.metadata(call.headers),
        settings,
    )
    return Response(status_code=201, headers=_version(share))


def get(call: Call) -> Response:
    share, is_premium = _shown(call), call.is_premium
    headers = {
        **_version(share),
        **wire.lease_headers(share.lease, call.now()),
        **wire.metadata_headers(share.metadata),
        "x-ms-access-tier": share.tier or TIERS[-1] if is_premium else share.shown_tier,
        "x-ms-has-immutability-policy": "false",
        "x-ms-share-quota": str(share.quota_gib),
        **({header: value for header, _, value in provisioning(share)} if is_premium else {}),
    }
    if share.tier:
        headers["x-ms-access-tier-change-time"] = stamps.http_date(share.tier_changed_ns)
    if share.protocols != asked.PROTOCOLS[0]:
        headers["x-ms-enabled-protocols"] = share.protocols
        headers["x-ms-root-squash"] = share.root_squash or asked.SQUASHES[0]
        headers["x-ms-enable-snapshot-virtual-directory-access"] = wire.boolean(share.shows_snapshots)
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
    account, name = call.target.account, call.target.share
    quota, settings = asked.quota_gib(call), asked.settings(call)
    asked.require_supported(call, settings, settings.protocols or call.shares.get(account, name).protocols)
    asked.require_downgrade(call, quota)
    share = call.shares.update(account, name, call.lease_id, quota_gib=quota, settings=settings)
    return Response(headers=_version(share))


def stats(call: Call) -> Response:
    _shown(call)
    root = call.share.get((), "directory").path
    return Response(xml.share_stats(used_bytes(root)), media_type="application/xml")


def used_bytes(root: Path) -> int:
    return sum(Path(folder, name).lstat().st_size for folder, _, files in os.walk(root) for name in files)


def get_policies(call: Call) -> Response:
    share = _shown(call)
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
        call.shares.delete(
            account,
            share,
            call.lease_id,
            with_snapshots=bool(include),
            with_leased=include == "include-leased",
        )
    elif include:
        raise FilesError("InvalidQueryParameterValue", "sharesnapshot, with x-ms-delete-snapshots")
    else:
        call.shares.delete_snapshot(account, share, call.snapshot, call.lease_id)
    return Response(status_code=202)


def _shown(call: Call) -> ShareProperties:
    """The properties of the share, or of the snapshot that the request names.

    Reading needs no lease, but a lease id in the request must match.
    """
    account, share = call.target.account, call.target.share
    found: ShareProperties | None = call.shares.get(account, share)
    if call.snapshot is not None:
        found = call.shares.snapshots(account, share).get(call.snapshot)
    if found is None:
        raise FilesError("ShareSnapshotNotFound")
    if call.lease_id is not None:
        leases.check(found.lease, call.lease_id, call.now(), what="Share")
    return found


def _version(share: ShareProperties) -> wire.Headers:
    return {"etag": stamps.etag(share.changed_ns), "last-modified": stamps.http_date(share.changed_ns)}
