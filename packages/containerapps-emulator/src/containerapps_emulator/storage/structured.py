"""Structured messages: content in segments with a CRC64 each, which a header names in requests and responses.

A message is a head, the segments (head, content, checksum) and the checksum of all content. Knows no files.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from containerapps_emulator.storage.crc64 import as_header, crc64, joined
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.store.content import MAX_WRITE_BYTES, Data

NAME: Final = "x-ms-structured-body"
_LENGTH: Final = "x-ms-structured-content-length"
_CHECKSUM: Final = "x-ms-content-crc64"
_SUPPORTED: Final = "XSM/1.0; properties=crc64"
_HEAD: Final = struct.Struct("<BQHH")
"""Version, length of the message, properties (1: checksums), number of segments."""
_SEGMENT: Final = struct.Struct("<HQ")
"""Number, counted from 1, and length of the content."""
_CRC: Final = struct.Struct("<Q")
_SEGMENT_BYTES: Final = 4 * 1024 * 1024
FRAMING_BYTES: Final = 1024
"""What a message may have beside its content."""


def echoed(headers: Mapping[str, str]) -> dict[str, str]:
    """The response says in which form the request was."""
    return {NAME: headers[NAME]} if NAME in headers else {}


def received(body: Data, headers: Mapping[str, str]) -> Data:
    """The content of a request. Raises FilesError where it is not what the client sent."""
    content = body
    if asked(headers):
        content = _content(memoryview(body))
        if headers.get(_LENGTH) != str(len(content)):
            raise FilesError("InvalidHeaderValue", f"{_LENGTH}: {headers.get(_LENGTH)}, not {len(content)}")
    if len(content) > MAX_WRITE_BYTES:
        raise FilesError("RequestBodyTooLarge", f"At most {MAX_WRITE_BYTES} bytes, not {len(content)}.")
    if _CHECKSUM in headers and headers[_CHECKSUM] != as_header(crc64(content)):
        raise FilesError("Crc64Mismatch", f"{_CHECKSUM}: {headers[_CHECKSUM]}")
    return content


def asked(headers: Mapping[str, str]) -> bool:
    """Whether the request has or wants a message. Raises FilesError for another kind than ours."""
    if headers.get(NAME, _SUPPORTED) != _SUPPORTED:
        raise FilesError("UnsupportedHeader", f"{NAME}: {headers[NAME]}; only {_SUPPORTED}")
    return NAME in headers


def shape(length: int) -> dict[str, str]:
    """The headers of a response with this much content as a message."""
    framing = _HEAD.size + _CRC.size + _segments(length) * (_SEGMENT.size + _CRC.size)
    return {NAME: _SUPPORTED, _LENGTH: str(length), "content-length": str(length + framing)}


def message(read: Callable[[int, int], bytes], start: int, end: int) -> Iterator[bytes]:
    """The parts of the message with [start, end) of what `read` reads, by place and length."""
    length, whole = end - start, 0
    yield _HEAD.pack(1, int(shape(length)["content-length"]), 1, _segments(length))
    for number in range(1, _segments(length) + 1):
        data = read(start, min(_SEGMENT_BYTES, end - start))
        checksum = crc64(data)
        whole = joined(whole, checksum, len(data))
        yield _SEGMENT.pack(number, len(data))
        if data:
            yield data
        yield _CRC.pack(checksum)
        start += len(data)
    yield _CRC.pack(whole)


def _segments(length: int) -> int:
    return max(1, -(-length // _SEGMENT_BYTES))


def _content(body: memoryview) -> bytes:
    try:
        return b"".join(_checked(body))
    except (struct.error, ValueError):
        raise FilesError("InvalidInput", f"The body is no structured message ({NAME}).") from None


def _checked(body: memoryview) -> Iterator[memoryview]:
    version, length, properties, segments = _HEAD.unpack_from(body)
    if (version, length, properties) != (1, len(body), 1):
        raise ValueError
    place, whole = _HEAD.size, 0
    for number in range(1, segments + 1):
        told, size = _SEGMENT.unpack_from(body, place)
        data = body[place + _SEGMENT.size : place + _SEGMENT.size + size]
        place += _SEGMENT.size + len(data)
        if told != number or _CRC.unpack_from(body, place) != ((checksum := crc64(data)),):
            raise FilesError("Crc64Mismatch", f"Segment {told} of {segments}.")
        whole = joined(whole, checksum, len(data))
        place += _CRC.size
        yield data
    if _CRC.unpack(body[place:]) != (whole,):
        raise FilesError("Crc64Mismatch", "The message as a whole.")
