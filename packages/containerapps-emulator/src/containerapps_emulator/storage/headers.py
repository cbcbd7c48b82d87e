"""Translates between HTTP headers and the model: what a request sets, what a response shows of an entry."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.store import stamps
from containerapps_emulator.storage.store.leases import INFINITE, Lease
from containerapps_emulator.storage.store.model import Entry
from containerapps_emulator.storage.store.permissions import DEFAULT_KEYS
from containerapps_emulator.storage.store.properties import MD5, Changes, Copied

Headers = dict[str, str]

_META: Final = "x-ms-meta-"
_META_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SPELLED: Final = f"{_META}="
"""Before the hexadecimal form of a name with capitals, which ASGI's headers cannot carry."""
_CONTENT: Final = {
    "x-ms-cache-control": "cache-control",
    "x-ms-content-disposition": "content-disposition",
    "x-ms-content-encoding": "content-encoding",
    "x-ms-content-language": "content-language",
    "x-ms-content-md5": MD5,
    "x-ms-content-type": "content-type",
}
_OVERRIDES: Final = {
    "rscc": "cache-control",
    "rscd": "content-disposition",
    "rsce": "content-encoding",
    "rscl": "content-language",
    "rsct": "content-type",
}
_ATTRIBUTES: Final = (
    "ReadOnly",
    "Hidden",
    "System",
    "Directory",
    "Archive",
    "Temporary",
    "Offline",
    "NotContentIndexed",
    "NoScrubData",
)
_MAX_FILE_BYTES: Final = 4 * 1024**4


def metadata(headers: Mapping[str, str]) -> Headers:
    """The metadata of the request. Names keep the letter case in which they were sent."""
    found = {name[len(_META) :]: value for name, value in headers.items() if name.startswith(_META)}
    for name in found:
        if not name:
            raise FilesError("EmptyMetadataKey")
        if not _META_NAME.match(name):
            raise FilesError("InvalidMetadata", f"'{name}' is not an identifier.")
    return found


def creation(headers: Mapping[str, str]) -> Changes:
    """What Create File and Create Directory set, defaults included."""
    return Changes(
        metadata=metadata(headers),
        content=_content(headers),
        attributes=_attributes(headers),
        created_ns=_time(headers, "x-ms-file-creation-time", now_ns=None),
        written_ns=_time(headers, "x-ms-file-last-write-time", now_ns=None),
        changed_ns=_time(headers, "x-ms-file-change-time", now_ns=None),
    )


def new_properties(headers: Mapping[str, str], *, is_file: bool) -> Changes:
    """What Set Properties sets. Content headers are set together: the ones that are not sent are removed,
    unless the request sets only a new size. A directory has neither content headers nor a size.
    """
    size_bytes = optional_int(headers, "x-ms-content-length") if is_file else None
    content = _content(headers)
    return Changes(
        content=content if is_file and (content or size_bytes is None) else None,
        attributes=_attributes(headers),
        created_ns=_time(headers, "x-ms-file-creation-time", now_ns=time.time_ns()),
        written_ns=_time(headers, "x-ms-file-last-write-time", now_ns=time.time_ns()),
        changed_ns=_time(headers, "x-ms-file-change-time", now_ns=None),
        size_bytes=None if size_bytes is None else _file_size(size_bytes),
    )


def rename_changes(headers: Mapping[str, str], current: Mapping[str, str] | None) -> Changes:
    """What Rename also sets. `current` are the content headers of a file; only the type can change."""
    content_type = headers.get("x-ms-content-type")
    return Changes(
        metadata=metadata(headers) or None,
        content=None
        if current is None or content_type is None
        else {**current, "content-type": content_type},
        attributes=_attributes(headers),
        created_ns=_time(headers, "x-ms-file-creation-time", now_ns=time.time_ns()),
        written_ns=_time(headers, "x-ms-file-last-write-time", now_ns=time.time_ns()),
        changed_ns=_time(headers, "x-ms-file-change-time", now_ns=None),
    )


