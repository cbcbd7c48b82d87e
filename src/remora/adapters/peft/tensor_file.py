"""A safetensors file, as far as adapters need it: its checked header and its bytes.

Reads the header itself (8 bytes of length, JSON, data), so that checking a folder needs neither torch nor
numpy and never allocates more than the file's own header. Knows nothing of LoRA.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from remora.errors import InvalidFile
from remora.project.files.regular_file import LFS_HINT, LFS_MARK, is_utf8, open_regular

MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors library itself
MAX_NAME_CHARACTERS = 512
LENGTH_BYTES = 8
CHUNK_BYTES = 1 << 18  # stays in a core's cache between reading and hashing: half as fast again
_AHEAD_STEP_BYTES = 1 << 20  # Linux fetches no more than a device's own window for one advice
_MOST_AHEAD_BYTES = 1 << 30

BITS_OF_DTYPE = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor of a file; `offset_bytes` counts from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset_bytes: int
    size_bytes: int


def fetch_ahead(path: Path) -> None:
    """Have the kernel read a file that will be read whole, while its header is still looked at.

    Only advice: the reader reports what cannot be opened.
    """
    with (
        suppress(AttributeError, OSError, InvalidFile),
        os.fdopen(open_regular(path), "rb", buffering=0) as file,
    ):
        file_bytes = min(os.fstat(file.fileno()).st_size, _MOST_AHEAD_BYTES)
        for start in range(0, file_bytes, _AHEAD_STEP_BYTES):
            os.posix_fadvise(file.fileno(), start, _AHEAD_STEP_BYTES, os.POSIX_FADV_WILLNEED)


def read_header(path: Path) -> tuple[TensorEntry, ...]:
    """The tensors of a file, in the order of their bytes.

    Raises InvalidFile where the file is truncated, its header malformed, or its tensors do not cover
    the data exactly.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        file_bytes = os.fstat(file.fileno()).st_size
        header_bytes = _header_length(path, file, file_bytes)
        header = _parse(path, file.read(header_bytes))
    header.pop("__metadata__", None)
    data_start = LENGTH_BYTES + header_bytes
    entries = sorted(
        (_entry(path, name, fields, data_start) for name, fields in header.items()),
        key=lambda entry: (entry.offset_bytes, entry.size_bytes),
    )
    _check_coverage(path, entries, data_start, file_bytes)
    return tuple(entries)


class TensorReader:
    """The bytes of a file's tensors, read once and without keeping them; for one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._buffer = memoryview(bytearray(CHUNK_BYTES))

    def __enter__(self) -> TensorReader:
        self._file = os.fdopen(open_regular(self._path), "rb", buffering=0)
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def chunks(self, entry: TensorEntry) -> Iterator[memoryview]:
        """The bytes of one tensor, a chunk at a time; each is valid until the next is asked for."""
        self._file.seek(entry.offset_bytes)
        left = entry.size_bytes
        while left:
            count = self._file.readinto(self._buffer[: min(left, CHUNK_BYTES)])
            if not count:
                what = f"{self._path} became shorter while it was read"
                raise InvalidFile(what, hint="run the command again")
            left -= count
            yield self._buffer[:count]


def read_chunks(path: Path, entry: TensorEntry) -> Iterator[bytes]:
    """The bytes of one tensor, a chunk at a time, for a reader of this tensor alone."""
    with TensorReader(path) as reader:
        for chunk in reader.chunks(entry):
            yield bytes(chunk)


def _header_length(path: Path, file: BinaryIO, file_bytes: int) -> int:
    prefix = file.read(LENGTH_BYTES)
    if len(prefix) < LENGTH_BYTES:
        raise _broken(path, f"truncated: {file_bytes} bytes are too few for a safetensors file")
    if prefix == LFS_MARK[:LENGTH_BYTES]:
        raise InvalidFile(f"{path} is a Git LFS pointer, not the file itself", hint=LFS_HINT)
    header_bytes = int.from_bytes(prefix, "little")
    if header_bytes > MAX_HEADER_BYTES:
        raise _broken(path, f"not safetensors: it claims a header of {header_bytes} bytes")
    if LENGTH_BYTES + header_bytes > file_bytes:
        raise _broken(path, f"truncated: its header needs {header_bytes} bytes, the file has {file_bytes}")
    return header_bytes


def _parse(path: Path, raw: bytes) -> dict[str, object]:
    try:
        header = json.loads(raw, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise _broken(path, f"not safetensors: its header is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise _broken(path, "not safetensors: its header is not an object")
    return header


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name occurs twice")
    if not all(map(is_utf8, result)):
        raise ValueError("a name has half of a surrogate pair")
    return result


def _entry(path: Path, name: str, fields: object, data_start: int) -> TensorEntry:
    if len(name) > MAX_NAME_CHARACTERS:
        raise _broken(path, f"not of a model: a tensor's name has {len(name)} characters")
    match fields:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(start), int(end)]} if (
            dtype in BITS_OF_DTYPE
            and 0 <= start <= end
            and all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in shape)
        ):
            pass
        case _:
            raise _broken(path, f"not safetensors: the entry of tensor {name!r} is malformed")
    sizes = tuple(size for size in shape if isinstance(size, int))
    needed = math.prod(sizes) * BITS_OF_DTYPE[dtype]
    if needed != (end - start) * 8:
        raise _broken(path, f"malformed: {name!r} is {dtype}{list(sizes)} but has {end - start} bytes")
    return TensorEntry(name, dtype, sizes, data_start + start, end - start)


def _check_coverage(path: Path, entries: list[TensorEntry], data_start: int, file_bytes: int) -> None:
    """Tensors must follow each other without gap or overlap to the last byte of the file."""
    position = data_start
    for entry in entries:
        if entry.offset_bytes != position:
            raise _broken(path, f"malformed: the bytes of {entry.name!r} overlap others or leave a gap")
        position += entry.size_bytes
    if position > file_bytes:
        raise _broken(path, f"truncated: its tensors need {position} bytes, the file has {file_bytes}")
    if position < file_bytes:
        raise _broken(path, f"malformed: {file_bytes - position} bytes follow its last tensor")


def _broken(path: Path, what: str) -> InvalidFile:
    return InvalidFile(f"{path} is {what}", hint="copy the file again, or save it again with safetensors")
