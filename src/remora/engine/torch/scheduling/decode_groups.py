"""Decoding sequences that attention can serve in one call. Owns which go together; computes nothing.

A call costs far more than the few keys of a short sequence. Sequences whose rows of the cache begin equally
far apart are one strided view of it, (sequences, heads, tokens, head size), without a copy: any two do, and
many where requests are of one size. The view is as long as its longest sequence, so a mask hides from each
what lies behind its own end: rows of others, or of nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

# Up to so many tokens the call costs more than the keys; beyond, at most half of a view may be hidden.
SHORT_TOKENS = 512


@dataclass(frozen=True, slots=True)
class DecodingRow:
    """A row of the batch, and the run of the cache that it attends to, itself included."""

    row: int
    first_cache_row: int
    token_count: int


@dataclass(frozen=True, slots=True)
class DecodeGroup:
    """Rows of the batch that attend together; `apart` is the distance of their first cache rows."""

    rows: torch.Tensor  # (sequences,)
    first_cache_row: int
    apart: int
    token_count: int  # of the longest
    mask: torch.Tensor | None  # (sequences, 1, 1, tokens): 0, or -inf behind a sequence's end

    def view(self, cached: torch.Tensor) -> torch.Tensor:
        """Of keys or values (heads, cache rows, head size): (sequences, heads, tokens, head size)."""
        head_stride, row_stride, stride = cached.stride()
        return cached.as_strided(
            (len(self.rows), cached.shape[0], self.token_count, cached.shape[2]),
            (self.apart * row_stride, head_stride, row_stride, stride),
            cached.storage_offset() + self.first_cache_row * row_stride,
        )


def group_decodes(
    decoding: Sequence[DecodingRow], cache_row_count: int, *, dtype: torch.dtype, device: torch.device
) -> tuple[DecodeGroup, ...]:
    """Everybody in one group or another, in as few as a single pass over the cache finds."""
    groups: list[list[DecodingRow]] = []
    for row in sorted(decoding, key=lambda row: row.first_cache_row):
        if groups and _fits(groups[-1], row, cache_row_count):
            groups[-1].append(row)
        else:
            groups.append([row])
    return tuple(_group(members, dtype, device) for members in groups)


def _fits(members: list[DecodingRow], row: DecodingRow, cache_row_count: int) -> bool:
    if len(members) > 1 and row.first_cache_row - members[-1].first_cache_row != _apart(members):
        return False
    counts = [member.token_count for member in (*members, row)]
    longest = max(counts)
    if row.first_cache_row + longest > cache_row_count:
        return False
    return longest <= SHORT_TOKENS or longest * len(counts) <= 2 * sum(counts)


def _apart(members: list[DecodingRow]) -> int:
    return members[1].first_cache_row - members[0].first_cache_row if len(members) > 1 else 0


def _group(members: list[DecodingRow], dtype: torch.dtype, device: torch.device) -> DecodeGroup:
    counts = [member.token_count for member in members]
    longest = max(counts)
    mask = None
    if min(counts) < longest:
        hidden = torch.arange(longest)[None, :] >= torch.tensor(counts)[:, None]
        mask = torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, float("-inf"))
        mask = mask[:, None, None, :].to(device)
    return DecodeGroup(
        rows=torch.tensor([member.row for member in members], device=device),
        first_cache_row=members[0].first_cache_row,
        apart=_apart(members),
        token_count=longest,
        mask=mask,
    )