def copy_changes(headers: Mapping[str, str], original: Entry) -> Changes:
    """What a copy has of its original, and what Copy File sets. "source" stands for the original's value."""
    properties = original.properties
    own = {name: value for name, value in headers.items() if value.lower() != "source"}
    times = {
        "x-ms-file-creation-time": created_ns(original),
        "x-ms-file-last-write-time": original.stat.st_mtime_ns,
        "x-ms-file-change-time": properties.shown_change_ns(original.stat),
    }
    created_ns_, written_ns, changed_ns = (
        _time(own, name, now_ns=None) if name in own or name not in headers else source_ns
        for name, source_ns in times.items()
    )
    attributes = _attributes(own) if "x-ms-file-attributes" in own else properties.attributes
    if flag(headers, "x-ms-file-copy-set-archive"):
        attributes = _in_order({"Archive", *(attributes or "").split(" | ")})
    return Changes(
        metadata=metadata(headers) or properties.metadata,
        content=properties.content
        if properties.vouches_for(original.stat)
        else properties.without_md5().content,
        attributes=attributes,
        created_ns=created_ns_,
        written_ns=written_ns,
        changed_ns=changed_ns,
    )


def new_file_size(headers: Mapping[str, str]) -> int:
    size_bytes = optional_int(headers, "x-ms-content-length")
    if size_bytes is None:
        raise FilesError("MissingRequiredHeader", "x-ms-content-length")
    return _file_size(size_bytes)


