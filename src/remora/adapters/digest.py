"""Digests: the identity of an adapter's effect, and of a folder's files. Judges neither."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from remora.adapters.adapter import Digest
from remora.adapters.lora_config import read_lora_settings
from remora.adapters.lora_tensors import WEIGHTS_FILE, base_tensor_of, parse_tensor_name
from remora.adapters.module_settings import ModuleSettings, settings_of_modules
from remora.adapters.tensor_file import CHUNK_BYTES, TensorEntry, TensorReader, read_header
from remora.errors import InvalidInput

_GLANCE_BYTES = 64

Hasher = Callable[[Path], str]
"""The sha256 (hex) of a file's bytes; `HashCache.sha256` is one that remembers."""


@dataclass(frozen=True, slots=True)
class TensorScan:
    """What one reading of all tensors tells: the digest, and which tensors hold nothing but zeros."""

    digest: Digest
    zero: frozenset[str]


def adapter_digest(folder: Path) -> Digest:
    """The identity of what a LoRA folder does to a base model.

    Made of every module's scaling and every tensor's name, dtype, shape and bytes, so that it changes
    with the effect and with nothing else: not with the order of tensors in the file, its metadata,
    settings that matter to training only, or copies of the base model's own tensors.
    """
    settings = read_lora_settings(folder)
    weights = folder / WEIGHTS_FILE
    entries = read_header(weights)
    names = {parsed.module for entry in entries if (parsed := parse_tensor_name(entry.name))}
    return scan_tensors(settings_of_modules(settings, names, folder=folder), weights, entries).digest


def scan_tensors(
    modules: Mapping[str, ModuleSettings], weights: Path, entries: Iterable[TensorEntry]
) -> TensorScan:
    """Read every tensor once that has an effect, for settings and a header that were read already."""
    effective = (entry for entry in entries if base_tensor_of(entry.name) is None)
    total = hashlib.sha256(b"remora adapter 1\n")
    zero: set[str] = set()
    with TensorReader(weights) as reader:
        for entry in sorted(effective, key=lambda entry: entry.name):
            line = [entry.name, entry.dtype, list(entry.shape), _scaling_of_tensor(modules, entry.name)]
            total.update(json.dumps(line).encode() + b"\n")
            is_zero = True
            for chunk in reader.chunks(entry):
                total.update(chunk)
                is_zero = is_zero and _is_zero(chunk)
            if is_zero:
                zero.add(entry.name)
    return TensorScan(Digest(total.hexdigest()), frozenset(zero))


def folder_digest(folder: Path, files: Iterable[str], *, sha256: Hasher | None = None) -> Digest:
    """The identity of some files of a folder: their relative names (with `/`) and bytes, in any order."""
    hash_file = sha256 or sha256_of_file
    total = hashlib.sha256(b"remora folder 1\n")
    for name in sorted(set(files)):
        if name.startswith("/") or ".." in name.split("/"):
            raise InvalidInput(f"{name!r} is no file below {folder}")
        total.update(json.dumps([name, hash_file(folder / name)]).encode() + b"\n")
    return Digest(total.hexdigest())


def sha256_of_file(path: Path) -> str:
    """The sha256 (hex) of a file, read a chunk at a time."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            total.update(chunk)
    return total.hexdigest()


def _is_zero(chunk: memoryview) -> bool:
    """Whether these are floating-point zeros of either sign, or too small to matter."""
    # Nearly always the first few bytes say no, and looking at all of them costs more than hashing them.
    return not any(bytes(part).translate(None, b"\x00\x80") for part in (chunk[:_GLANCE_BYTES], chunk))


def _scaling_of_tensor(modules: Mapping[str, ModuleSettings], name: str) -> str | None:
    parsed = parse_tensor_name(name)
    if parsed is None:
        return None
    return modules[parsed.module].scaling.hex()  # exact, and spelt alike on every machine
