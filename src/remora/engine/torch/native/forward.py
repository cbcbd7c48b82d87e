"""A step in native code: all layers for all rows, a prompt's attention by torch. Owns a step's memory."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from remora.adapters.adapter import Digest
from remora.engine.torch.cache.kv_cache import KvCache
from remora.engine.torch.layers.attention import attend_span
from remora.engine.torch.layers.projection import Projection
from remora.engine.torch.layers.scores import Scores
from remora.engine.torch.lora.bank import LoraPair
from remora.engine.torch.lora.token_rows import TokenRows
from remora.engine.torch.native.layers import KINDS, NativeLayers
from remora.engine.torch.native.structs import MOST_PARTS, Layer, Pair, Products, Step, Use
from remora.engine.torch.scheduling.batch import Batch, RowGroup, Span

TILE_ROWS = 16
PANEL_ROWS = 32  # of a matrix, dequantised for tiles
KEPT_LOGITS = 64
NEIGHBOURS = ("cohere", "cohere2")  # their rotary embedding has each number twice, one after the other


@dataclass(frozen=True, slots=True)
class _Table:
    """Where an adapter's weights are, and the weights, which must stay as long."""

    adapter: Mapping[str, LoraPair]
    pairs: ctypes.Array[Pair]
    widest: int  # its highest rank


