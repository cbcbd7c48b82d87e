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
    for span in batch.spans:
        first, stop = span.first_cache_row, span.first_cache_row + span.total_count
        if span.count == 1:
            if sliding_window is not None:
                first = max(first, stop - sliding_window)
            attended = _decode(query[:, :, span.rows], keys[:, first:stop], values[:, first:stop], scaling)
        else:
            attended = scaled_dot_product_attention(
                query[:, :, span.rows],
                keys[None, :, first:stop],
                values[None, :, first:stop],
                attn_mask=_mask(span, sliding_window, query.device),
                is_causal=_is_plainly_causal(span, sliding_window),
                scale=scaling,
                enable_gqa=True,
            )
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


def _decode(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """One new token: the query heads of a key/value head become its rows, and no mask is needed."""
    grouped = query.reshape(1, keys.shape[0], -1, query.shape[3])
    attended = scaled_dot_product_attention(grouped, keys[None], values[None], scale=scaling)
    return attended.reshape(1, query.shape[1], 1, values.shape[2])


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
