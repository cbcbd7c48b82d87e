"""A model as the structs that native code reads. Owns which models those are."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from remora.engine.torch.cache.kv_cache import KvCache
from remora.engine.torch.cache.pages import in_huge_pages
from remora.engine.torch.layers.int4 import Int4Weights
from remora.engine.torch.layers.nf4 import BLOCK, Nf4Weights
from remora.engine.torch.layers.projection import SIBLINGS, Projection
from remora.engine.torch.layers.quantized import QuantizedLinear
from remora.engine.torch.layers.weights import Int8Weights, PlainWeights
from remora.engine.torch.lora.bank import LoraPair
from remora.engine.torch.native.structs import Activation, Head, Kind, Layer, Matrix, Norm, Pair

# Their layers differ in biases, in the kind of norms and where they are, in norms of query and key heads, in
# windows, in which projections are one matrix already, in the activation and its gate, in what of a head is
# rotated and by which of several ropes, in caps of scores and in multipliers, all of which is looked at.
MODEL_TYPES = (
    "llama", "mistral", "qwen2", "qwen3", "phi3", "granite", "smollm3", "seed_oss",
    "gemma", "gemma2", "gemma3_text", "phi", "stablelm", "starcoder2", "olmo2", "olmo3",
    "glm", "glm4", "cohere", "cohere2", "helium", "ernie4_5", "exaone4", "arcee", "nemotron",
)  # fmt: skip
PROJECTIONS = (  # the first of each, by the names that it has
    ("self_attn.q_proj", "self_attn.qkv_proj"),
    ("self_attn.o_proj", "self_attn.dense"),
    ("mlp.gate_proj", "mlp.gate_up_proj", "mlp.fc1", "mlp.c_fc", "mlp.up_proj"),
    ("mlp.down_proj", "mlp.fc2", "mlp.c_proj"),
)
LAST_NORMS = ("norm", "final_layernorm")
ACTIVATIONS = {
    "silu": Activation.SILU,
    "gelu_new": Activation.GELU_TANH,
    "gelu_pytorch_tanh": Activation.GELU_TANH,
    "relu2": Activation.RELU_SQUARED,
}
NORMS_WITH_ONE = ("gemma", "gemma2", "gemma3_text", "nemotron")  # these multiply by one more than weights
CENTRED_NORMS = ("CohereLayerNorm", "Cohere2LayerNorm")  # beside torch's own
NORMS = (  # of what attention and the MLP read, and of what they add, in families that have the last of a row
    ("input_layernorm", "post_attention_layernorm", "post_self_attn_layernorm", "post_mlp_layernorm"),
    (
        "input_layernorm",
        "pre_feedforward_layernorm",
        "post_attention_layernorm",
        "post_feedforward_layernorm",
    ),
)
USUAL_NORMS = ("input_layernorm", "post_attention_layernorm", "", "")
INTERLEAVED = ("glm", "glm4", "helium", "ernie4_5", "cohere", "cohere2")
KINDS = {torch.float32: Kind.FLOAT32, torch.bfloat16: Kind.BFLOAT16, torch.int8: Kind.INT8}
COLUMNS = 16  # of B in a block


def has_native_layers(config: Any) -> bool:
    """Whether native code has all that layers of this configuration do."""
    if config.model_type not in MODEL_TYPES:  # before any other look: layers of others may differ in size
        return False
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rope = getattr(config, "rope_parameters", None) or {}
    rotary_size = int(head_size * rope.get("partial_rotary_factor", 1.0))
    norms_differ = any(getattr(config, name, False) for name in ("qk_layernorm", "use_qk_norm"))  # by head
    known = _activation(config) in ACTIVATIONS and not norms_differ
    looks_back = not getattr(config, "use_bidirectional_attention", False)
    return bool(known and looks_back and head_size % 2 == 0 and rotary_size % 2 == 0)


def _activation(config: Any) -> str:
    return str(getattr(config, "hidden_act", None) or config.hidden_activation)


def is_readable(model: Any) -> bool:
    """Whether native code takes the matrices in the forms that they were read in.

    Rows in 4 bits must be whole blocks, and what is multiplied as one must have one form.
    """
    forms: dict[tuple[str, tuple[str, ...]], set[tuple[type, int]]] = {}
    for name, module in model.named_modules():
        owner, _, last = name.rpartition(".")
        for siblings in SIBLINGS:
            if last in siblings:
                kept = module.kept if isinstance(module, QuantizedLinear) else module
                forms.setdefault((owner, siblings), set()).add((type(kept), getattr(kept, "group", 0)))
        if isinstance(module, QuantizedLinear) and not module.kept.is_streamable:
            return False
    return all(len(kinds) == 1 for kinds in forms.values())


@dataclass(frozen=True, slots=True)
class BlockedPair(LoraPair):
    """With B^T (rank, out) as (out / 16 rounded up, rank, 16), zeros behind the end."""

    outputs: int = field(kw_only=True)

    @property
    def parameter_count(self) -> int:
        columns = 0 if self.columns is None else self.columns.numel()
        return self.rank * (self.a.shape[1] + self.outputs) + columns


class NativeLayers:
    """The structs of all layers and the head, and the tensors that they point to.

    `ropes` are the kinds of rotary embedding that the layers use; empty if all use the same.
    """

    def __init__(self, model: Any, projections: Sequence[Projection], cache: KvCache) -> None:
        self._kept: list[torch.Tensor] = []
        by_name = {projection.names[0]: projection for projection in projections}
        self._modules: dict[str, int] = {}
        self.has_codes = False
        self.dtype: torch.dtype = model.dtype
        self._activation = ACTIVATIONS[_activation(model.config)]
        self._norm_offset = 1.0 if model.config.model_type in NORMS_WITH_ONE else 0.0
        self._interleaved = model.config.model_type in INTERLEAVED
        self.ropes: tuple[str, ...] = tuple(getattr(model.model.rotary_emb, "layer_types", ()))
        last_norm = next(getattr(model.model, name) for name in LAST_NORMS if hasattr(model.model, name))
        layers = [
            self._layer(f"model.layers.{index}", module, by_name, cache)
            for index, module in enumerate(model.model.layers)
        ]
        self.layers = (Layer * len(layers))(*layers)
        self.head = Head(matrix=self._matrix(by_name["lm_head"]), norm=self._norm(last_norm))
        self.widest_in = max(projection.in_features for projection in projections)

    def pairs(self, adapter: Mapping[str, LoraPair]) -> ctypes.Array[Pair]:
        """An adapter's weights by module; they are pointed to, and must stay."""
        table = (Pair * len(self._modules))()
        for name, pair in adapter.items():
            columns = None if pair.columns is None else pair.columns.data_ptr()
            table[self._modules[name]] = Pair(pair.a.data_ptr(), pair.b.data_ptr(), columns, pair.rank)
        return table

    def _layer(self, name: str, module: Any, by_name: Mapping[str, Projection], cache: KvCache) -> Layer:
        attention = module.self_attn
        qkv, o, gate_up, down = (
            self._matrix(next(by_name[f"{name}.{first}"] for first in firsts if f"{name}.{first}" in by_name))
            for firsts in PROJECTIONS
        )
        size = int(attention.head_dim)
        heads = o.inputs // size
        kv_heads = (qkv.outputs // size - heads) // 2
        keys, values = cache.layer(int(attention.layer_idx), kv_heads, size, self.dtype)
        norms = _norms_of(module)
        q_norm = getattr(attention, "q_norm", None)
        return Layer(
            qkv=qkv, o=o, gate_up=gate_up, down=down,
            **{place: self._norm(norm) for place, norm in norms.items()},
            q_norm=self._norm(q_norm),
            k_norm=self._norm(getattr(attention, "k_norm", None)),
            whole_norms=q_norm is not None and q_norm.weight.numel() > size,
            parallel=norms["mlp_norm"] is norms["mlp_out"] is None,
            scaling=attention.scaling,
            softcap=getattr(attention, "attn_logit_softcapping", None) or 0.0,
            rope=self.ropes.index(_rope_of(attention)) if self.ropes else 0,
            activation=self._activation,
            residual=getattr(module, "residual_multiplier", 1.0),
            rotates=_rotates(attention),
            interleaved=self._interleaved,
            heads=heads, kv_heads=kv_heads, head_size=size,
            window=window_of(attention) or 0,
            keys=keys.data_ptr(), values=values.data_ptr(), cache_rows=keys.shape[1],
        )  # fmt: skip

    def _norm(self, norm: Any) -> Norm:
        """Of LayerNorm or RMSNorm; one without a weight where a model has none there."""
        if norm is None:
            return Norm()
        weight, bias = norm.weight.detach().float() + self._norm_offset, getattr(norm, "bias", None)
        epsilon = norm.variance_epsilon if hasattr(norm, "variance_epsilon") else norm.eps
        return Norm(
            weight=self._kept_at(weight),
            bias=None if bias is None else self._floats(bias),
            epsilon=epsilon,
            centred=isinstance(norm, torch.nn.LayerNorm) or type(norm).__name__ in CENTRED_NORMS,
        )

    def _matrix(self, projection: Projection) -> Matrix:
        kept = projection.weights
        if not isinstance(kept, PlainWeights | Int8Weights | Int4Weights | Nf4Weights):
            raise TypeError(f"native code reads no {type(kept).__name__}")
        kind, block, offsets = KINDS.get(kept.weight.dtype), 0, None
        if isinstance(kept, Nf4Weights):
            kind, block = Kind.NF4, BLOCK
        elif isinstance(kept, Int4Weights):
            kind, block, offsets = Kind.INT4, kept.group, self._floats(kept.offsets)
        self.has_codes |= block > 0
        first_module = len(self._modules)
        self._modules |= {name: first_module + index for index, name in enumerate(projection.names)}
        ends = [part.start for part in projection.parts] + [projection.parts[-1].stop]
        return Matrix(
            weight=kept.weight.data_ptr(),
            scales=None if isinstance(kept, PlainWeights) else self._floats(kept.scales),
            offsets=offsets,
            bias=None if kept.bias is None else self._floats(kept.bias),
            kind=kind,
            block=block,
            inputs=projection.in_features,
            outputs=ends[-1],
            part_count=len(projection.parts),
            first_module=first_module,
            ends=tuple(ends),
        )

    def _floats(self, tensor: torch.Tensor) -> int:
        return self._kept_at(tensor.detach().float())

    def _kept_at(self, tensor: torch.Tensor) -> int:
        self._kept.append(tensor.contiguous())
        return self._kept[-1].data_ptr()


def _rope_of(attention: Any) -> str:
    return str(getattr(attention, "layer_type", None) or attention.attention_type)


def _rotates(attention: Any) -> bool:
    """Whether a layer's heads know positions: some families rotate only where a window limits the view."""
    if attention.config.model_type == "cohere2":
        return attention.sliding_window is not None
    if attention.config.model_type == "exaone4":
        return attention.sliding_window is None or bool(attention.is_sliding)
    return bool(getattr(attention, "use_rope", True))


def _norms_of(layer: Any) -> dict[str, Any]:
    """A decoder layer's norms by where they are; None where there is none."""
    names = next((row for row in NORMS if hasattr(layer, row[-1])), USUAL_NORMS)
    places = ("input_norm", "mlp_norm", "attention_out", "mlp_out")
    return {place: getattr(layer, name, None) for place, name in zip(places, names, strict=True)}


def window_of(attention: Any) -> int | None:
    """How far a token of this layer looks back, itself included; None for everything."""
    if hasattr(attention, "sliding_window"):
        window: int | None = attention.sliding_window if getattr(attention, "is_sliding", True) else None
    else:
        window = getattr(attention.config, "sliding_window", None)
    return window


def in_one_place(adapter: Mapping[str, LoraPair]) -> dict[str, LoraPair]:
    """An adapter as native code reads it, in the order of its modules."""
    parts = in_huge_pages(part for pair in adapter.values() for part in (pair.a, _blocks(pair.b)))
    return {
        name: BlockedPair(parts[2 * index], parts[2 * index + 1], pair.columns, outputs=pair.b.shape[1])
        for index, (name, pair) in enumerate(adapter.items())
    }


def _blocks(b: torch.Tensor) -> torch.Tensor:
    rank, outputs = b.shape
    blocks = -(-outputs // COLUMNS)
    padded = torch.nn.functional.pad(b, (0, blocks * COLUMNS - outputs))
    return padded.view(rank, blocks, COLUMNS).transpose(0, 1)