class NativeForward:
    """The forward pass of one model. For one thread at a time."""

    def __init__(
        self,
        library: ctypes.CDLL,
        model: Any,
        projections: Sequence[Projection],
        cache: KvCache,
        *,
        threads: int | None = None,
    ) -> None:
        """Without `threads` it computes with as many as torch does."""
        self._library = library
        self._threads = threads
        self._embedding: torch.Tensor = model.get_input_embeddings().weight.detach()
        self._rotary = model.model.rotary_emb
        self._embedding_factor = _embedding_factor(model)
        self._logits_factor = _logits_factor(model.config)
        self._neighbours = model.config.model_type in NEIGHBOURS
        self._logits_cap: float | None = getattr(model.config, "final_logit_softcapping", None)
        self._native = NativeLayers(model, projections, cache)
        self._cache = cache
        self._tables: dict[Digest, _Table] = {}
        self._memory: dict[str, torch.Tensor] = {}

    def __call__(
        self,
        batch: Batch,
        adapters: Mapping[Digest, Mapping[str, LoraPair]],
        token_rows: TokenRows | None = None,
    ) -> torch.Tensor:
        """Logits (rows that are wanted, vocabulary), float32, valid until the next step.

        `token_rows` where adapters of the batch have rows of their own.
        """
        self._follow(adapters)
        logits = self._logits_room(len(batch.last_rows))
        step, kept = self._step(batch, token_rows, logits)
        self._compute(step, [span for span in batch.spans if not span.decodes])
        if len(logits):
            self._library.remora_head(ctypes.byref(self._native.head), ctypes.byref(step))
        del kept  # until here they were pointed to
        if token_rows is not None and len(logits):
            size = self._embedding.shape[1]
            normed = self._memory["normed"][: len(logits) * size].view(-1, size)  # what the head was given
            logits = token_rows.judge(batch, normed, logits)
        if self._logits_factor != 1:
            logits.mul_(self._logits_factor)
        if self._logits_cap is not None:
            logits.div_(self._logits_cap).tanh_().mul_(self._logits_cap)
        return logits

    def _compute(self, step: Step, prompts: Sequence[Span]) -> None:
        layers = self._native.layers
        if not prompts:  # one call: coming back to Python for each layer would wait for its lock each time
            self._library.remora_layers(layers, ctypes.c_int64(len(layers)), ctypes.byref(step))
            return
        for index, layer in enumerate(layers):
            self._library.remora_layer_begin(ctypes.byref(layer), ctypes.byref(step))
            for span in prompts:
                self._attend(index, layer, span)
            self._library.remora_layer_end(ctypes.byref(layer), ctypes.byref(step))

    def _follow(self, adapters: Mapping[Digest, Mapping[str, LoraPair]]) -> None:
        """Point to no adapter that is gone, or that came again."""
        for digest, table in list(self._tables.items()):
            if adapters.get(digest) is not table.adapter:
                del self._tables[digest]
        self._adapters = adapters

    def _table(self, digest: Digest) -> _Table:
        if digest not in self._tables:
            adapter = self._adapters[digest]
            widest = max((pair.rank for pair in adapter.values()), default=0)
            self._tables[digest] = _Table(adapter, self._native.pairs(adapter), widest)
        return self._tables[digest]

    def _step(
        self, batch: Batch, token_rows: TokenRows | None, logits: torch.Tensor
    ) -> tuple[Step, list[object]]:
        count, layer = batch.token_ids.shape[1], self._native.layers[0]
        size = self._embedding.shape[1]
        threads = self._threads or torch.get_num_threads()
        hidden = self._room("hidden", count, size)
        if token_rows is None:
            hidden.copy_(self._embedding[batch.token_ids[0]])
        else:
            hidden.copy_(self._embedding[token_rows.base_ids(batch)[0]])
            token_rows.look_up(batch, hidden)
        if self._embedding_factor != 1:
            hidden.mul_(self._embedding_factor)
        cos, sin = self._rotated(hidden, batch.position_ids)
        first_rows, seen = _seen(batch.spans)
        widest = self._native.widest_in
        outputs = max(layer.qkv.outputs, layer.gate_up.outputs, layer.o.outputs)
        groups = [batch.groups, batch.last_groups]
        products = [self._products(uses, count) for uses in groups]
        step = Step(
            rows=count, hidden_size=size, threads=threads, cache_kind=KINDS[self._native.dtype],
            hidden=hidden.data_ptr(),
            normed=self._room("normed", count, widest).data_ptr(),
            wide=self._room("wide", count, outputs).data_ptr(),
            attended=self._room("attended", count, layer.o.inputs).data_ptr(),
            cos=cos.data_ptr(), sin=sin.data_ptr(), rotary_size=cos.shape[-1],
            cache_row=batch.cache_rows.data_ptr(), first_row=first_rows.data_ptr(), seen=seen.data_ptr(),
            scores=self._room("scores", threads, layer.heads // layer.kv_heads * layer.cache_rows).data_ptr(),
            last_count=len(batch.last_rows), last=batch.last_rows.data_ptr(),
            logits=logits.data_ptr(),
            products=products[0], last_products=products[1],
        )  # fmt: skip
        return step, [cos, sin, first_rows, seen, products]

    def _rotated(self, hidden: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines (kinds of rope, rows, rotary size)."""
        kinds: list[tuple[str, ...]] = [(kind,) for kind in self._native.ropes] or [()]
        made = [self._rotary(hidden, positions, *kind) for kind in kinds]
        cos, sin = (torch.cat(parts) for parts in zip(*made, strict=True))
        if self._neighbours:
            cos, sin = (part[..., ::2].repeat(1, 1, 2) for part in (cos, sin))
        return cos.contiguous(), sin.contiguous()

    def _products(self, groups: Sequence[RowGroup], row_count: int) -> Products:
        uses = (Use * len(groups))()
        widest = 1
        for index, group in enumerate(groups):
            digest, scale = group.use
            table = self._table(digest)
            uses[index] = Use(table.pairs, group.rows.start, group.rows.stop - group.rows.start, scale)
            widest = max(widest, table.widest)
        up_to_tile = -(-row_count // TILE_ROWS) * TILE_ROWS
        inputs = self._native.widest_in
        return Products(
            use_count=len(groups),
            pair_kind=KINDS[self._native.dtype],
            widest=widest,
            uses=uses,
            low=self._room("low", row_count, MOST_PARTS * widest).data_ptr(),
            packed=self._room("packed", up_to_tile, inputs, torch.bfloat16).data_ptr(),
            steps=self._room("steps", up_to_tile, 1).data_ptr(),
            panels=self._panels(),
        )

    def _panels(self) -> int | None:
        if not self._native.has_codes:
            return None
        threads = self._threads or torch.get_num_threads()
        return self._room("panels", threads, PANEL_ROWS * self._native.widest_in, torch.bfloat16).data_ptr()

    def _attend(self, index: int, layer: Layer, span: Span) -> None:
        """A prompt's rows, whose query heads native code left in `wide`."""
        wide, attended = self._memory["wide"], self._memory["attended"]
        query = wide.view(-1)[: span.rows.stop * layer.qkv.outputs].view(-1, layer.qkv.outputs)
        query = query[span.rows, : layer.o.inputs].to(self._native.dtype)
        query = query.view(1, span.count, layer.heads, layer.head_size).transpose(1, 2)
        keys, values = self._cache.layer(index, layer.kv_heads, layer.head_size, self._native.dtype)
        out = attend_span(
            query,
            span,
            keys,
            values,
            window=layer.window or None,
            scores=Scores(layer.scaling, layer.softcap or None),
        )
        to = attended.view(-1)[: span.rows.stop * layer.o.inputs].view(-1, layer.o.inputs)
        to[span.rows] = out[0].transpose(0, 1).flatten(1)

    def _logits_room(self, rows: int) -> torch.Tensor:
        """For a whole chunk of a prompt that is scored they are large, and not kept."""
        columns = self._native.head.matrix.outputs
        return self._room("logits", rows, columns) if rows <= KEPT_LOGITS else torch.empty(rows, columns)

    def _room(self, name: str, rows: int, columns: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Memory (rows, columns), the same from step to step while it is large enough."""
        count = rows * columns
        room = self._memory.get(name)
        if room is None or room.numel() < count:
            room = self._memory[name] = torch.empty(count, dtype=dtype)
        return room[:count].view(rows, columns)


def _logits_factor(config: Any) -> float:
    """What logits are multiplied by."""
    if hasattr(config, "logit_scale"):
        return float(config.logit_scale)
    return 1 / float(getattr(config, "logits_scaling", 1.0))


def _embedding_factor(model: Any) -> float:
    """What looked-up rows are multiplied by."""
    scale = getattr(model.get_input_embeddings(), "embed_scale", None)
    if scale is not None:
        return float(scale.to(model.dtype))
    return float(getattr(model.config, "embedding_multiplier", 1.0))


def _seen(spans: Sequence[Span]) -> tuple[torch.Tensor, torch.Tensor]:
    """For each row where its sequence begins in the cache and how much of it a decoding row sees, else 0."""
    first_rows = [span.first_cache_row for span in spans for _ in range(span.count)]
    seen = [
        span.past_count + 1 + index if span.decodes else 0 for span in spans for index in range(span.count)
    ]
    return torch.tensor(first_rows), torch.tensor(seen)
