"""A replica's reading of models that lie on the share: hashed once, and kept for every later start.

A base model is served from its own folder. An adapter is small, and its next training writes into the same
folder: so what is served of it is a copy below `.remora/adapters`, which a rollback can go back to. The
folders themselves are never changed.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from remora.adapters.adapter import Digest
from remora.adapters.digest import adapter_digest, folder_digest, sha256_of_file
from remora.adapters.in_place import (
    Contents,
    Place,
    ReadFile,
    contents_path,
    decode_contents,
    decode_place,
    place_path,
)
from remora.adapters.peft.inspect import ADAPTER_FILES
from remora.adapters.store import ADAPTERS, adapter_folder
from remora.adapters.text.text_files import text_files
from remora.errors import AdapterRejected, ProjectIncomplete

_MOST_THREADS = 4


def find_contents(share: Path, stamp: Digest) -> Contents | None:
    """What was read there, once a replica has. Raises InvalidFile."""
    path = share / contents_path(stamp)
    try:
        return decode_contents(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None


def check_base(share: Path, stamp: Digest) -> Path:
    """The folder of a base model, which holds what it held when it was first read; that may be now.

    Nobody has read it yet, or the record is lost: then it must be as it was listed.

    Raises ProjectIncomplete where a file is missing or changed.
    """
    place = _place(share, stamp)
    if place is None:
        raise ProjectIncomplete(
            f"{place_path(stamp)} is not on the share: nothing says where the base model lies",
            hint="run: remora deploy",
        )
    folder, known = share / place.folder, find_contents(share, stamp)
    if known is not None and place.is_as_listed(share):
        return folder
    missing = [name for name in place.files if not (folder / name).is_file()]
    if missing:
        raise ProjectIncomplete(
            f"the base model at {place.folder} on the share lacks {missing[0]}",
            hint="bring it back, or run: remora deploy",
        )
    if known is None:
        _read_first(share, place)
    elif known.digest != _read_base(folder, place.files).digest:
        raise _changed_base(place)
    return folder


def bring_adapter(share: Path, name: str, digest: Digest) -> Digest:
    """The digest of an adapter that is ready to be served; where a stamp was given, it is read now.

    Raises AdapterRejected or InvalidFile where the folder is not whole, OSError where the share fails.
    """
    place = _place(share, digest)
    if place is None:
        return digest
    known = find_contents(share, digest)
    if known is not None and _is_whole(share / adapter_folder(name, known.digest), known):
        return known.digest
    if place.was_changed(share):
        raise _trained_again(place)
    contents = _copy_adapter(share, name, place)
    if place.was_changed(share) or (known is not None and known.digest != contents.digest):
        raise _trained_again(place)
    _keep(share / contents_path(digest), contents.encode())
    return contents.digest


def _read_first(share: Path, place: Place) -> None:
    """Read a base model and keep what was read. Raises ProjectIncomplete where it is not what was listed."""
    contents = None if place.was_changed(share) else _read_base(share / place.folder, place.files)
    if contents is None or place.was_changed(share):
        raise _changed_base(place)
    _keep(share / contents_path(place.stamp), contents.encode())


def _changed_base(place: Place) -> ProjectIncomplete:
    return ProjectIncomplete(
        f"the base model at {place.folder} on the share was changed after it was deployed",
        hint="to serve it as it is now, run: remora deploy",
    )


def _trained_again(place: Place) -> AdapterRejected:
    return AdapterRejected(
        f"the adapter at {place.folder} on the share was changed after it was deployed, and no copy of what"
        " was deployed is left",
        hint="to serve it as it is now, run: remora deploy",
    )


def _place(share: Path, stamp: Digest) -> Place | None:
    path = share / place_path(stamp)
    try:
        return decode_place(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None


def _read_base(folder: Path, names: Iterable[str]) -> Contents:
    """Read every file once, several at a time."""
    files = sorted(names)
    with ThreadPoolExecutor(max(1, min(_MOST_THREADS, os.cpu_count() or 1)), "digest") as pool:
        hashes = dict(zip(files, pool.map(lambda name: sha256_of_file(folder / name), files), strict=True))
    digest = folder_digest(folder, files, sha256=lambda path: hashes[path.relative_to(folder).as_posix()])
    read = {name: ReadFile(hashes[name], (folder / name).stat().st_size) for name in files}
    return Contents(digest, read)


def _copy_adapter(share: Path, name: str, place: Place) -> Contents:
    """Copy first and hash the copy: a training may write while we read."""
    partial = share / ADAPTERS / name / f".{secrets.token_hex(4)}.partial"
    partial.mkdir(parents=True)
    names = (*ADAPTER_FILES, *text_files(share / place.folder))
    try:
        for file in names:
            (partial / file).parent.mkdir(exist_ok=True)
            try:
                shutil.copyfile(share / place.folder / file, partial / file)
            except FileNotFoundError as error:
                raise AdapterRejected(
                    f"{place.folder / file} is not on the share any more", hint="run: remora deploy"
                ) from error
        digest = adapter_digest(partial)
        files = {
            file: ReadFile(sha256_of_file(partial / file), (partial / file).stat().st_size) for file in names
        }
        contents = Contents(digest, files)
        target = share / adapter_folder(name, digest)
        target.mkdir(exist_ok=True)
        if not _is_whole(target, contents):  # else another replica was faster, or it is an adapter of before
            for file in names:
                (target / file).parent.mkdir(exist_ok=True)
                (partial / file).replace(target / file)
        return contents
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_whole(folder: Path, contents: Contents) -> bool:
    try:
        return all((folder / name).stat().st_size == each.size_bytes for name, each in contents.files.items())
    except OSError:
        return False


def _keep(path: Path, data: bytes) -> None:
    """Write it whole or not at all; of two replicas, either's is right."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
