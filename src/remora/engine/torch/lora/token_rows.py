"""Rows of embedding and output head that are an adapter's own. Owns them and their part in a step.

A step looks all its tokens up in the base's embedding and multiplies by the base's head; where rows of the
batch belong to an adapter with rows of its own, those of its tokens then take the base's place. A token that
is no token of a row's model has no probability. A LoRA on the embedding is added to the base's rows when they
are looked up, and is in an adapter's own rows from the start, as one on the head is in the head's. Steps
without such an adapter pay nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from remora.adapters.adapter import Adapter, Digest, LoraModule, RowSource
from remora.adapters.adapter import TokenRows as Wanted
from remora.adapters.peft.engine_limits import check_engine_limits
from remora.adapters.peft.lora_tensors import EMBEDDINGS, HEADS, WEIGHTS_FILE
from remora.engine.torch.scheduling.batch import Batch, RowGroup
from remora.errors import AdapterRejected

NOWHERE = -1


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Rows (n, hidden) by their tokens: `index[token]` is the row, NOWHERE for the base's."""

    index: torch.Tensor
    ids: torch.Tensor
    rows: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _LookedUp:
    """A LoRA on the embedding: `a` (tokens, rank), `b` (rank, hidden) with the scaling."""

    a: torch.Tensor
    b: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class OwnRows:
    """What one adapter has of its own, in the model's precision and place."""

    embedding: _Rows
    head: _Rows
    head_bias: _Rows
    token_count: int
    looked_up: _LookedUp | None = None

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.embedding.ids) + len(self.head.ids)