def optional_int(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise FilesError("InvalidHeaderValue", f"{name}: {text}") from None


def flag(headers: Mapping[str, str], name: str) -> bool:
    return headers.get(name, "").lower() == "true"


def boolean(value: bool) -> str:
    return "true" if value else "false"


def md5(headers: Mapping[str, str]) -> bytes | None:
    """The digest in Content-MD5."""
    text = headers.get("content-md5")
    if text is None:
        return None
    try:
        digest = base64.b64decode(text, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != 16:
        raise FilesError("InvalidMd5", text)
    return digest


def version_headers(entry: Entry) -> Headers:
    return {
        "etag": stamps.etag(entry.stat.st_ctime_ns),
        "last-modified": stamps.http_date(entry.stat.st_ctime_ns),
    }


def system_headers(entry: Entry) -> Headers:
    """The Windows properties in every response about a file or directory."""
    return {
        **version_headers(entry),
        "x-ms-file-attributes": attributes_of(entry),
        "x-ms-file-change-time": stamps.iso(entry.properties.shown_change_ns(entry.stat)),
        "x-ms-file-creation-time": stamps.iso(created_ns(entry)),
        "x-ms-file-last-write-time": stamps.iso(entry.stat.st_mtime_ns),
        "x-ms-file-id": file_id(entry),
        "x-ms-file-parent-id": entry.parent_id or "0",
        "x-ms-file-permission-key": permission_key(entry),
    }


def changed_headers(entry: Entry) -> Headers:
    return {**system_headers(entry), "x-ms-request-server-encrypted": "true"}


def directory_headers(entry: Entry) -> Headers:
    return {
        **system_headers(entry),
        **metadata_headers(entry.properties.metadata),
        "x-ms-server-encrypted": "true",
    }


def file_headers(entry: Entry, now: float) -> Headers:
    """All headers but length and range. The stored MD5 is shown only while it matches the bytes."""
    properties = entry.properties
    if not properties.vouches_for(entry.stat):
        properties = properties.without_md5()
    return {
        **system_headers(entry),
        "content-type": "application/octet-stream",
        **properties.content,
        **metadata_headers(properties.metadata),
        **lease_headers(properties.lease, now),
        **copy_headers(properties.copied),
        "x-ms-server-encrypted": "true",
        "x-ms-type": "File",
    }


def lease_headers(lease: Lease | None, now: float) -> Headers:
    headers = {
        "x-ms-lease-state": "available" if lease is None else lease.state(now),
        "x-ms-lease-status": "locked" if lease is not None and lease.is_active(now) else "unlocked",
    }
    if lease is not None and lease.is_active(now):
        headers["x-ms-lease-duration"] = "infinite" if lease.duration_seconds == INFINITE else "fixed"
    return headers


def copy_headers(copied: Copied | None) -> Headers:
    if copied is None:
        return {}
    return {"x-ms-copy-id": copied.id, "x-ms-copy-source": copied.source, "x-ms-copy-status": "success"}


def overriding(query: Mapping[str, str]) -> Headers:
    """The response headers that a shared access signature sets; its signature covers them."""
    found = {header: query[name] for name, header in _OVERRIDES.items() if query.get(name)}
    for header, value in found.items():
        if not value.isascii() or not value.isprintable():
            raise FilesError("InvalidQueryParameterValue", header)
    return found


def metadata_headers(values: Mapping[str, str]) -> Headers:
    """`with_capitals` completes what this begins."""
    return {
        f"{_META}{name}" if name.islower() else f"{_SPELLED}{name.encode().hex()}": value
        for name, value in values.items()
    }


def with_capitals(raw_headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of a response, with the names of metadata in their own letter case."""
    mark = _SPELLED.encode()
    return [
        (_META.encode() + bytes.fromhex(name[len(mark) :].decode()), value)
        if name.startswith(mark)
        else (name, value)
        for name, value in raw_headers
    ]


def spelled_metadata(headers: Mapping[str, str], spelled: Mapping[str, str]) -> Headers:
    """The headers of a request; names of metadata in the letter case in which they were sent."""
    return {
        f"{_META}{spelled[name][len(_META) :]}" if name.startswith(_META) and name in spelled else name: value
        for name, value in headers.items()
    }


def file_id(entry: Entry) -> str:
    """The file's id; the root directory's is 0."""
    return "0" if entry.parent_id is None else str(entry.stat.st_ino)


def created_ns(entry: Entry) -> int:
    """A file that a container made has no recorded creation time; its oldest known time is used instead."""
    known_ns = entry.properties.created_ns
    return min(entry.stat.st_mtime_ns, entry.stat.st_ctime_ns) if known_ns is None else known_ns


def attributes_of(entry: Entry) -> str:
    known = entry.properties.attributes
    if entry.kind == "file":
        return known or "Archive"
    return _in_order({"Directory", *(known or "").split(" | ")})


def permission_key(entry: Entry) -> str:
    return entry.properties.permission or DEFAULT_KEYS[entry.kind]


def _content(headers: Mapping[str, str]) -> Headers:
    return {name: headers[sent] for sent, name in _CONTENT.items() if headers.get(sent)}


def _attributes(headers: Mapping[str, str]) -> str | None:
    """Normalised, in the service's order: empty for "none", None for "preserve"."""
    text = headers.get("x-ms-file-attributes", "preserve").lower()
    if text == "preserve":
        return None
    asked = {part.strip() for part in text.split("|")} - {"none", ""}
    known = {name for name in _ATTRIBUTES if name.lower() in asked}
    if len(known) != len(asked):
        raise FilesError("InvalidHeaderValue", f"x-ms-file-attributes: {text}")
    return _in_order(known)


def _in_order(attributes: Collection[str]) -> str:
    """As Windows counts them."""
    return " | ".join(name for name in _ATTRIBUTES if name in attributes)


def _time(headers: Mapping[str, str], name: str, *, now_ns: int | None) -> int | None:
    """None to keep the file system's own timestamp: for "preserve", and for "now" of a new entry."""
    text = headers.get(name, "preserve")
    if text.lower() in {"now", "preserve"}:
        return now_ns if text.lower() == "now" else None
    try:
        return stamps.parse_iso(text)
    except ValueError:
        raise FilesError("InvalidHeaderValue", f"{name}: {text}") from None


def _file_size(size_bytes: int) -> int:
    if not 0 <= size_bytes <= _MAX_FILE_BYTES:
        raise FilesError("OutOfRangeInput", f"A file has 0 to {_MAX_FILE_BYTES} bytes, not {size_bytes}.")
    return size_bytes
