"""Families whose attention does not go through transformers' interface, made to attend by slots.

Owns the table of these families: by the name of a class, what replaces the part of it in which tokens see
each other. Projections, rotary embeddings and norms stay their own code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from types import MethodType
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.models.bloom import modeling_bloom
from transformers.models.falcon import modeling_falcon
from transformers.models.mpt import modeling_mpt

from remora.engine.torch.layers.attention import (
    IMPLEMENTATION,
    longest_text,
    slot_attention,
)


def exchange_attention(model: Any) -> None:
    """Have all layers of a model of transformers attend by slots, from now on."""
    AttentionInterface.register(IMPLEMENTATION, slot_attention)  # again is harmless
    model.config._attn_implementation = IMPLEMENTATION  # layers and masks look here
    for module in model.modules():
        exchange = OWN_CLASSES.get(type(module).__name__)
        if exchange is not None:
            exchange(module)


def attends_by_slots(model: Any) -> bool:
    """Whether `exchange_attention` reaches the layers of a model."""
    names = {type(module).__name__ for module in model.modules()}
    return bool(model._can_set_attn_implementation() or names & OWN_CLASSES.keys())


def _exchange_step(module: Any, *, scaling: float, window: int | None = None) -> None:
    """For classes that attend in a method `_attn`, which has queries, keys and values as they are used."""

    def attend(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: object
    ) -> tuple[torch.Tensor, None]:
        query, key = query.to(value.dtype), key.to(value.dtype)
        out, _weights = slot_attention(
            module, query, key, value, None, scaling=scaling, sliding_window=window
        )
        return out.transpose(1, 2), None

    module._attn = attend


def _exchange_scaled(module: Any) -> None:
    _exchange_step(module, scaling=float(1 / module.scale_attn))


def _exchange_gpt_neo(module: Any) -> None:
    module.layer_idx = module.layer_id
    window = module.config.window_size if module.attention_type == "local" else None
    _exchange_step(module, scaling=1.0, window=window)


def _exchange_neox_japanese(module: Any) -> None:
    _exchange_step(module, scaling=float(1 / module.norm_factor))


def _exchange_forward(module: Any, *, forward: Callable[..., Any]) -> None:
    module.forward = MethodType(forward, module)


def _bloom(self: Any, hidden: torch.Tensor, residual: torch.Tensor, **_: object) -> tuple[torch.Tensor, None]:
    query, key, value = self._reshape(self.query_key_value(hidden))
    bias = _bloom_bias(self.num_heads, _room(), query.dtype, query.device)
    out, _weights = slot_attention(self, query, key, value, None, scaling=self.inv_norm_factor, bias=bias)
    return self.dense(out.flatten(2)) + residual, None


def _falcon(
    self: Any,
    hidden: torch.Tensor,
    alibi: torch.Tensor | None,
    position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    query, key, value = (part.transpose(1, 2) for part in self._split_heads(self.query_key_value(hidden)))
    bias = None
    if alibi is not None:
        bias = _falcon_bias(self.num_heads, _room(), query.dtype, query.device) * self.inv_norm_factor
    elif position_embeddings is not None:
        query, key = modeling_falcon.apply_rotary_pos_emb(query, key, *position_embeddings)
    out, _weights = slot_attention(self, query, key, value, None, scaling=self.inv_norm_factor, bias=bias)
    return self.dense(out.flatten(2)), None


def _mpt(self: Any, hidden: torch.Tensor, **_: object) -> tuple[torch.Tensor, None]:
    mixed = self.Wqkv(hidden)
    if self.clip_qkv:
        mixed = mixed.clamp(min=-self.clip_qkv, max=self.clip_qkv)
    query, key, value = (
        part.unflatten(2, (self.n_heads, self.head_dim)).transpose(1, 2) for part in mixed.chunk(3, dim=2)
    )
    bias = _mpt_bias(self.n_heads, _room(), query.device)
    out, _weights = slot_attention(self, query, key, value, None, scaling=self.softmax_scale, bias=bias)
    return self.out_proj(out.flatten(2)), None


def _exchange_mpt_model(module: Any) -> None:
    """It turns its mask into numbers, so there must be one: a mask of four dimensions is taken as it is."""

    def with_mask(_: object, args: tuple[object, ...], kwargs: dict[str, Any]) -> Any:
        return args, kwargs | {"attention_mask": torch.zeros(1, 1, 1, 1)}

    module.register_forward_pre_hook(with_mask, with_kwargs=True)


def _xglm(self: Any, hidden_states: torch.Tensor, **_: object) -> tuple[torch.Tensor, None]:
    query, key, value = (
        layer(hidden_states).unflatten(2, (self.num_heads, self.head_dim)).transpose(1, 2)
        for layer in (self.q_proj, self.k_proj, self.v_proj)
    )
    out, _weights = slot_attention(self, query, key, value, None, scaling=self.scaling)
    return self.out_proj(out.flatten(2)), None


def _room() -> int:
    """Positions of a table of biases, large enough to be made again only seldom."""
    return 1 << (longest_text() - 1).bit_length()


@lru_cache(maxsize=4)
def _bloom_bias(heads: int, length: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    ones = torch.ones((1, length), dtype=torch.long, device=device)
    table: torch.Tensor = modeling_bloom.build_alibi_tensor(ones, heads, dtype)
    return table[:, 0]


@lru_cache(maxsize=4)
def _falcon_bias(heads: int, length: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    ones = torch.ones((1, length), dtype=torch.long, device=device)
    table: torch.Tensor = modeling_falcon.build_alibi_tensor(ones, heads, dtype)
    return table[:, 0]


@lru_cache(maxsize=4)
def _mpt_bias(heads: int, length: int, device: torch.device) -> torch.Tensor:
    """From 0 on, where the model's own ends at 0: a shift of all scores of a head changes no share."""
    table: torch.Tensor = modeling_mpt.build_mpt_alibi_tensor(heads, length, device=device)
    return table[:, 0] - table[:, 0, :1]


OWN_CLASSES: Mapping[str, Callable[[Any], None]] = {
    "BloomAttention": partial(_exchange_forward, forward=_bloom),
    "CodeGenAttention": _exchange_scaled,
    "FalconAttention": partial(_exchange_forward, forward=_falcon),
    "GPTJAttention": _exchange_scaled,
    "GPTNeoSelfAttention": _exchange_gpt_neo,
    "GPTNeoXJapaneseAttention": _exchange_neox_japanese,
    "MptAttention": partial(_exchange_forward, forward=_mpt),
    "MptModel": _exchange_mpt_model,
    "XGLMAttention": partial(_exchange_forward, forward=_xglm),
}