class TokenRows:
    """Those of all adapters on one model."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._embedding = model.get_input_embeddings()
        self._head = model.get_output_embeddings()
        self._dtype, self._device = model.dtype, model.device
        self.base_count: int = self._embedding.weight.shape[0]
        self._by_digest: dict[Digest, OwnRows] = {}

    def read(self, adapter: Adapter) -> OwnRows | None:
        """The adapter's own rows, None where it has none; changes nothing. Raises AdapterRejected."""
        pairs = {module.name.rpartition(".")[2]: module for module in adapter.modules}
        on_embedding = next((module for last, module in pairs.items() if last in EMBEDDINGS), None)
        on_head = next((module for last, module in pairs.items() if last in HEADS), None)
        if adapter.token_rows is None and on_embedding is None:
            return None
        wanted = adapter.token_rows or Wanted((), (), None, self.base_count)
        in_layers = bool(getattr(self._model.config, "hidden_size_per_layer_input", 0))
        check_engine_limits(adapter, "torch", embeds_in_layers=in_layers)
        sources = [*wanted.embedding, *wanted.head, *([wanted.head_bias] if wanted.head_bias else [])]
        names = {source.tensor for source in sources}
        names |= {name for module in (on_embedding, on_head) if module for name in module.tensors}
        try:
            with safe_open(adapter.path / WEIGHTS_FILE, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in names}
        except (OSError, SafetensorError) as error:
            raise AdapterRejected(f"{adapter.path / WEIGHTS_FILE} cannot be read: {error}") from error
        width = self._embedding.weight.shape[1]
        embedding = self._update(on_embedding, tensors)
        head = self._update(on_head, tensors)
        if any(update and len(update.a) < wanted.token_count for update in (embedding, head)):
            raise AdapterRejected(f"{adapter.path} has a LoRA for fewer tokens than it has rows for")
        return OwnRows(
            self._gathered(wanted.embedding, tensors, (width,), embedding),
            self._gathered(wanted.head, tensors, (width,), head),
            self._gathered([wanted.head_bias] if wanted.head_bias else [], tensors, ()),
            wanted.token_count,
            embedding and _LookedUp(self._kept(embedding.a), self._kept(embedding.b)),
        )

    def install(self, digest: Digest, own: OwnRows | None) -> int:
        """Take them in, from any thread: nobody looks at them before a request. Says how many rows."""
        if own is None:
            return 0
        self._by_digest[digest] = own
        return own.count

    def remove(self, digest: Digest) -> None:
        """Forget an adapter's; an unknown digest is a no-op."""
        self._by_digest.pop(digest, None)

    def has(self, digest: Digest | None) -> bool:
        return digest in self._by_digest

    def token_count(self, digest: Digest | None) -> int:
        """How many tokens the model has with this adapter."""
        own = self._by_digest.get(digest) if digest else None
        return self.base_count if own is None else own.token_count

    def needed(self, batch: Batch) -> bool:
        return any(group.use[0] in self._by_digest for group in batch.groups)

    @contextmanager
    def in_place(self, batch: Batch) -> Iterator[torch.Tensor]:
        """For one pass of the model's modules; gives the token ids to call it with, all the base's."""

        def look_up(module: Any, _: object, output: torch.Tensor) -> torch.Tensor:
            hidden = output[0]
            scale = getattr(module, "embed_scale", None)
            self.look_up(batch, hidden, 1.0 if scale is None else scale.to(hidden.dtype))
            return output

        def judge(_: object, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
            return self.judge(batch, inputs[0][0], output[0])[None]

        hooks = [self._embedding.register_forward_hook(look_up), self._head.register_forward_hook(judge)]
        try:
            yield self.base_ids(batch)
        finally:
            for hook in hooks:
                hook.remove()

    def base_ids(self, batch: Batch) -> torch.Tensor:
        """The batch's tokens; any one for those that the base does not have: its row is replaced."""
        return batch.token_ids.clamp(max=self.base_count - 1)

    def look_up(self, batch: Batch, hidden: torch.Tensor, scale: torch.Tensor | float = 1.0) -> None:
        """Put own rows where `hidden` (rows, hidden) has the base's."""
        for group, own in self._groups(batch.groups):
            found = own.embedding.index[batch.token_ids[0, group.rows]]
            places = (found != NOWHERE).nonzero()[:, 0]
            if len(places):
                vectors = own.embedding.rows[found[places]] * scale
                hidden[group.rows.start + places] = vectors.to(hidden.dtype)
            if own.looked_up is not None:
                added = own.looked_up.a[batch.token_ids[0, group.rows]] @ own.looked_up.b * scale
                added[places] = 0  # own rows have it in them
                hidden[group.rows] += added.to(hidden.dtype)

    def judge(self, batch: Batch, hidden: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Logits in which own rows of the head have spoken; `hidden` is what the head was given."""
        most = max([self.base_count, *(own.token_count for _, own in self._groups(batch.last_groups))])
        if most > logits.shape[-1]:
            added = logits.new_zeros((len(logits), most - logits.shape[-1]))
            logits = torch.cat([logits, added], dim=-1)
        for group, own in self._groups(batch.last_groups):
            if len(own.head.ids):
                said = hidden[group.rows].to(self._dtype) @ own.head.rows.T
                logits[group.rows, own.head.ids] = said.to(logits.dtype) + self._bias(own, logits.dtype)
        return logits

    def bounded(self, batch: Batch, logits: torch.Tensor) -> torch.Tensor:
        """Take away what is no token of a row's model; last, as models bend their logits after the head."""
        counts = torch.full((len(logits), 1), self.base_count, device=logits.device)
        for group, own in self._groups(batch.last_groups):
            counts[group.rows] = own.token_count
        ids = torch.arange(logits.shape[-1], device=logits.device)
        return logits.masked_fill(ids >= counts, -torch.inf)

    def _bias(self, own: OwnRows, dtype: torch.dtype) -> torch.Tensor | float:
        """The bias of each own row of the head: the adapter's, else the base's."""
        base = self._head_bias()
        if base is None:
            return 0.0
        ids = own.head.ids
        bias = base[ids.clamp(max=len(base) - 1)].to(dtype)
        found = own.head_bias.index[ids]
        return torch.where(found == NOWHERE, bias, own.head_bias.rows[found.clamp(min=0)].to(dtype))

    def _head_bias(self) -> torch.Tensor | None:
        projection = getattr(self._head, "projection", None)
        return None if projection is None else projection.weights.bias

    def _groups(self, groups: Sequence[RowGroup]) -> Iterator[tuple[RowGroup, OwnRows]]:
        for group in groups:
            own = self._by_digest.get(group.use[0])
            if own is not None:
                yield group, own

    def _update(self, module: LoraModule | None, tensors: Mapping[str, torch.Tensor]) -> _LookedUp | None:
        """What a pair adds to each token's row, in float32: that of the embedding, or that of the head."""
        if module is None:
            return None
        a, b = (tensors[name].float() for name in module.tensors)
        if module.name.rpartition(".")[2] in EMBEDDINGS:
            return _LookedUp(a.t(), b.t() * module.scaling)
        return _LookedUp(b, a * module.scaling)

    def _kept(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(device=self._device, dtype=self._dtype, copy=True).contiguous()

    def _gathered(
        self,
        sources: Sequence[RowSource],
        tensors: Mapping[str, torch.Tensor],
        shape: tuple[int, ...],
        update: _LookedUp | None = None,
    ) -> _Rows:
        by_token = {
            token: (source.tensor, row)
            for source in sources
            for token, row in zip(source.ids, source.rows, strict=True)
        }
        ids = sorted(by_token)
        rows = torch.empty((len(ids), *shape), dtype=self._dtype)
        for name in {tensor for tensor, _ in by_token.values()}:
            places = [place for place, token in enumerate(ids) if by_token[token][0] == name]
            found = tensors[name][[by_token[ids[place]][1] for place in places]]
            if update is not None:
                found = found.float() + update.a[[ids[place] for place in places]] @ update.b
            rows[places] = found.to(self._dtype)
        index = torch.full((max([self.base_count, *(token + 1 for token in ids)]),), NOWHERE)
        index[ids] = torch.arange(len(ids))
        numbers = torch.tensor(ids, dtype=torch.long)
        return _Rows(index.to(self._device), numbers.to(self._device), rows.to(self._device))
