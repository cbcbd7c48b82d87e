"""The service's operations on files. What they do on disk is in `store/model.py`."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Final

from anyio import to_thread
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from containerapps_emulator.storage import headers as wire
from containerapps_emulator.storage import structured
from containerapps_emulator.storage.call import Call
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.operations import copying as copy_operations
from containerapps_emulator.storage.operations.permissions import with_permission
from containerapps_emulator.storage.operations.renaming import read_rename
from containerapps_emulator.storage.store import content, leases
from containerapps_emulator.storage.store.content import MAX_WRITE_BYTES
from containerapps_emulator.storage.store.model import Entry
from containerapps_emulator.storage.store.properties import MD5, Changes

_UNASKED_MD5_BYTES: Final = 1024 * 1024


def create(call: Call) -> Response:
    if "x-ms-copy-source" in call.headers:
        return copy_operations.start(call)
    if call.headers.get("x-ms-type", "").lower() != "file":
        raise FilesError("MissingRequiredHeader", "x-ms-type: file")
    size_bytes, call = wire.new_file_size(call.headers), call.checked()
    if len(call.body) > size_bytes:
        raise FilesError("InvalidHeaderValue", f"The body has {len(call.body)} bytes, the file {size_bytes}.")
    md5 = body_md5(call) if call.body else {}
    changes = with_permission(call, wire.creation(call.headers))
    entry = call.share.create_file(call.target.path, size_bytes, call.body, changes, call.lease_id)
    headers = {**wire.changed_headers(entry), **md5, **structured.echoed(call.headers)}
    return Response(status_code=201, headers=headers)


def head(call: Call) -> Response:
    entry = call.share.get(call.target.path, "file")
    check_read_lease(call, entry)
    headers = {**wire.file_headers(entry, call.now()), "content-length": str(entry.stat.st_size)}
    return Response(headers=headers)


def read(call: Call) -> Response:
    as_message = structured.asked(call.headers)
    descriptor, entry = call.share.open(call.target.path)
    try:
        check_read_lease(call, entry)
        first, last = _readable_range(call, entry.stat.st_size)
        headers = wire.file_headers(entry, call.now()) | {"accept-ranges": "bytes"}
        if "sig" in call.query:
            headers |= wire.overriding(call.query)
        if call.range() is not None:
            headers |= {"content-range": f"bytes {first}-{last}/{entry.stat.st_size}"}
            headers |= _range_md5(call, descriptor, first, last, headers.pop(MD5, None))
    except FilesError:
        os.close(descriptor)
        raise
    status_code = 200 if call.range() is None else 206
    length, read_part = last + 1 - first, partial(content.read, descriptor)
    if as_message:
        parts = structured.message(read_part, first, last + 1)
        return _ContentResponse(descriptor, parts, status_code, {**headers, **structured.shape(length)})
    parts = content.parts(read_part, first, last + 1)
    return _ContentResponse(descriptor, parts, status_code, {**headers, "content-length": str(length)})


def delete(call: Call) -> Response:
    call.share.delete_file(call.target.path, call.lease_id)
    return Response(status_code=202)


def get_metadata(call: Call) -> Response:
    entry = call.share.get(call.target.path, "file")
    check_read_lease(call, entry)
    return Response(
        headers={**wire.version_headers(entry), **wire.metadata_headers(entry.properties.metadata)}
    )


def set_metadata(call: Call) -> Response:
    changes = Changes(metadata=wire.metadata(call.headers))
    entry = call.share.update(call.target.path, "file", changes, call.lease_id)
    return Response(headers={**wire.version_headers(entry), "x-ms-request-server-encrypted": "true"})


def set_properties(call: Call) -> Response:
    changes = with_permission(call, wire.new_properties(call.headers, is_file=True))
    entry = call.share.update(call.target.path, "file", changes, call.lease_id)
    return Response(headers=wire.changed_headers(entry))


def rename(call: Call) -> Response:
    entry = call.share.rename(read_rename(call, "file"))
    return Response(headers=wire.changed_headers(entry))


class _ContentResponse(StreamingResponse):
    """Streams the parts of an open file and closes it, even if the client disconnects."""

    def __init__(
        self, descriptor: int, parts: Iterator[bytes], status_code: int, headers: wire.Headers
    ) -> None:
        super().__init__(self._chunks(parts), status_code, headers)
        self._descriptor = descriptor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            os.close(self._descriptor)

    async def _chunks(self, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
        while (chunk := await to_thread.run_sync(next, parts, b"")) != b"":
            yield chunk


def body_md5(call: Call) -> wire.Headers:
    """The MD5 of the body, checked against the MD5 that was sent.

    Azure computes it for every write. Here a large write without an MD5 gets none: it costs more than
    receiving and writing the bytes, and no client checks an MD5 that it did not send.
    """
    if len(call.body) > _UNASKED_MD5_BYTES and "content-md5" not in call.headers:
        return {}
    return {"content-md5": call.body_md5()}


def check_read_lease(call: Call, entry: Entry) -> None:
    """Reading needs no lease, but a lease id in the request must match."""
    if call.lease_id is not None:
        leases.check(entry.properties.lease, call.lease_id, call.now(), what="File")


def _readable_range(call: Call, size_bytes: int) -> tuple[int, int]:
    """First and last byte to send; last is -1 for all of an empty file."""
    wanted = call.range()
    if wanted is None:
        return 0, size_bytes - 1
    if wanted[0] >= size_bytes:
        raise FilesError("InvalidRange", f"The file has {size_bytes} bytes.")
    return wanted[0], size_bytes - 1 if wanted[1] is None else min(wanted[1], size_bytes - 1)


def _range_md5(call: Call, descriptor: int, first: int, last: int, whole: str | None) -> wire.Headers:
    """In the response to a range, the stored MD5 of the whole file has a different header name."""
    headers = {} if whole is None else {"x-ms-content-md5": whole}
    if wire.flag(call.headers, "x-ms-range-get-content-md5"):
        if last - first + 1 > MAX_WRITE_BYTES:
            raise FilesError("OutOfRangeInput", f"An MD5 covers at most {MAX_WRITE_BYTES} bytes.")
        data = content.read(descriptor, first, last - first + 1)
        headers[MD5] = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    return headers
