"""Bodies that come compressed. Owns how large they may become; reads no content."""

from __future__ import annotations

import zlib

from remora.errors import BodyTooLarge, InvalidInput

_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # the forms that zlib takes


def unpacked(body: bytes, encoding: str, most_bytes: int) -> bytes:
    """The body as it was before its Content-Encoding; no more than `most_bytes` of it are ever made.

    Raises BodyTooLarge, or InvalidInput for an encoding that we do not know or a body that is not in it.
    """
    for name in reversed([part.strip().lower() for part in encoding.split(",")]):
        if name not in ("", "identity"):
            body = _unpacked(body, name, most_bytes)
    return body


def _unpacked(body: bytes, name: str, most_bytes: int) -> bytes:
    window = _WINDOWS.get(name)
    if window is None:
        raise InvalidInput(f"the Content-Encoding {name!r} is not supported", hint="send gzip, or plain JSON")
    unpacker = zlib.decompressobj(window)
    try:
        plain = unpacker.decompress(body, most_bytes + 1)
    except zlib.error as error:
        raise InvalidInput(f"the request body is not {name}: {error}") from error
    if len(plain) > most_bytes:
        raise BodyTooLarge(f"the request body is larger than {most_bytes} bytes when it is unpacked")
    if not unpacker.eof:
        raise InvalidInput(f"the request body is not whole: its {name} has no end")
    return plain
