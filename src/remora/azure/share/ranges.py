"""Uploads one large file to a share: several ranges at once, resuming where an earlier attempt stopped.

Owns the ranges to send. Callers decide the file's path and when it counts as complete.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from azure.core.exceptions import ResourceNotFoundError

if TYPE_CHECKING:
    from azure.storage.fileshare import ShareFileClient

RANGE_BYTES = 4 * 1024 * 1024
"""The largest size of one write."""

_CONTENT_KEY = "remora_sha256"
_RANGES_PER_FILE = 4


def upload_ranges(
    client: ShareFileClient,
    source: Path,
    sha256: str,
    *,
    in_flight: BoundedSemaphore,
    sent: Callable[[int], None],
) -> None:
    """Make the file on the share equal to `source`, whose content has this `sha256`.

    `sent` gets the size of every range on the share, including those of an earlier attempt; several threads
    call it. `in_flight` limits how many ranges are in memory at once.
    """
    size_bytes = source.stat().st_size
    there = _begin(client, size_bytes, sha256)
    missing = [start for start in range(0, size_bytes, RANGE_BYTES) if not _covered(there, start, size_bytes)]
    sent(size_bytes - sum(min(RANGE_BYTES, size_bytes - start) for start in missing))

    def send(descriptor: int, start: int) -> None:
        with in_flight:
            data = _read(descriptor, start, min(RANGE_BYTES, size_bytes - start))
            client.upload_range(data, offset=start, length=len(data), validate_content=True)
        sent(len(data))

    with source.open("rb") as stream, ThreadPoolExecutor(_RANGES_PER_FILE) as pool:
        tasks = [pool.submit(send, stream.fileno(), start) for start in missing]
        try:
            for task in as_completed(tasks):
                task.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _begin(client: ShareFileClient, size_bytes: int, sha256: str) -> Sequence[tuple[int, int]]:
    """The (first, last) bytes that the share has already. Creates the file unless it has this content.

    The metadata identifies the content: ranges of other content are useless.
    """
    try:
        properties = client.get_file_properties()
        if sha256 and properties.size == size_bytes and properties.metadata.get(_CONTENT_KEY) == sha256:
            return [(found.start, found.end) for found in client.list_ranges()]
    except ResourceNotFoundError:
        pass
    client.create_file(size_bytes, metadata={_CONTENT_KEY: sha256})
    return []


def _covered(there: Sequence[tuple[int, int]], start: int, size_bytes: int) -> bool:
    """Whether one of the ranges contains the whole block that starts at `start`."""
    last = min(start + RANGE_BYTES, size_bytes) - 1
    return any(first <= start and last <= end for first, end in there)


def _read(descriptor: int, start: int, length: int) -> bytes:
    """Read a range. Raises OSError if the file was truncated meanwhile."""
    data = os.pread(descriptor, length, start)
    if len(data) != length:
        raise OSError(f"the file was truncated during its upload: {len(data)} of {length} bytes at {start}")
    return data
