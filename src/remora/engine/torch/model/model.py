"""The base model as one function: new tokens in, logits out. Owns the cache and the adapters on it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import groupby
from typing import Any

import torch
from torch.nn.functional import pad

from remora.adapters.adapter import Digest
from remora.engine.torch.cache.kv_cache import KvCache, RowCopy
from remora.engine.torch.layers.attention import attending
from remora.engine.torch.layers.longrope import longest_short_text
from remora.engine.torch.lora.runs import Place
from remora.engine.torch.lora.token_rows import TokenRows
from remora.engine.torch.model.lora_manager import LoraSet
from remora.engine.torch.native.forward import NativeForward
from remora.engine.torch.scheduling.batch import Batch, build_batch
from remora.engine.torch.scheduling.scheduler import Chunk
from remora.engine.torch.speculation import rows_at_once
from remora.engine.torch.stack import stack_of

NOWHERE = Place(0, 0, 0)


class SlotModel:
    """A causal language model of transformers, run over many sequences at once. For one thread at a time."""

    def __init__(
        self,
        model: Any,
        lora: LoraSet,
        *,
        cache_tokens: int,
        context_length: int,
        native_threads: int | None = None,
    ) -> None:
        self._model = model
        self._cache = KvCache(cache_tokens)
        self._device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype
        self.stack = stack_of(self.dtype, self._device, lora.quantize, native=lora.library is not None)
        self.cache_tokens = cache_tokens
        self.context_length = min(context_length, cache_tokens)
        self.longest_short_text = longest_short_text(model.config)
        self.rows_at_once = rows_at_once(self._device)
        self.vocab_size: int = model.get_input_embeddings().weight.shape[0]
        self.lora = lora
        self.token_rows = TokenRows(model)
        self._native = (
            NativeForward(lora.library, model, lora.projections, self._cache, threads=native_threads)
            if lora.library
            else None
        )

    @property
    def has_attended(self) -> bool:
        """Whether the model's layers have come to our attention yet."""
        return not self._cache.is_empty

    def copy_rows(self, copies: Sequence[RowCopy]) -> None:
        """Take computed keys and values over to other rows."""
        self._cache.copy(copies)

    def arranged(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        """For `forward`, once a step: adapters are seated, and stand as they sit, the base model first.

        Those with weights in place of the base's are last, one after the other.
        """
        uses = [chunk.sequence.adapter_use for chunk in chunks]
        own = {use for use in uses if use and self.lora.has_own(use[0])}
        self.lora.seat(uses if self._native is None else own)

        def order(chunk: Chunk) -> tuple[str, Place, tuple[str, float]]:
            use = chunk.sequence.adapter_use
            if use is None or (self._native is not None and use not in own):
                return "", NOWHERE, use or ("", 0.0)
            return use[0] if use in own else "", self.lora.place(use), use

        return sorted(chunks, key=order)

    def forward(self, chunks: Sequence[Chunk]) -> torch.Tensor:
        """Compute what `arranged` gave; a row of logits for each `wanted` position of it, in order."""
        made = [
            self._forward(list(together), owner)
            for owner, together in groupby(chunks, lambda chunk: self._owner(chunk.sequence.request.adapter))
        ]
        if len(made) == 1:
            return made[0]
        widest = max(logits.shape[1] for logits in made)
        return torch.cat([pad(logits, (0, widest - logits.shape[1]), value=-torch.inf) for logits in made])

    def is_only_pairs(self, adapter: Digest | None) -> bool:
        """Whether an adapter can be applied otherwise than it was trained: at a scale, or without a layer."""
        return self.lora.is_only_pairs(adapter) and not self.token_rows.has(adapter)

    def _owner(self, adapter: Digest | None) -> Digest | None:
        return adapter if self.lora.has_own(adapter) else None

    def _forward(self, chunks: Sequence[Chunk], owner: Digest | None) -> torch.Tensor:
        """One pass; `owner` is the adapter of all its rows that has weights in place of the base's."""
        batch = build_batch(chunks, self._device)
        needs_rows = self.token_rows.needed(batch)
        with attending(batch, self._cache):
            if self._native is not None and owner is None:
                logits = self._native(batch, self.lora.adapters, self.token_rows if needs_rows else None)
            else:
                logits = self._by_modules(batch, owner, needs_rows=needs_rows)
        return self.token_rows.bounded(batch, logits) if needs_rows else logits

    def _by_modules(self, batch: Batch, owner: Digest | None, *, needs_rows: bool) -> torch.Tensor:
        self.lora.activate(batch)
        with ExitStack() as stack:
            token_ids = batch.token_ids
            if needs_rows:
                token_ids = stack.enter_context(self.token_rows.in_place(batch))
            if owner is not None:
                stack.enter_context(self.lora.own_in_place(owner))
            logits: torch.Tensor = self._model(
                input_ids=token_ids,
                position_ids=batch.position_ids,
                use_cache=False,  # the cache is ours
                logits_to_keep=batch.last_rows,
            ).logits
        return logits[0]
