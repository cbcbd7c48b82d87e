"""The XML bodies of the Azure Files service, byte order mark included. Knows no requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote
from xml.etree import ElementTree as ET

from containerapps_emulator.storage.errors import AUTHENTICATION, FilesError
from containerapps_emulator.storage.headers import (
    attributes_of,
    boolean,
    created_ns,
    file_id,
    permission_key,
)
from containerapps_emulator.storage.names import Target
from containerapps_emulator.storage.store import stamps
from containerapps_emulator.storage.store.differences import Span
from containerapps_emulator.storage.store.kept import Deleted
from containerapps_emulator.storage.store.leases import INFINITE, Lease
from containerapps_emulator.storage.store.model import Entry, Page
from containerapps_emulator.storage.store.provisioning import downgrade_allowed_ns, provisioned
from containerapps_emulator.storage.store.shares import ShareProperties

_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PROLOG: Final = '\ufeff<?xml version="1.0" encoding="utf-8"?>'


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of a listing, which its response repeats. `include` is in lower case."""

    service_endpoint: str
    prefix: str
    marker: str
    max_results: int | None
    include: frozenset[str]


@dataclass(frozen=True, slots=True)
class ListedShare:
    """A share, one of its snapshots, or a deleted share."""

    name: str
    properties: ShareProperties
    snapshot: str | None = None
    deleted: Deleted | None = None

    @property
    def key(self) -> str:
        """Its place in the list: deleted ones first, then snapshots, then the share itself."""
        kept = "" if self.deleted is None else self.deleted.version
        return f"{self.name}\0{'0' if kept else '1' if self.snapshot else '2'}{self.snapshot or kept}"


def error(problem: FilesError, request_id: str, now_ns: int) -> bytes:
    root = ET.Element("Error")
    _add(root, "Code", problem.code)
    shown = _NOT_IN_XML.sub(lambda match: quote(match[0], errors="backslashreplace"), problem.shown)
    _add(root, "Message", f"{shown}\nRequestId:{request_id}\nTime:{stamps.iso(now_ns)}")
    if problem.code in AUTHENTICATION:
        _add(root, "AuthenticationErrorDetail", problem.detail)
    if problem.source is not None:
        _add(root, "CopySourceStatusCode", str(problem.source.status))
        _add(root, "CopySourceErrorCode", problem.source.code)
        _add(root, "CopySourceErrorMessage", problem.source.message)
    return _body(root)


def share_list(
    query: Query, shares: Iterable[ListedShare], next_marker: str, now: float, *, premium: bool
) -> bytes:
    root = _results(query, {})
    listed = ET.SubElement(root, "Shares")
    for share in shares:
        _add_share(listed, share, query.include, now, premium=premium)
    _add(root, "NextMarker", next_marker)
    return _body(root)


def _add_share(
    parent: ET.Element, listed: ListedShare, include: frozenset[str], now: float, *, premium: bool
) -> None:
    item, share = ET.SubElement(parent, "Share"), listed.properties
    _add(item, "Name", listed.name)
    if listed.snapshot:
        _add(item, "Snapshot", listed.snapshot)
    if listed.deleted:
        _add(item, "Deleted", "true")
        _add(item, "Version", listed.deleted.version)
    properties = ET.SubElement(item, "Properties")
    _add(properties, "Last-Modified", stamps.http_date(share.changed_ns))
    _add(properties, "Etag", stamps.etag(share.changed_ns))
    if listed.deleted:
        _add(properties, "DeletedTime", stamps.http_date(listed.deleted.deleted_ns))
        _add(properties, "RemainingRetentionDays", str(listed.deleted.remaining_days(int(now * 10**9))))
    _add_lease(properties, share.lease, now)
    _add(properties, "Quota", str(share.quota_gib))
    for _, name, value in provisioning(share) if premium else ():
        _add(properties, name, value)
    _add(properties, "DefaultEncryptionScope", "$account-encryption-key")
    _add(properties, "DenyEncryptionScopeOverride", "false")
    if share.tier:
        _add(properties, "AccessTier", share.tier)
        _add(properties, "AccessTierChangeTime", stamps.http_date(share.tier_changed_ns))
    if share.protocols != "SMB":
        _add(properties, "EnabledProtocols", share.protocols)
        _add(properties, "RootSquash", share.root_squash or "NoRootSquash")
        _add(properties, "EnableSnapshotVirtualDirectoryAccess", boolean(share.shows_snapshots))
    if "metadata" in include and share.metadata:
        _add_all(ET.SubElement(item, "Metadata"), share.metadata)


def provisioning(share: ShareProperties) -> Iterator[tuple[str, str, str]]:
    """What only shares of premium accounts show: name of the header, name of the element, value."""
    has = provisioned(share.quota_gib)
    until = stamps.http_date(downgrade_allowed_ns(share.raised_ns))
    for header, element, value in (
        ("provisioned-iops", "ProvisionedIops", has.iops),
        ("provisioned-ingress-mbps", "ProvisionedIngressMBps", has.ingress_mibps),
        ("provisioned-egress-mbps", "ProvisionedEgressMBps", has.egress_mibps),
        ("provisioned-bandwidth-mibps", "ProvisionedBandwidthMiBps", has.bandwidth_mibps),
        ("next-allowed-quota-downgrade-time", "NextAllowedQuotaDowngradeTime", until),
        ("paid-bursting-enabled", "PaidBurstingEnabled", _bursting(share)),
        ("paid-bursting-max-iops", "PaidBurstingMaxIops", share.bursting_iops),
        ("paid-bursting-max-bandwidth-mibps", "PaidBurstingMaxBandwidthMibps", share.bursting_mibps),
    ):
        if value is not None:
            yield f"x-ms-share-{header}", element, str(value)


