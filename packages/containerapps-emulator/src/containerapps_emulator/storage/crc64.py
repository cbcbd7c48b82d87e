"""The CRC64 with which clients and the service check content. Pure Python: some MiB each second."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Final

_POLYNOMIAL: Final = 0x9A6C9329AC4BC9B5  # of CRC-64/NVME, with the lowest bit first
_ALL: Final = (1 << 64) - 1
_ONE: Final = 1 << 63
_EIGHTH_POWER: Final = 1 << 55


def crc64(data: Iterable[int]) -> int:
    checksum, table = _ALL, _TABLE
    for byte in data:
        checksum = table[(checksum ^ byte) & 255] ^ (checksum >> 8)
    return checksum ^ _ALL


def joined(first: int, second: int, second_bytes: int) -> int:
    """The checksum of two parts as one, from the checksum of each."""
    factor, power = _ONE, _EIGHTH_POWER
    while second_bytes:
        if second_bytes & 1:
            factor = _product(factor, power)
        power, second_bytes = _product(power, power), second_bytes >> 1
    return _product(factor, first) ^ second


def as_header(checksum: int) -> str:
    return base64.b64encode(checksum.to_bytes(8, "little")).decode()


def _shifted(value: int, bits: int) -> int:
    for _ in range(bits):
        value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_TABLE: Final = tuple(_shifted(byte, 8) for byte in range(256))


def _product(left: int, right: int) -> int:
    """Of two polynomials, modulo ours; the highest bit is the constant term."""
    product = 0
    while left:
        if left & _ONE:
            product ^= right
        left, right = (left << 1) & _ALL, _shifted(right, 1)
    return product
