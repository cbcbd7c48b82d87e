"""Sequences that are attended to together: as one view of the cache, each with its own past and no other."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from remora.engine.torch.cache.kv_cache import LARGEST_VALUE, KvCache
from remora.engine.torch.scheduling.decode_groups import SHORT_TOKENS, DecodeGroup, DecodingRow, group_decodes

HEADS, HEAD_SIZE = 2, 4


def groups_of(*runs: tuple[int, int], cache_rows: int = 10_000) -> tuple[DecodeGroup, ...]:
    """Groups for sequences with (first cache row, tokens)."""
    decoding = [DecodingRow(row, first, count) for row, (first, count) in enumerate(runs)]
    return group_decodes(decoding, cache_rows, dtype=torch.float32, device=torch.device("cpu"))


def test_slots_of_one_size_are_one_group_without_a_mask() -> None:
    (group,) = groups_of((20, 7), (0, 7), (10, 7))
    assert (group.rows.tolist(), group.first_cache_row, group.apart) == ([1, 2, 0], 0, 10)
    assert group.mask is None


def test_any_two_are_a_group_and_the_next_begins_another() -> None:
    assert [group.rows.tolist() for group in groups_of((0, 5), (7, 5), (40, 5), (90, 5), (140, 5))] == [
        [0, 1],
        [2, 3, 4],
    ]


def test_a_long_sequence_is_not_read_for_short_ones() -> None:
    long = 4 * SHORT_TOKENS
    assert len(groups_of((0, 10), (long, long), (2 * long, 10))) == 2


def test_no_view_goes_beyond_the_cache() -> None:
    assert len(groups_of((0, 30), (80, 10), cache_rows=100)) == 2
    assert len(groups_of((0, 20), (80, 10), cache_rows=100)) == 1


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 40)), min_size=1, max_size=9))
def test_each_sees_its_own_tokens_and_nothing_else(lengths: list[tuple[int, int]]) -> None:
    torch.manual_seed(0)
    first, runs = 0, []
    for gap, count in lengths:
        runs.append((first + gap, count))
        first += gap + count
    keys, values = torch.randn(2, HEADS, first, HEAD_SIZE)
    queries = torch.randn(len(runs), HEADS, 1, HEAD_SIZE)
    seen = []
    for group in groups_of(*runs, cache_rows=first):
        rows = group.rows.tolist()
        seen += rows
        together = scaled_dot_product_attention(
            queries[rows], group.view(keys), group.view(values), attn_mask=group.mask
        )
        for row, attended in zip(rows, together, strict=True):
            own = slice(runs[row][0], sum(runs[row]))
            alone = scaled_dot_product_attention(queries[row], keys[:, own], values[:, own])
            torch.testing.assert_close(attended, alone)
    assert sorted(seen) == list(range(len(runs)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_others_leave_in_the_cache_is_always_a_number(dtype: torch.dtype) -> None:
    cache = KvCache(4)
    poison = torch.tensor([float("nan"), float("inf"), float("-inf"), 3.0], dtype=dtype).expand(HEADS, 1, 4)
    keys, values = cache.write(0, torch.tensor([2]), poison, poison)
    bound = min(LARGEST_VALUE, torch.finfo(dtype).max)
    expected = torch.tensor([0, bound, -bound, 3.0], dtype=dtype)
    for cached in (keys, values):
        torch.testing.assert_close(cached[0, 2], expected)
        assert not cached[:, [0, 1, 3]].any()  # a row that nobody wrote is zero
