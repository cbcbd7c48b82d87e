"""Numbers of an adapter that cannot be computed with: not a number, infinite, or too large to multiply.

Looks at bytes, so that hashing and looking share one read. With numpy that costs a twentieth of
the hash and leaves other threads alone; without it, which a machine that only deploys may be, a third.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

LIMIT = 2.0**49
"""Beyond it (about 5.6e14) products of weights and activations leave float32."""


@dataclass(frozen=True, slots=True)
class _Format:
    """A floating-point format whose last byte (sign, exponent) from `lowest` on means LIMIT or more."""

    size_bytes: int
    lowest: int


# An exponent of 49 or more shows in the last byte alone; half precision ends far below, but for infinity.
_FORMATS: Mapping[str, _Format] = {
    "F64": _Format(8, 0x43),
    "F32": _Format(4, 0x58),
    "BF16": _Format(2, 0x58),
    "F16": _Format(2, 0x7C),
}
_SMALL = {
    name: bytes(byte for byte in range(256) if byte & 0x7F < each.lowest) for name, each in _FORMATS.items()
}


def unusable_number(data: memoryview, dtype: str, position: int = 0) -> str:
    """The first number of LIMIT or more, or that is none, as text; "" where there is none.

    `data` begins at this byte of the tensor. Formats of whole numbers have no such number.
    """
    form = _FORMATS.get(dtype)
    if form is None:
        return ""
    if position % form.size_bytes == 0 and _are_small(data, form):
        return ""
    last = (form.size_bytes - 1 - position) % form.size_bytes
    lasts = bytes(data)[last :: form.size_bytes]
    if not lasts.translate(None, _SMALL[dtype]):
        return ""
    index = next(index for index, byte in enumerate(lasts) if byte & 0x7F >= form.lowest)
    end = last + index * form.size_bytes + 1
    return _text(bytes(data)[max(0, end - form.size_bytes) : end], dtype)


def _are_small(data: memoryview, form: _Format) -> bool:
    """Whether numpy finds all of them below LIMIT; False where it cannot look."""
    numpy = _numpy()
    if numpy is None or not len(data) or len(data) % form.size_bytes:
        return False
    bits = 8 * (form.size_bytes - 1)
    words = numpy.frombuffer(data, f"<u{form.size_bytes}") & ((0x80 << bits) - 1)
    return int(words.max()) < form.lowest << bits


@cache
def _numpy() -> Any:
    return import_module("numpy") if find_spec("numpy") else None


def _text(number: bytes, dtype: str) -> str:
    """One number in words, of which the first bytes may be missing."""
    whole = number.rjust(_FORMATS[dtype].size_bytes, b"\0")
    if dtype == "BF16":
        whole, dtype = b"\0\0" + whole, "F32"
    (value,) = struct.unpack({"F64": "<d", "F32": "<f", "F16": "<e"}[dtype], whole)
    if math.isnan(value):
        return "NaN"
    return f"{value:g}"
