"""One step as tensors: the new tokens of all sequences in a row, without padding. Owns the layout only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from remora.engine.torch.scheduling.decode_groups import DecodeGroup
from remora.engine.torch.scheduling.scheduler import Chunk
from remora.engine.torch.scheduling.sequence import AdapterUse


@dataclass(frozen=True, slots=True)
class Span:
    """The rows of one sequence in the batch, and where its keys and values are."""

    rows: slice
    first_cache_row: int
    past_count: int  # tokens computed in earlier steps
    is_long: bool = False  # as its sequence says
    is_draft: bool = False  # a token, and guesses at what follows it
    masks: dict[int | None, torch.Tensor] = field(default_factory=dict)  # by window, shared by all layers

    @property
    def count(self) -> int:
        return int(self.rows.stop - self.rows.start)

    @property
    def total_count(self) -> int:
        return self.past_count + self.count

    @property
    def decodes(self) -> bool:
        """Whether its rows are few, and each can attend by itself."""
        return self.count == 1 or self.is_draft


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Neighbouring rows that use the same adapter at the same scale."""

    use: AdapterUse
    rows: slice


@dataclass(frozen=True, slots=True)
class Batch:
    """What one forward pass needs to know."""

    token_ids: torch.Tensor  # (1, rows)
    position_ids: torch.Tensor  # (1, rows)
    cache_rows: torch.Tensor  # (rows,): where each row's key and value go
    last_rows: torch.Tensor  # the rows whose logits are wanted
    spans: tuple[Span, ...]
    groups: tuple[RowGroup, ...]
    last_groups: tuple[RowGroup, ...]  # the same for `last_rows`: rows count among those
    decode_groups: dict[int | None, tuple[DecodeGroup, ...]] = field(default_factory=dict)  # by window


def build_batch(chunks: Sequence[Chunk], device: torch.device) -> Batch:
    """Lay the chunks out one after the other."""
    token_ids: list[int] = []
    position_ids: list[int] = []
    cache_rows: list[int] = []
    last_rows: list[int] = []
    spans: list[Span] = []
    for chunk in chunks:
        slot = chunk.sequence.slot
        if slot is None:
            raise ValueError(f"sequence {chunk.sequence.request.request_id} has no slot")
        new = chunk.token_ids
        positions = range(chunk.start, chunk.start + len(new))
        rows = slice(len(token_ids), len(token_ids) + len(new))
        spans.append(
            Span(rows, slot.first_row, chunk.start, chunk.sequence.is_long, is_draft=len(chunk.draft) > 0)
        )
        token_ids += new
        position_ids += positions
        cache_rows += (slot.first_row + position for position in positions)
        last_rows += (spans[-1].rows.start + position - chunk.start for position in chunk.wanted)
    return Batch(
        token_ids=torch.tensor([token_ids], device=device),
        position_ids=torch.tensor([position_ids], device=device),
        cache_rows=torch.tensor(cache_rows, device=device),
        last_rows=torch.tensor(last_rows, dtype=torch.long, device=device),
        spans=tuple(spans),
        groups=tuple(
            _groups(
                (chunk.sequence.adapter_use, span.count) for chunk, span in zip(chunks, spans, strict=True)
            )
        ),
        last_groups=tuple(
            _groups(
                (chunk.sequence.adapter_use, len(chunk.wanted)) for chunk in chunks if len(chunk.wanted) > 0
            )
        ),
    )


def _groups(counts: Iterable[tuple[AdapterUse | None, int]]) -> Iterator[RowGroup]:
    """Runs of rows with the same adapter and scale; rows of the base model are in none."""
    start = stop = 0
    current: AdapterUse | None = None
    for use, count in counts:
        if use != current:
            if current is not None:
                yield RowGroup(current, slice(start, stop))
            start, current = stop, use
        stop += count
    if current is not None:
        yield RowGroup(current, slice(start, stop))
