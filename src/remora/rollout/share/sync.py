"""Carries out a plan: uploads in parallel, then writes the manifest, then the aliases. Moves no traffic.

The order makes it safe: a digest folder is complete before `aliases.json` points to it. An interrupted sync
never changes what the share serves, and the next sync continues it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import PurePosixPath
from threading import Lock

from remora.adapters.adapter import Digest
from remora.adapters.aliases import AliasSet
from remora.adapters.store import ALIASES, MANIFEST
from remora.azure.share.files import Share
from remora.errors import RemoraError
from remora.rollout.share.plan import (
    Manifest,
    SyncFile,
    SyncPlan,
    decode_manifest,
    encode_manifest,
    plan_sync,
    sizes_in,
)

_PARALLEL_UPLOADS = 8
_SMALL_BYTES = 64 * 1024  # sending so few bytes is cheaper than requesting a copy

Sizes = Mapping[PurePosixPath, int]
"""Path → bytes of the files on the share."""


def prepare(share: Share, wanted: tuple[SyncFile, ...]) -> SyncPlan:
    """Compare the wanted files with the share's manifest, and the manifest with the share.

    If the manifest leaves nothing to do, only the folder that is the most expensive to lose is listed to test
    it, so a sync of any size costs one listing. If there is work to do, or the test fails, every folder is
    listed.
    """
    manifest: Manifest = decode_manifest(share.read(MANIFEST))
    trusting = plan_sync(wanted, manifest, sizes_in(manifest))
    folders = {file.path.parent for file in trusting.kept}
    if not trusting.uploads and wanted:
        largest = max(wanted, key=lambda file: file.size_bytes).path.parent
        found = share.sizes(largest)
        if all(found.get(file.path) == file.size_bytes for file in wanted if file.path.parent == largest):
            return trusting
    return plan_sync(wanted, manifest, _sizes(share, folders))


def upload(share: Share, plan: SyncPlan, progress: Callable[[int, int], None]) -> None:
    """Upload the plan's files and then the manifest. `progress` gets files done and bytes done.

    An interrupted upload of a large file is resumed. A file that the share has under another path is copied
    there by the service.
    """
    if not plan.uploads:
        return
    for folder in sorted({file.path.parent for file in plan.uploads}):
        share.make_folder(folder)
    counted = _Progress(progress)
    sent = {file.path for file in plan.uploads}
    twins = {entry.sha256: path for path, entry in plan.manifest.items() if path not in sent}
    if share.by_identity:  # the service copies for a key only
        twins = {}
    with ThreadPoolExecutor(_PARALLEL_UPLOADS) as pool:
        pending = [
            pool.submit(_send, share, file, twins.get(file.sha256), counted.add_bytes)
            for file in plan.uploads
        ]
        try:
            for finished in as_completed(pending):
                finished.result()
                counted.add_file()
        except BaseException:
            counted.stop()
            pool.shutdown(cancel_futures=True)
            raise
    share.replace(MANIFEST, encode_manifest(plan.manifest))


def _send(share: Share, file: SyncFile, twin: PurePosixPath | None, sent: Callable[[int], None]) -> None:
    """Upload a file, or have the service copy the one with the same content."""
    if twin is not None and file.size_bytes > _SMALL_BYTES:
        with suppress(RemoraError):  # the source is gone or incomplete: then upload the file
            share.copy(twin, file.path)
            if share.sizes(file.path.parent).get(file.path) == file.size_bytes:
                sent(file.size_bytes)
                return
    share.upload(file.path, file.source, sha256=file.sha256, sent=sent)


def point_aliases(share: Share, wanted: Mapping[str, Digest]) -> bool:
    """Write `wanted` to `aliases.json`; return whether it changed."""
    before, after = change_aliases(
        share, lambda current: current if current.digests == dict(wanted) else current.serving(wanted)
    )
    return after is not before


def change_aliases(share: Share, change: Callable[[AliasSet], AliasSet]) -> tuple[AliasSet, AliasSet]:
    """Replace `aliases.json` with the result of `change`; return it before and after.

    If `change` returns its argument, nothing is written, unless there is no file yet. Raises Locked if
    another process has changed the file meanwhile.
    """
    data = share.read(ALIASES)
    before = AliasSet.decode(data, str(ALIASES))
    after = change(before)
    if data is None or after is not before:
        share.replace_if_same(ALIASES, after.encode(), expected=data)
    return before, after


class _Progress:
    """Adds up the progress of several threads, and calls one listener at a time.

    Once stopped, it stops the threads, because a large file would otherwise upload long after Ctrl+C.
    """

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        self._tell = tell
        self._lock = Lock()
        self._files = 0
        self._bytes = 0
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True

    def add_file(self) -> None:
        with self._lock:
            self._files += 1
            self._tell(self._files, self._bytes)

    def add_bytes(self, count: int) -> None:
        if self._stopped:
            raise InterruptedError("the sync was stopped")
        with self._lock:
            self._bytes += count
            self._tell(self._files, self._bytes)


def _sizes(share: Share, folders: Iterable[PurePosixPath]) -> dict[PurePosixPath, int]:
    sizes: dict[PurePosixPath, int] = {}
    with ThreadPoolExecutor(_PARALLEL_UPLOADS) as pool:
        for found in pool.map(share.sizes, sorted(folders)):
            sizes |= found
    return sizes
