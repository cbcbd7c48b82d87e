"""The service's operations on ranges of a file: write, clear, copy from a URL, list, compare."""

from __future__ import annotations

import os
from typing import Final

from starlette.responses import Response

from containerapps_emulator.storage import headers as wire
from containerapps_emulator.storage import structured, xml
from containerapps_emulator.storage.call import Call, decode_marker, encode_marker
from containerapps_emulator.storage.crc64 import as_header, crc64
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.operations.copying import open_source
from containerapps_emulator.storage.operations.files import body_md5, check_read_lease
from containerapps_emulator.storage.store import content
from containerapps_emulator.storage.store.content import MAX_WRITE_BYTES, Data
from containerapps_emulator.storage.store.differences import Span, differences
from containerapps_emulator.storage.store.model import Entry, Share

_UNASKED_CRC_BYTES: Final = 1024 * 1024
_RENAMES: Final = "x-ms-file-support-rename"


def write(call: Call) -> Response:
    """Put Range: `update` with a body or from a URL, `clear` without."""
    first, length = _required(call, "x-ms-range")
    mode = call.headers.get("x-ms-write", "").lower()
    if mode not in {"update", "clear"}:
        raise FilesError("InvalidHeaderValue", f"x-ms-write: '{mode}'; it must be update or clear.")
    if mode == "update" and length > MAX_WRITE_BYTES:
        raise FilesError("RequestBodyTooLarge", f"A range has at most {MAX_WRITE_BYTES} bytes, not {length}.")
    from_url = "x-ms-copy-source" in call.headers
    if from_url and mode == "clear":
        raise FilesError("InvalidHeaderValue", "x-ms-write: clear with x-ms-copy-source")
    call = call.checked()
    if len(call.body) != (length if mode == "update" and not from_url else 0):
        raise FilesError(
            "InvalidHeaderValue", f"Content-Length: {len(call.body)} with a range of {length} bytes"
        )
    if from_url:
        data, checksum = _from_url(call, length)
        return _written(call, first, data, {} if checksum is None else {"x-ms-content-crc64": checksum})
    if mode == "clear":
        return _written(call, first, length, {})
    sent = {name: value for name, value in call.headers.items() if name == "x-ms-content-crc64"}
    return _written(call, first, call.body, {**body_md5(call), **sent, **structured.echoed(call.headers)})


def _written(call: Call, first: int, data: Data | int, about: wire.Headers) -> Response:
    entry = call.share.write(
        call.target.path,
        first,
        data,
        call.lease_id,
        keep_write_time=call.headers.get("x-ms-file-last-write-time", "").lower() == "preserve",
    )
    headers = {
        **wire.version_headers(entry),
        **about,
        "x-ms-file-last-write-time": wire.changed_headers(entry)["x-ms-file-last-write-time"],
        "x-ms-request-server-encrypted": "true",
    }
    return Response(status_code=201, headers=headers)


def _from_url(call: Call, length: int) -> tuple[bytes, str | None]:
    """The bytes of the source's range, and their checksum where it costs little or is asked for."""
    first, source_length = _required(call, "x-ms-source-range")
    if source_length != length:
        raise FilesError("InvalidHeaderValue", f"x-ms-source-range has {source_length} bytes, not {length}.")
    try:
        descriptor, entry = open_source(call)
    except FilesError as error:
        raise FilesError("CannotVerifyCopySource", error.message, source=error) from None
    try:
        if first + length > entry.stat.st_size:
            problem = FilesError("InvalidRange", f"The source has {entry.stat.st_size} bytes.")
            raise FilesError("CannotVerifyCopySource", problem.message, source=problem)
        data = content.read(descriptor, first, length)
    finally:
        os.close(descriptor)
    conditions = {name: value for name, value in call.headers.items() if name in _CONDITIONS}
    if length > _UNASKED_CRC_BYTES and not conditions:
        return data, None
    checksum = as_header(crc64(data))
    for name, value in conditions.items():
        code, equal = _CONDITIONS[name]
        if (value == checksum) is not equal:
            raise FilesError(code, f"{name}: {value}")
    return data, checksum


_CONDITIONS: Final = {
    "x-ms-source-content-crc64": ("Crc64Mismatch", True),
    "x-ms-source-if-match-crc64": ("SourceConditionNotMet", True),
    "x-ms-source-if-none-match-crc64": ("SourceConditionNotMet", False),
}
"""The error where the checksum of the source is, or is not, the header's."""


def list_ranges(call: Call) -> Response:
    query = call.listing()
    previous = call.query.get("prevsharesnapshot")
    if previous is None and _RENAMES in call.headers:
        raise FilesError("InvalidHeaderValue", f"{_RENAMES} without prevsharesnapshot")
    descriptor, entry = call.share.open(call.target.path)
    try:
        check_read_lease(call, entry)
        first, last = call.range() or (0, None)
        end = entry.stat.st_size if last is None else min(last + 1, entry.stat.st_size)
        if previous is None:
            found = [Span(*span) for span in content.ranges(descriptor, first, end)]
        else:
            found = _changed(call, previous, descriptor, entry, (first, end))
    finally:
        os.close(descriptor)
    start = int(decode_marker(query.marker) or "0") if query.marker else 0
    rest = [span for span in found if span.first >= start]
    limit = len(rest) if query.max_results is None else query.max_results
    after = encode_marker(str(rest[limit].first)) if len(rest) > limit else ""
    is_page = bool(query.marker) or query.max_results is not None
    body = xml.range_list(rest[:limit], after if is_page else None)
    headers = {**wire.version_headers(entry), "x-ms-content-length": str(entry.stat.st_size)}
    return Response(body, headers=headers, media_type="application/xml")


def _changed(call: Call, previous: str, descriptor: int, entry: Entry, within: tuple[int, int]) -> list[Span]:
    """What a file does not have in common with itself in an earlier snapshot."""
    account, share = call.target.account, call.target.share
    if call.snapshot is not None and call.snapshot < previous:
        raise FilesError("PreviousSnapshotCannotBeNewer", f"prevsharesnapshot={previous}")
    if previous not in call.shares.snapshots(account, share):
        raise FilesError("PreviousSnapshotNotFound", f"prevsharesnapshot={previous}")
    old, before = _before(call, call.shares.open_snapshot(account, share, previous), entry)
    try:
        cleared = [span for span in entry.properties.cleared if span not in before.properties.cleared]
        return differences(descriptor, old, cleared, *within)
    finally:
        os.close(old)


def _before(call: Call, snapshot: Share, entry: Entry) -> tuple[int, Entry]:
    """The same file in a snapshot, open: the one with its path, or the one that was renamed since."""
    path = call.target.path
    if wire.flag(call.headers, _RENAMES):
        path = snapshot.path_of(entry.properties.origin or entry.stat.st_ino) or path
    try:
        return snapshot.open(path)
    except FilesError as error:
        if error.code not in {"ResourceNotFound", "ParentNotFound"}:
            raise
        raise FilesError("PreviousSnapshotNotFound", f"It has no file '{'/'.join(path)}'.") from None


def _required(call: Call, name: str) -> tuple[int, int]:
    """First byte and length of the range in a header."""
    wanted = call.range(name)
    if wanted is None or wanted[1] is None:
        raise FilesError("MissingRequiredHeader", f"{name}: bytes=first-last")
    return wanted[0], wanted[1] - wanted[0] + 1
