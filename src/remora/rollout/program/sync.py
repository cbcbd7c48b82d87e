"""Uploads a workspace's files to the same paths on the share, where the user's own program reads them.

Unlike a release, these files are replaced in place: each one atomically, but one after another. The manifest
`.remora/workspace.json` lists what the last sync uploaded. Never deletes other files, and of those only code,
because models may exist only on the share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Event, Lock

from remora.adapters.store import ROOT, WORKSPACE
from remora.azure.share.files import Share
from remora.azure.share.ranges import RANGE_BYTES
from remora.rollout.program.files import is_code
from remora.rollout.share.part import Part
from remora.rollout.share.plan import Manifest, Recorded, SyncFile, decode_manifest, encode_manifest

_INCOMING = ROOT / "incoming"
_PARALLEL = 8
_ID_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class WorkspacePlan:
    """What to upload and delete; `manifest` describes the share afterwards, `workspace_id` identifies it."""

    uploads: tuple[SyncFile, ...]
    kept: tuple[SyncFile, ...]
    deletes: tuple[PurePosixPath, ...]
    manifest: Manifest

    @property
    def upload_bytes(self) -> int:
        return sum(file.size_bytes for file in self.uploads)

    @property
    def workspace_id(self) -> str:
        return hashlib.sha256(encode_manifest(self.manifest)).hexdigest()[:_ID_CHARACTERS]


def prepare_workspace(share: Share, wanted: tuple[SyncFile, ...], part: Part) -> WorkspacePlan:
    """Compare the workspace with the manifest, and the manifest with what the share holds."""
    manifest = decode_manifest(share.read(WORKSPACE), WORKSPACE.name)
    tops = sorted({PurePosixPath(file.path.parts[0]) for file in wanted if len(file.path.parts) > 1})
    sizes: dict[PurePosixPath, int] = {}
    if manifest:
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for found in pool.map(share.sizes, tops):
                sizes |= found
    return plan_workspace(wanted, manifest, sizes, part)


def plan_workspace(
    wanted: Iterable[SyncFile], manifest: Manifest, sizes: Mapping[PurePosixPath, int], part: Part
) -> WorkspacePlan:
    """A file that the manifest lists with this content, and the share still has with its size, is kept.

    Files in the share's root are not listed; for them the manifest is trusted.
    """
    files = tuple(wanted)
    there = {
        file.path
        for file in files
        if manifest.get(file.path) == Recorded(file.sha256, file.size_bytes)
        and (len(file.path.parts) == 1 or sizes.get(file.path) == file.size_bytes)
    }
    paths = {file.path for file in files}
    gone = [path for path in manifest if path not in paths and is_code(path) and part is not Part.ADAPTERS]
    kept = {path: entry for path, entry in manifest.items() if path not in gone}
    return WorkspacePlan(
        uploads=tuple(file for file in files if file.path not in there),
        kept=tuple(file for file in files if file.path in there),
        deletes=tuple(sorted(gone)),
        manifest={**kept, **{file.path: Recorded(file.sha256, file.size_bytes) for file in files}},
    )


def upload_workspace(share: Share, plan: WorkspacePlan, progress: Callable[[int], None]) -> None:
    """Upload, delete, then write the manifest. `progress` gets the number of bytes that have arrived.

    Readers see a replaced file in its old or its new state. An interrupted upload of a large file is resumed.
    """
    if not plan.uploads and not plan.deletes:
        return
    counted = _Counter(progress)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        pending = [pool.submit(_upload, share, file, counted) for file in plan.uploads]
        try:
            for finished in as_completed(pending):
                finished.result()
        except BaseException:
            counted.stopped.set()
            pool.shutdown(cancel_futures=True)
            raise
    for path in plan.deletes:
        share.delete(path)
    share.replace(WORKSPACE, encode_manifest(plan.manifest))


def _upload(share: Share, file: SyncFile, counted: _Counter) -> None:
    source = file.source
    if file.size_bytes <= RANGE_BYTES:
        counted.add(0)
        share.replace(file.path, source.read_bytes() if isinstance(source, Path) else source)
        counted.add(file.size_bytes)
        return
    incoming = _INCOMING / file.sha256
    share.upload(incoming, source, sha256=file.sha256, sent=counted.add)
    share.move(incoming, file.path)


class _Counter:
    """Adds up the bytes of several threads; once stopped, it stops them."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self.stopped = Event()
        self._tell = tell
        self._lock = Lock()
        self._bytes = 0

    def add(self, count: int) -> None:
        if self.stopped.is_set():
            raise InterruptedError("the sync was stopped")
        with self._lock:
            self._bytes += count
            self._tell(self._bytes)
