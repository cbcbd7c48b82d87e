"""The CRC64 with which clients and the service check content. Pure Python: some MiB each second."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Final

_POLYNOMIAL: Final = 0x9A6C9329AC4BC9B5  # of CRC-64/NVME, with the lowest bit first
_ALL: Final = (1 << 64) - 1


def crc64(data: Iterable[int], before: int = 0) -> int:
    """The checksum of `data`, or of all data whose first part has the checksum `before`."""
    checksum = before ^ _ALL
    for byte in data:
        checksum = _TABLE[(checksum ^ byte) & 255] ^ (checksum >> 8)
    return checksum ^ _ALL


def as_header(checksum: int) -> str:
    return base64.b64encode(checksum.to_bytes(8, "little")).decode()


def _shifted(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_TABLE: Final = tuple(_shifted(byte) for byte in range(256))
