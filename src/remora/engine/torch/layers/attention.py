"""Causal attention of each sequence over its own rows of the cache. Owns masks; knows no model.

Models of transformers call it by name for every layer. They build no mask for it: each sequence sees its own
past and nothing else, because it is attended to alone. What a pass is about is kept beside the model, since
the layers of many families do not hand on what the model is called with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from remora.engine.torch.cache.kv_cache import KvCache
from remora.engine.torch.layers.scores import Scores, attend_by_scores
from remora.engine.torch.scheduling.batch import Batch, Span
from remora.engine.torch.scheduling.decode_groups import DecodeGroup, DecodingRow, group_decodes
from remora.errors import listed

IMPLEMENTATION = "remora_slots"
HARMLESS_OPTIONS = frozenset(  # others may change the scores, perhaps only those of long texts
    {"cache_position", "dropout", "is_causal", "output_attentions", "position_ids", "use_cache"}
)


class UnsupportedAttention(Exception):
    """The model wants an attention that this one does not compute."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What the attention of every layer needs to know of the pass that runs."""

    batch: Batch
    cache: KvCache


_RUNNING: ContextVar[Pass] = ContextVar("remora_pass")


@contextmanager
def attending(batch: Batch, cache: KvCache) -> Iterator[None]:
    """While it lasts, attention in this thread is that of this batch."""
    token = _RUNNING.set(Pass(batch, cache))
    try:
        yield
    finally:
        _RUNNING.reset(token)


def running_batch() -> Batch | None:
    """The batch that this thread computes; None where a model runs on its own."""
    running = _RUNNING.get(None)
    return running.batch if running else None


def longest_text() -> int:
    """Tokens of the longest text of the pass that runs."""
    return max(span.total_count for span in _RUNNING.get().batch.spans)


def slot_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend for all rows of the batch. Tensors come as (1, heads, rows, head size).

    `softcap`, `s_aux` and `bias` are those of `Scores`.
    """
    _refuse_unsupported(module, attention_mask, options)
    scores = Scores(scaling, softcap, s_aux, bias)
    running = _RUNNING.get()
    batch = running.batch
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    keys, values = running.cache.write(layer, batch.cache_rows, key[0], value[0])
    out = query.new_empty((1, query.shape[2], query.shape[1], value.shape[3]))
    for group in _decode_groups(batch, sliding_window, keys):
        attended = _decode(query[0], group, keys, values, scores)
        out[0].index_copy_(0, group.rows, attended)
    for span in batch.spans:
        if span.count > 1:
            rows = query[:, :, span.rows]
            attended = attend_span(rows, span, keys, values, window=sliding_window, scores=scores)
            out[:, span.rows] = attended.transpose(1, 2)
    return out, None


def _refuse_unsupported(
    module: torch.nn.Module, attention_mask: torch.Tensor | None, options: dict[str, Any]
) -> None:
    given = [name for name, value in options.items() if value is not None and value is not False]
    wanted = [f"attention with {name}" for name in sorted(set(given) - HARMLESS_OPTIONS)]
    if attention_mask is not None:
        wanted.append("a mask of its own")
    if not getattr(module, "is_causal", True) or options.get("is_causal") is False:
        wanted.append("attention to later tokens")
    if wanted:
        raise UnsupportedAttention(listed(wanted))


def _decode_groups(batch: Batch, window: int | None, cached: torch.Tensor) -> tuple[DecodeGroup, ...]:
    """The same for all layers with this window."""
    if window not in batch.decode_groups:
        decoding = [
            DecodingRow(span.rows.start, span.first_cache_row + span.total_count - seen, seen)
            for span in batch.spans
            if span.count == 1
            for seen in [min(span.total_count, window or span.total_count)]
        ]
        batch.decode_groups[window] = group_decodes(
            decoding, cached.shape[1], dtype=cached.dtype, device=cached.device
        )
    return batch.decode_groups[window]


def _decode(
    query: torch.Tensor, group: DecodeGroup, keys: torch.Tensor, values: torch.Tensor, scores: Scores
) -> torch.Tensor:
    """One new token each, (sequences, heads, head size); a key/value head's query heads become its rows."""
    rows = query.transpose(0, 1).index_select(0, group.rows)
    if scores.are_plain:
        attended = scaled_dot_product_attention(
            rows.view(len(rows), keys.shape[0], -1, rows.shape[2]),
            group.view(keys),
            group.view(values),
            attn_mask=group.mask,
            scale=scores.scaling,
        )
    else:
        attended = attend_by_scores(
            rows[:, :, None], group.view(keys), group.view(values), group.mask, scores
        )
    return attended.reshape(len(rows), rows.shape[1], values.shape[2])


def attend_span(
    query: torch.Tensor,
    span: Span,
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    window: int | None,
    scores: Scores,
) -> torch.Tensor:
    """Several new tokens of one sequence, (1, heads, tokens, head size)."""
    cached = slice(span.first_cache_row, span.first_cache_row + span.total_count)
    keys, values = keys[None, :, cached], values[None, :, cached]
    if not scores.are_plain:
        return attend_by_scores(query, keys, values, _mask(span, window, query.device), scores)
    is_causal = span.past_count == 0 and (window is None or span.total_count <= window)
    return scaled_dot_product_attention(
        query,
        keys,
        values,
        attn_mask=None if is_causal else _mask(span, window, query.device),
        is_causal=is_causal,
        scale=scores.scaling,
        enable_gqa=True,
    )


def _mask(span: Span, window: int | None, device: torch.device) -> torch.Tensor:
    """True where a row may look: at itself and before, at most `window` tokens with itself."""
    if window not in span.masks:
        positions = torch.arange(span.past_count, span.total_count, device=device)[:, None]
        others = torch.arange(span.total_count, device=device)[None, :]
        mask = others <= positions
        if window is not None:
            mask &= others > positions - window
        span.masks[window] = mask
    return span.masks[window]
