"""A step in native code: all layers for all rows, a prompt's attention by torch. Owns a step's memory."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from remora.adapters.adapter import Digest
from remora.engine.torch.attention import attend_span
from remora.engine.torch.batch import Batch, RowGroup, Span
from remora.engine.torch.kv_cache import KvCache
from remora.engine.torch.lora_bank import LoraPair
from remora.engine.torch.native.layers import KINDS, NativeLayers
from remora.engine.torch.native.structs import MOST_PARTS, Layer, Pair, Products, Step, Use
from remora.engine.torch.projection import Projection

TILE_ROWS = 16


@dataclass(frozen=True, slots=True)
class _Table:
    """Where an adapter's weights are, and the weights, which must stay as long."""

    adapter: Mapping[str, LoraPair]
    pairs: ctypes.Array[Pair]
    widest: int  # its highest rank


class NativeForward:
    """The forward pass of one model. For one thread at a time."""

    def __init__(
        self, library: ctypes.CDLL, model: Any, projections: Sequence[Projection], cache: KvCache
    ) -> None:
        self._library = library
        self._embedding: torch.Tensor = model.get_input_embeddings().weight.detach()
        self._rotary = model.model.rotary_emb
        self._native = NativeLayers(model, projections, cache)
        self._cache = cache
        self._tables: dict[Digest, _Table] = {}
        self._memory: dict[str, torch.Tensor] = {}

    def __call__(self, batch: Batch, adapters: Mapping[Digest, Mapping[str, LoraPair]]) -> torch.Tensor:
        """Logits (rows that are wanted, vocabulary), float32, valid until the next step."""
        self._follow(adapters)
        step, kept = self._step(batch)
        self._compute(step, [span for span in batch.spans if span.count > 1])
        logits = self._room("logits", len(batch.last_rows), self._native.head.matrix.outputs)
        if len(logits):
            self._library.remora_head(ctypes.byref(self._native.head), ctypes.byref(step))
        del kept  # until here they were pointed to
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
            widest = max(pair.rank for pair in adapter.values())
            self._tables[digest] = _Table(adapter, self._native.pairs(adapter), widest)
        return self._tables[digest]

    def _step(self, batch: Batch) -> tuple[Step, list[object]]:
        count, layer, head = batch.token_ids.shape[1], self._native.layers[0], self._native.head.matrix
        size = self._embedding.shape[1]
        threads = torch.get_num_threads()
        hidden = self._room("hidden", count, size)
        hidden.copy_(self._embedding[batch.token_ids[0]])
        cos, sin = (part[0].contiguous() for part in self._rotary(hidden, batch.position_ids))
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
            cos=cos.data_ptr(), sin=sin.data_ptr(),
            cache_row=batch.cache_rows.data_ptr(), first_row=first_rows.data_ptr(), seen=seen.data_ptr(),
            scores=self._room("scores", threads, layer.heads // layer.kv_heads * layer.cache_rows).data_ptr(),
            last_count=len(batch.last_rows), last=batch.last_rows.data_ptr(),
            logits=self._room("logits", len(batch.last_rows), head.outputs).data_ptr(),
            products=products[0], last_products=products[1],
        )  # fmt: skip
        return step, [cos, sin, first_rows, seen, products]

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
        )

    def _attend(self, index: int, layer: Layer, span: Span) -> None:
        """A prompt's rows, whose query heads native code left in `wide`."""
        wide, attended = self._memory["wide"], self._memory["attended"]
        query = wide.view(-1)[: span.rows.stop * layer.qkv.outputs].view(-1, layer.qkv.outputs)
        query = query[span.rows, : layer.o.inputs].to(self._native.dtype)
        query = query.view(1, span.count, layer.heads, layer.head_size).transpose(1, 2)
        keys, values = self._cache.layer(index, layer.kv_heads, layer.head_size, self._native.dtype)
        out = attend_span(query, span, keys, values, window=layer.window or None, scaling=layer.scaling)
        to = attended.view(-1)[: span.rows.stop * layer.o.inputs].view(-1, layer.o.inputs)
        to[span.rows] = out[0].transpose(0, 1).flatten(1)

    def _room(self, name: str, rows: int, columns: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Memory (rows, columns), the same from step to step while it is large enough."""
        count = rows * columns
        room = self._memory.get(name)
        if room is None or room.numel() < count:
            room = self._memory[name] = torch.empty(count, dtype=dtype)
        return room[:count].view(rows, columns)


def _seen(spans: Sequence[Span]) -> tuple[torch.Tensor, torch.Tensor]:
    """For each row where its sequence begins in the cache and how much of it a decoding row sees, else 0."""
    first_rows = [span.first_cache_row for span in spans for _ in range(span.count)]
    seen = [span.total_count if span.count == 1 else 0 for span in spans for _ in range(span.count)]
    return torch.tensor(first_rows), torch.tensor(seen)