def _bursting(share: ShareProperties) -> str | None:
    return None if share.bursting is None else boolean(share.bursting)


def _add_lease(properties: ET.Element, lease: Lease | None, now: float) -> None:
    locked = lease is not None and lease.is_active(now)
    _add(properties, "LeaseStatus", "locked" if locked else "unlocked")
    _add(properties, "LeaseState", "available" if lease is None else lease.state(now))
    if locked and lease is not None:
        _add(properties, "LeaseDuration", "infinite" if lease.duration_seconds == INFINITE else "fixed")


def directory_list(query: Query, target: Target, directory: Entry, page: Page, next_marker: str) -> bytes:
    path = "/".join(target.path)
    encoded = {"Encoded": "true"} if _NOT_IN_XML.search(path) else {}
    path = quote(path) if encoded else path
    root = _results(query, {"ShareName": target.share, **encoded, "DirectoryPath": path})
    if query.include:
        _add(root, "DirectoryId", file_id(directory))
    entries = ET.SubElement(root, "Entries")
    for entry in page.entries:
        _add_entry(entries, entry, query.include)
    _add(root, "NextMarker", next_marker)
    return _body(root)


def range_list(spans: Iterable[Span], next_marker: str | None) -> bytes:
    """`next_marker` is None where the client did not ask for a page."""
    root = ET.Element("Ranges")
    for span in spans:
        item = ET.SubElement(root, "ClearRange" if span.is_cleared else "Range")
        _add(item, "Start", str(span.first))
        _add(item, "End", str(span.last))
    if next_marker is not None:
        _add(root, "NextMarker", next_marker)
    return _body(root)


def no_handles() -> bytes:
    root = ET.Element("EnumerationResults")
    ET.SubElement(root, "Entries")
    _add(root, "NextMarker", "")
    return _body(root)


def access_policies(policies: Mapping[str, Mapping[str, str]]) -> bytes:
    root = ET.Element("SignedIdentifiers")
    for name, fields in policies.items():
        item = ET.SubElement(root, "SignedIdentifier")
        _add(item, "Id", name)
        _add_all(ET.SubElement(item, "AccessPolicy"), fields)
    return _body(root)


def service_properties(sections: Iterable[str]) -> bytes:
    """`sections` are elements that are already serialized."""
    content = "".join(sections)
    return f"{_PROLOG}<StorageServiceProperties>{content}</StorageServiceProperties>".encode()


def delegation_key(said: Mapping[str, str], value: str) -> bytes:
    root = ET.Element("UserDelegationKey")
    for name, text in zip(_DELEGATION, said.values(), strict=True):
        if text:
            _add(root, name, text)
    _add(root, "Value", value)
    return _body(root)


_DELEGATION: Final = (
    *("SignedOid", "SignedTid", "SignedStart", "SignedExpiry", "SignedService", "SignedVersion"),
    "SignedDelegatedUserTid",
)
"""In the order of the fields of a token."""


def share_stats(used_bytes: int) -> bytes:
    root = ET.Element("ShareStats")
    _add(root, "ShareUsageBytes", str(used_bytes))
    return _body(root)


def _add_entry(parent: ET.Element, entry: Entry, include: frozenset[str]) -> None:
    item = ET.SubElement(parent, "File" if entry.kind == "file" else "Directory")
    _add_name(item, "Name", entry.path.name)
    if include:
        _add(item, "FileId", file_id(entry))
    properties = ET.SubElement(item, "Properties")
    if entry.kind == "file":
        _add(properties, "Content-Length", str(entry.stat.st_size))
    if "timestamps" in include:
        _add(properties, "CreationTime", stamps.iso(created_ns(entry)))
        _add(properties, "LastAccessTime", stamps.iso(entry.stat.st_atime_ns))
        _add(properties, "LastWriteTime", stamps.iso(entry.stat.st_mtime_ns))
        _add(properties, "ChangeTime", stamps.iso(entry.properties.shown_change_ns(entry.stat)))
        _add(properties, "Last-Modified", stamps.http_date(entry.stat.st_ctime_ns))
    if "etag" in include:
        _add(properties, "Etag", stamps.etag(entry.stat.st_ctime_ns))
    if "attributes" in include:
        _add(item, "Attributes", attributes_of(entry))
    if "permissionkey" in include:
        _add(item, "PermissionKey", permission_key(entry))


def _results(query: Query, attributes: Mapping[str, str]) -> ET.Element:
    root = ET.Element("EnumerationResults", {"ServiceEndpoint": query.service_endpoint, **attributes})
    if query.prefix:
        _add_name(root, "Prefix", query.prefix)
    if query.marker:
        _add(root, "Marker", query.marker)
    if query.max_results is not None:
        _add(root, "MaxResults", str(query.max_results))
    return root


def _add_all(parent: ET.Element, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        _add(parent, name, value)


def _add_name(parent: ET.Element, tag: str, name: str) -> None:
    """A name that XML cannot hold is percent-encoded, and marked as that."""
    element = ET.SubElement(parent, tag)
    element.text = name
    if _NOT_IN_XML.search(name):
        element.set("Encoded", "true")
        element.text = quote(name)


def _add(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = text or None


def _body(root: ET.Element) -> bytes:
    return (_PROLOG + ET.tostring(root, encoding="unicode")).encode()
