"""Carry a plan out: upload in parallel, then the manifest, then the aliases. Order is the safety.

A digest folder is complete before `aliases.json` points at it; whatever interrupts a sync, the share
still says what it said before, and the next sync goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import PurePosixPath

from remora.adapters.adapter import Digest
from remora.adapters.store import ALIASES, MANIFEST, decode_aliases, encode_aliases
from remora.azure.files import Share
from remora.rollout.plan import Manifest, SyncFile, SyncPlan, decode_manifest, encode_manifest, plan_sync

_PARALLEL_UPLOADS = 8


def prepare(share: Share, wanted: tuple[SyncFile, ...]) -> SyncPlan:
    """Read the share's manifest and listing, and plan."""
    manifest: Manifest = decode_manifest(share.read(MANIFEST))
    sizes: dict[PurePosixPath, int] = {}
    for folder in sorted({file.path.parent for file in wanted}):
        sizes |= share.sizes(folder)
    return plan_sync(wanted, manifest, sizes)


def upload(share: Share, plan: SyncPlan, progress: Callable[[int, int], None]) -> None:
    """Upload the plan's files and then the manifest. `progress` gets files done and bytes done."""
    if not plan.uploads:
        return
    for folder in sorted({file.path.parent for file in plan.uploads}):
        share.make_folder(folder)
    files = done_bytes = 0
    with ThreadPoolExecutor(_PARALLEL_UPLOADS) as pool:
        pending = {pool.submit(share.upload, file.path, file.source): file for file in plan.uploads}
        try:
            for finished in as_completed(pending):
                finished.result()
                files += 1
                done_bytes += pending[finished].size_bytes
                progress(files, done_bytes)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    share.replace(MANIFEST, encode_manifest(plan.manifest))


def point_aliases(share: Share, wanted: Mapping[str, Digest]) -> bool:
    """Make `aliases.json` say `wanted`; return whether it had to change."""
    data = share.read(ALIASES)
    current = decode_aliases(data, str(ALIASES)) if data is not None else {}
    if data is not None and current == dict(wanted):
        return False
    share.replace(ALIASES, encode_aliases(wanted, current))
    return True
