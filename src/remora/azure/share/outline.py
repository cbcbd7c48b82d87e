"""A local outline of a share's models, without weights: all names and sizes, small files, and weight headers.

Owns the download of the outline, which code can inspect like a folder of models. Checks no model.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from remora.adapters.in_place import Place
from remora.adapters.peft.tensor_file import LENGTH_BYTES, MAX_HEADER_BYTES
from remora.azure.share.files import Share, ShareEntry
from remora.azure.share.models import ShareModels, find_share_models
from remora.errors import RemoraError

_WHOLE = (".json", ".jinja")
_MOST_WHOLE_BYTES = 1 << 22  # a tokenizer can be larger, and no check reads it
_INDEX = ".index.json"
_FIRST_BYTES = 1 << 16  # enough for most headers
_PARALLEL = 8


@dataclass(frozen=True, slots=True)
class Outline:
    """`root` is the local outline of the share `share_name`, which has `models`."""

    root: Path
    share_name: str
    models: ShareModels

    def local(self, folder: PurePosixPath) -> Path:
        """The local path of a folder of the share."""
        return self.root / folder

    def place(self, path: Path) -> Place | None:
        """The listing of a folder in the outline; None for a folder outside it."""
        if not path.is_relative_to(self.root):
            return None
        return self.models.place(PurePosixPath(path.relative_to(self.root).as_posix()))


@contextmanager
def outlined(share: Share) -> Iterator[Outline]:
    """The outline of a share, deleted after the block. Raises DeploymentNotFound without a share."""
    models = find_share_models(share)
    with TemporaryDirectory(prefix="remora-outline-") as folder:
        root = Path(folder).resolve()
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(lambda entry: _write(share, entry, root / entry.path), models.files.values()))
        try:
            yield Outline(root, share.name, models)
        except RemoraError as error:  # users know the share's paths, not the outline's
            error.message = error.message.replace(f"{root}{os.sep}", f"{share.name}:")
            raise


def _write(share: Share, entry: ShareEntry, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        file.write(_start_of(share, entry))
        file.truncate(entry.size_bytes)  # the rest is a hole, which takes no space


def _start_of(share: Share, entry: ShareEntry) -> bytes:
    path, size = entry.path, entry.size_bytes
    if size == 0:
        return b""
    if path.suffix == ".safetensors":
        return _header(share, path, size)
    is_whole = path.suffix in _WHOLE and (size <= _MOST_WHOLE_BYTES or path.name.endswith(_INDEX))
    return share.read_start(path, size) if is_whole else b""


def _header(share: Share, path: PurePosixPath, size: int) -> bytes:
    start = share.read_start(path, min(size, _FIRST_BYTES))
    header_bytes = LENGTH_BYTES + int.from_bytes(start[:LENGTH_BYTES], "little")
    if header_bytes <= len(start) or header_bytes > min(size, MAX_HEADER_BYTES):
        return start[:header_bytes]
    return share.read_start(path, header_bytes)
