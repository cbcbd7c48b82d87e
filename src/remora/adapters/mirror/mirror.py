"""A mirror of the needed part of a share: small documents that are read again, folders that are pulled once.

What it writes lies where the mounted share would have it, so that all other code reads it as if it were
mounted. A folder that is there is whole: it is pulled beside its place and renamed. Nothing is written to the
share, and what a replica writes into its mirror is this replica's alone.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath
from threading import Lock

from remora.adapters.mirror.rest import RemoteFile, RestShare, parts_of
from remora.adapters.mirror.tokens import Tokens
from remora.errors import DiskFull, InvalidFile, writing

URL_VARIABLE = "REMORA_SHARE_URL"
IDENTITY_VARIABLE = "REMORA_SHARE_IDENTITY"
PART_BYTES = 8 * 1024 * 1024
PARALLEL_PARTS = 8
TELL_SECONDS = 2.0
_SPARE_BYTES = 64 * 1024 * 1024
_MEGABYTE = 1_000_000

Tell = Callable[[str], None]


class Mirror:
    """A share's mirror below the folder `root`. Safe to use from threads."""

    def __init__(self, root: Path, share: RestShare) -> None:
        self.root = root
        self._share = share
        self._pulling = Lock()

    @classmethod
    def of(cls, root: Path, environment: Mapping[str, str]) -> Mirror | None:
        """The mirror that the variables of a container ask for; None where the share is mounted."""
        url = environment.get(URL_VARIABLE)
        if not url:
            return None
        tokens = Tokens.of(environment, environment.get(IDENTITY_VARIABLE, ""))
        return cls(root, RestShare(url, tokens))

    def refresh(self, path: PurePosixPath, *, attempts: int = 1) -> bool:
        """Read a document again; returns whether it changed. One that the share lost is removed here too.

        Raises CloudUnavailable or Refused, and then leaves what is there.
        """
        data, target = self._share.read(path, attempts=attempts), self._at(path)
        known = target.read_bytes() if target.is_file() else None
        if data == known:
            return False
        if data is None:
            target.unlink(missing_ok=True)
        else:
            with writing(target):
                _replace(target, data)
        return True

    def pull(self, folder: PurePosixPath, what: str, tell: Tell = lambda _: None) -> bool:
        """Have a whole folder; returns whether it was pulled now. One that is there is never read again.

        A folder that the share does not have is left out. `tell` gets the progress, as of `what`. Raises
        DiskFull, InvalidFile (a file changed meanwhile), CloudUnavailable or Refused.
        """
        target = self._at(folder)
        with self._pulling:
            if target.is_dir():
                return False
            files = self._share.files(folder)
            if not files:
                return False
            _check_room(self.root, sum(file.size_bytes for file in files), what)
            partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
            try:
                with writing(target):
                    self._fetch(files, folder, partial, _Progress(what, files, tell))
                    partial.rename(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        return True

    def forget(self, folder: PurePosixPath) -> None:
        """Remove a folder that turned out to be wrong, so that it is pulled again; a missing one: no-op."""
        shutil.rmtree(self._at(folder), ignore_errors=True)

    def keep_only(self, parent: PurePosixPath, folders: Collection[PurePosixPath]) -> None:
        """Remove every `<name>/<folder>` below `parent` that is not one of these, to free the disk."""
        for folder in self._at(parent).glob("*/*"):
            if folder.name.startswith("."):  # it is being pulled
                continue
            if folder.is_dir() and PurePosixPath(folder.relative_to(self.root)) not in folders:
                shutil.rmtree(folder, ignore_errors=True)

    def remove_partial(self) -> None:
        """Remove what killed starts have left behind; nothing else may run on this mirror meanwhile."""
        for partial in self.root.glob(".remora/**/.*.partial"):
            shutil.rmtree(partial, ignore_errors=True)

    def _fetch(
        self, files: Sequence[RemoteFile], folder: PurePosixPath, into: Path, progress: _Progress
    ) -> None:
        with ThreadPoolExecutor(PARALLEL_PARTS, "pull") as pool:
            opened = [_create(into / file.path.relative_to(folder), file.size_bytes) for file in files]
            try:
                tasks = [
                    pool.submit(self._fetch_part, file, start, length, descriptor, progress)
                    for file, descriptor in zip(files, opened, strict=True)
                    for start, length in parts_of(file, PART_BYTES)
                ]
                try:
                    for task in as_completed(tasks):
                        task.result()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
            finally:
                for descriptor in opened:
                    os.close(descriptor)

    def _fetch_part(
        self, file: RemoteFile, start: int, length: int, descriptor: int, progress: _Progress
    ) -> None:
        def write(at: int, chunk: bytes) -> None:
            os.pwrite(descriptor, chunk, at)
            progress.add(len(chunk))

        self._share.read_range(file, start, length, write)

    def _at(self, path: PurePosixPath) -> Path:
        """Where a path of the share lies here. Raises InvalidFile if it leads out of the mirror."""
        if path.is_absolute() or ".." in path.parts:
            raise InvalidFile(f"{path} leads out of the share", hint="run: remora adapters repair")
        return self.root / path


class _Progress:
    """Counts bytes of several threads, and tells every two seconds how far it is."""

    def __init__(self, what: str, files: Sequence[RemoteFile], tell: Tell) -> None:
        self._what = what
        self._total = sum(file.size_bytes for file in files)
        self._tell = tell
        self._lock = Lock()
        self._done = 0
        self._told = time.monotonic()
        tell(self._text())

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            if self._done < self._total and time.monotonic() - self._told < TELL_SECONDS:
                return
            self._told = time.monotonic()
            self._tell(self._text())

    def _text(self) -> str:
        done, total = self._done / _MEGABYTE, self._total / _MEGABYTE
        digits = 0 if total >= 10 else 1
        return f"pulling {self._what} {done:.{digits}f} of {total:.{digits}f} MB"


def _create(path: Path, size_bytes: int) -> int:
    """A new file of its full size, so that a full disk shows before the reading; returns a descriptor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        if size_bytes and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size_bytes)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_room(root: Path, needed: int, what: str) -> None:
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    if needed + _SPARE_BYTES > free:
        raise DiskFull(
            f"{what} needs {needed / _MEGABYTE:.0f} MB, and the disk of this replica has"
            f" {free / _MEGABYTE:.0f} MB left",
            hint="give the app more cpu, with which its disk grows to at most 8 GiB: cpu in"
            " inference.parameters.json",
        )


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees all of the old or of the new content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
