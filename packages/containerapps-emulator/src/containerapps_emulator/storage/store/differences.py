"""What two open files do not have in common, page by page. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from containerapps_emulator.storage.store.content import PAGE_BYTES, data_ranges, read

_PART_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes that a file has, or that were cleared since an earlier time."""

    first: int
    last: int
    is_cleared: bool = False


def differences(new: int, old: int, cleared: Sequence[tuple[int, int]], start: int, end: int) -> list[Span]:
    """Where the pages of two open files differ within [start, end).

    `cleared` was cleared in the new one since: it counts where it still is, even if it was zeros before.
    """
    found: list[Span] = []
    extents = (*data_ranges(new, start, end), *data_ranges(old, start, end), *cleared)
    for first, last in _parts(extents, start, end):
        now, before = read(new, first, last - first), read(old, first, last - first)
        cleared_here = [(low, high) for low, high in cleared if low < last and high >= first]
        if now == before and not cleared_here:
            continue
        for place in range(0, len(now), PAGE_BYTES):
            page = now[place : place + PAGE_BYTES]
            is_zero = not page.strip(b"\0")
            was_cleared = any(low <= first + place <= high for low, high in cleared_here)
            if page != before[place : place + PAGE_BYTES].ljust(len(page), b"\0") or (
                is_zero and was_cleared
            ):
                _append(found, Span(first + place, first + place + len(page) - 1, is_zero))
    return found


def _parts(extents: Iterable[tuple[int, int]], start: int, end: int) -> Iterator[tuple[int, int]]:
    """What the extents cover of [start, end), each byte once, in parts that begin at a page."""
    position = start
    for first, last in sorted(extents):
        position = max(position, first // PAGE_BYTES * PAGE_BYTES)
        while position <= last and position < end:
            stop = min(position + _PART_BYTES, end)
            yield position, stop
            position = stop


def _append(found: list[Span], span: Span) -> None:
    """Add a span, as a part of the last one if it continues that."""
    if found and (found[-1].last + 1, found[-1].is_cleared) == (span.first, span.is_cleared):
        span = Span(found.pop().first, span.last, span.is_cleared)
    found.append(span)
