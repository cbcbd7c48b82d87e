"""Azure's name hashes, `uniqueString()` and `guid()`: equal to Azure's, so that names are equal too.

`uniqueString` is a 64-bit Murmur3-like hash, written as 13 characters of base 32. Azure documents only its
use; two published vectors determine it: ('snap', 'crackle', 'pop') and ('asd', 'asdf', 'asdf').
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

_MASK = 0xFFFFFFFF
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_LENGTH = 13
_C1, _C2 = 0x239B961B, 0xAB0E9789
_GUID_NAMESPACE = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")


def unique_string(parts: Sequence[str]) -> str:
    """13 characters that depend only on the parts, including their letter case."""
    remaining = hash64("-".join(parts).encode())
    letters = []
    for _ in range(_LENGTH):
        letters.append(_ALPHABET[remaining >> 59])
        remaining = (remaining << 5) & 0xFFFFFFFFFFFFFFFF
    return "".join(letters)


def guid(parts: Sequence[str]) -> str:
    """The version-5 UUID of the parts."""
    return str(uuid.uuid5(_GUID_NAMESPACE, "-".join(parts)))


def hash64(data: bytes) -> int:
    """The hash behind `unique_string`: 64 bits, not for secrets."""
    h1 = h2 = 0
    blocks_end = len(data) // 8 * 8
    for start in range(0, blocks_end, 8):
        k1 = int.from_bytes(data[start : start + 4], "little")
        k2 = int.from_bytes(data[start + 4 : start + 8], "little")
        h1 = _rotate(h1 ^ _mix(k1, _C1, 15, _C2), 19)
        h1 = ((h1 + h2) * 5 + 0x561CCD1B) & _MASK
        h2 = _rotate(h2 ^ _mix(k2, _C2, 17, _C1), 13)
        h2 = ((h2 + h1) * 5 + 0x0BCAA747) & _MASK
    tail = data[blocks_end:]
    if len(tail) > 4:
        h2 ^= _mix(int.from_bytes(tail[4:], "little"), _C2, 17, _C1)
    if tail:
        h1 ^= _mix(int.from_bytes(tail[:4], "little"), _C1, 15, _C2)
    return _finish(h1 ^ len(data), h2 ^ len(data))


def _mix(block: int, before: int, bits: int, after: int) -> int:
    return (_rotate((block * before) & _MASK, bits) * after) & _MASK


def _finish(h1: int, h2: int) -> int:
    h1 = (h1 + h2) & _MASK
    h2 = (h2 + h1) & _MASK
    h1, h2 = _avalanche(h1), _avalanche(h2)
    h1 = (h1 + h2) & _MASK
    h2 = (h2 + h1) & _MASK
    return (h2 << 32) | h1


def _avalanche(value: int) -> int:
    value ^= value >> 16
    value = (value * 0x85EBCA6B) & _MASK
    value ^= value >> 13
    value = (value * 0xC2B2AE35) & _MASK
    return value ^ (value >> 16)


def _rotate(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (32 - bits))) & _MASK
