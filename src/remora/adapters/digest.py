"""Digests: the identity of an adapter's effect, and of a folder's files. Judges neither."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from remora.adapters.adapter import Digest
from remora.adapters.peft.lora_config import read_lora_settings
from remora.adapters.peft.lora_tensors import TOKENS_DELTA, WEIGHTS_FILE, parse_tensor_name
from remora.adapters.peft.module_settings import ModuleSettings, settings_of_modules
from remora.adapters.peft.tensor_file import CHUNK_BYTES, TensorEntry, TensorReader, fetch_ahead, read_header
from remora.adapters.peft.weight_numbers import unusable_number
from remora.adapters.text.text_files import text_files
from remora.errors import InvalidInput

NO_TOKENS: Mapping[str, tuple[int, ...]] = MappingProxyType({})
_GLANCE_BYTES = 64
_MOST_THREADS = 4  # that many outrun any disk; a replica has other work for its cores

Hasher = Callable[[Path], str]
"""The sha256 (hex) of a file's bytes; `HashCache.sha256` is one that remembers."""


@dataclass(frozen=True, slots=True)
class TensorScan:
    """What one reading of all tensors tells: the digest, which tensors hold nothing but zeros, and which hold
    a number that cannot be computed with, as text."""

    digest: Digest
    zero: frozenset[str]
    unusable: Mapping[str, str]


def adapter_digest(folder: Path) -> Digest:
    """The identity of what a LoRA folder does to a base model.

    Made of every module's scaling and every tensor's name, dtype, shape and bytes, so that it changes
    with the effect and with nothing else: not with the order of tensors in the file, its metadata or
    settings that matter to training only. Which tokens the rows of trained tokens belong to counts too, and
    the files of a tokenizer in the folder by their bytes.
    """
    settings = read_lora_settings(folder)
    weights = folder / WEIGHTS_FILE
    fetch_ahead(weights)
    entries = read_header(weights)
    names = {parsed.wrapper for entry in entries if (parsed := parse_tensor_name(entry.name))}
    modules = settings_of_modules(settings, names, folder=folder)
    return scan_tensors(modules, weights, entries, text_files(folder), settings.trainable_tokens).digest


def scan_tensors(
    modules: Mapping[str, ModuleSettings],
    weights: Path,
    entries: Iterable[TensorEntry],
    texts: Iterable[str] = (),
    trained_tokens: Mapping[str, tuple[int, ...]] = NO_TOKENS,
) -> TensorScan:
    """Read every tensor once, for settings and a header that were read already.

    The digest is one sha256 over a line of JSON for each tensor, by name: name, dtype, shape,
    scaling, and the sha256 of its bytes; then, where there are rows of `trained_tokens`, one with the tokens
    of each module; then one for each of `texts`, files beside the weights. One over all the bytes would keep
    all but one core from helping.
    """
    by_name = sorted(entries, key=lambda entry: entry.name)
    contents = _read_contents(weights, by_name)
    total = hashlib.sha256(b"remora adapter 2\n")
    for entry in by_name:
        scaling = _scaling_of_tensor(modules, entry.name)
        line = [entry.name, entry.dtype, list(entry.shape), scaling, contents[entry.name].sha256]
        total.update(json.dumps(line).encode() + b"\n")
    if any(entry.name.endswith(TOKENS_DELTA) for entry in by_name):
        total.update(json.dumps(["trained tokens", sorted(trained_tokens.items())]).encode() + b"\n")
    for name in sorted(texts):
        total.update(json.dumps([name, sha256_of_file(weights.parent / name)]).encode() + b"\n")
    zero = frozenset(name for name, content in contents.items() if content.is_zero)
    unusable = {name: content.unusable for name, content in contents.items() if content.unusable}
    return TensorScan(Digest(total.hexdigest()), zero, unusable)


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


@dataclass(frozen=True, slots=True)
class _Content:
    """What the bytes of one tensor are."""

    sha256: str
    is_zero: bool
    unusable: str


def _read_contents(weights: Path, entries: Iterable[TensorEntry]) -> dict[str, _Content]:
    """The contents by the tensors' names, read by as many threads as there are cores for them."""
    waiting = deque(sorted(entries, key=lambda entry: entry.offset_bytes))
    threads = max(1, min(_MOST_THREADS, os.cpu_count() or 1, len(waiting)))
    with ThreadPoolExecutor(threads, "digest") as pool:
        readers = [pool.submit(_read_waiting, weights, waiting) for _ in range(threads)]
        return {name: content for reader in readers for name, content in reader.result()}


def _read_waiting(weights: Path, waiting: deque[TensorEntry]) -> list[tuple[str, _Content]]:
    """Read one tensor after the other, in the order of the file, until none waits."""
    found: list[tuple[str, _Content]] = []
    with TensorReader(weights) as reader:
        while True:
            try:
                entry = waiting.popleft()  # whole under the interpreter's lock, so no two threads take one
            except IndexError:
                return found
            found.append((entry.name, _content(reader, entry)))


def _content(reader: TensorReader, entry: TensorEntry) -> _Content:
    total, is_zero, unusable, position = hashlib.sha256(), True, "", 0
    for chunk in reader.chunks(entry):
        total.update(chunk)
        is_zero = is_zero and _is_zero(chunk)
        unusable = unusable or unusable_number(chunk, entry.dtype, position)
        position += len(chunk)
    return _Content(total.hexdigest(), is_zero, unusable)


def _is_zero(chunk: memoryview) -> bool:
    """Whether these are floating-point zeros of either sign, or too small to matter."""
    # Nearly always the first few bytes say no, and looking at all of them costs more than hashing them.
    return not any(bytes(part).translate(None, b"\x00\x80") for part in (chunk[:_GLANCE_BYTES], chunk))


def _scaling_of_tensor(modules: Mapping[str, ModuleSettings], name: str) -> str | None:
    parsed = parse_tensor_name(name)
    if parsed is None:
        return None
    module = modules[parsed.wrapper]
    # Exact, and spelt alike on every machine; and whose update it is where the name does not tell.
    return module.scaling.hex() + module.parameter
