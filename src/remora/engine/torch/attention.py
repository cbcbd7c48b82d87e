"""Causal attention of each sequence over its own rows of the cache. Owns masks; knows no model.

Models of transformers call it by name for every layer. They build no mask for it: each sequence sees its own
past and nothing else, because it is attended to alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from remora.engine.torch.batch import Batch, Span
from remora.engine.torch.decode_groups import DecodeGroup, DecodingRow, group_decodes
from remora.engine.torch.kv_cache import KvCache

IMPLEMENTATION = "remora_slots"
UNSUPPORTED_OPTIONS = ("softcap", "s_aux", "position_bias")  # they would change the scores


class UnsupportedAttention(Exception):
    """The model wants an attention that this one does not compute."""


def register_slot_attention() -> None:
    """Make the attention known to transformers; again is harmless."""
    AttentionInterface.register(IMPLEMENTATION, slot_attention)


def slot_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    batch: Batch,
    cache: KvCache,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend for all rows of the batch. Tensors come as (1, heads, rows, head size)."""
    _refuse_unsupported(module, attention_mask, options)
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    keys, values = cache.write(layer, batch.cache_rows, key[0], value[0])
    out = query.new_empty((1, query.shape[2], query.shape[1], value.shape[3]))
    for group in _decode_groups(batch, sliding_window, keys):
        attended = _decode(query[0], group, keys, values, scaling)
        out[0].index_copy_(0, group.rows, attended)
    for span in batch.spans:
        if span.count > 1:
            rows = query[:, :, span.rows]
            attended = attend_span(rows, span, keys, values, window=sliding_window, scaling=scaling)
            out[:, span.rows] = attended.transpose(1, 2)
    return out, None


def _refuse_unsupported(
    module: torch.nn.Module, attention_mask: torch.Tensor | None, options: dict[str, Any]
) -> None:
    wanted = [name for name in UNSUPPORTED_OPTIONS if options.get(name) is not None]
    if attention_mask is not None:
        wanted.append("a mask of its own")
    if not getattr(module, "is_causal", True) or options.get("is_causal") is False:
        wanted.append("attention to later tokens")
    if wanted:
        raise UnsupportedAttention(", ".join(wanted))


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
    query: torch.Tensor, group: DecodeGroup, keys: torch.Tensor, values: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """One new token each, (sequences, heads, head size); a key/value head's query heads become its rows."""
    rows = query.transpose(0, 1).index_select(0, group.rows)
    attended = scaled_dot_product_attention(
        rows.view(len(rows), keys.shape[0], -1, rows.shape[2]),
        group.view(keys),
        group.view(values),
        attn_mask=group.mask,
        scale=scaling,
    )
    return attended.reshape(len(rows), rows.shape[1], values.shape[2])


def attend_span(
    query: torch.Tensor,
    span: Span,
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    window: int | None,
    scaling: float | None,
) -> torch.Tensor:
    """Several new tokens of one sequence, (1, heads, tokens, head size)."""
    cached = slice(span.first_cache_row, span.first_cache_row + span.total_count)
    return scaled_dot_product_attention(
        query,
        keys[None, :, cached],
        values[None, :, cached],
        attn_mask=_mask(span, window, query.device),
        is_causal=_is_plainly_causal(span, window),
        scale=scaling,
        enable_gqa=True,
    )


def _is_plainly_causal(span: Span, window: int | None) -> bool:
    return span.past_count == 0 and (window is None or span.total_count <= window)


def _mask(span: Span, window: int | None, device: torch.device) -> torch.Tensor | None:
    """True where a row may look: at itself and before, at most `window` tokens with itself."""
    if _is_plainly_causal(span, window):
        return None
    if window not in span.masks:
        positions = torch.arange(span.past_count, span.total_count, device=device)[:, None]
        others = torch.arange(span.total_count, device=device)[None, :]
        mask = others <= positions
        if window is not None:
            mask &= others > positions - window
        span.masks[window] = mask
    return span.masks[window]
