"""The base model as one function: new tokens in, logits out. Owns the cache and the adapters on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from remora.engine.torch.batch import build_batch
from remora.engine.torch.kv_cache import KvCache, RowCopy
from remora.engine.torch.lora import LoraSet
from remora.engine.torch.lora_runs import Place
from remora.engine.torch.native.forward import NativeForward
from remora.engine.torch.scheduler import Chunk
from remora.engine.torch.stack import stack_of


class SlotModel:
    """A causal language model of transformers, run over many sequences at once. For one thread at a time."""

    def __init__(self, model: Any, lora: LoraSet, *, cache_tokens: int, context_length: int) -> None:
        self._model = model
        self._cache = KvCache(cache_tokens)
        self._device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype
        self.stack = stack_of(self.dtype, self._device, lora.quantize, native=lora.library is not None)
        self.cache_tokens = cache_tokens
        self.context_length = min(context_length, cache_tokens)
        self.vocab_size: int = model.get_input_embeddings().weight.shape[0]
        self.lora = lora
        self._native = (
            NativeForward(lora.library, model, lora.projections, self._cache) if lora.library else None
        )

    def copy_rows(self, copies: Sequence[RowCopy]) -> None:
        """Take computed keys and values over to other rows."""
        self._cache.copy(copies)

    def arranged(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        """For `forward`, once a step: adapters are seated, and stand as they sit, the base model first."""
        if self._native is not None:
            return sorted(chunks, key=lambda chunk: chunk.sequence.adapter_use or ("", 0.0))
        self.lora.seat(chunk.sequence.adapter_use for chunk in chunks)
        nowhere = Place(0, 0, 0)
        return sorted(
            chunks,
            key=lambda chunk: self.lora.place(use) if (use := chunk.sequence.adapter_use) else nowhere,
        )

    def forward(self, chunks: Sequence[Chunk]) -> torch.Tensor:
        """Compute what `arranged` gave; a row of logits for each that completes its sequence, in order."""
        batch = build_batch(chunks, self._device)
        if self._native is not None:
            return self._native(batch, self.lora.adapters)
        self.lora.activate(batch)
        logits: torch.Tensor = self._model(
            input_ids=batch.token_ids,
            position_ids=batch.position_ids,
            use_cache=False,  # the cache is ours, and travels with the batch to the attention
            logits_to_keep=batch.last_rows,
            batch=batch,
            cache=self._cache,
        ).logits
        return logits[0]
