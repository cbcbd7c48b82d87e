"""What the next step computes. Owns who runs, on which rows, and how prompts are cut; computes nothing.

A request is given rows for all that it may become where that many are free, and else for some tokens more
than it has. Under pressure unused rows are taken back. One that comes to the end of its rows and cannot grow
where it lies steps aside: what it has computed stays behind as a prefix, it is admitted again before all
others, and the prefix is copied to its new place, or computed again where it had to make room. No request is
lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from remora.adapters.adapter import Digest
from remora.engine.torch.cache.kv_cache import RowCopy
from remora.engine.torch.cache.slots import Slot, SlotAllocator
from remora.engine.torch.scheduling.prefix_cache import Prefix, PrefixCache
from remora.engine.torch.scheduling.sequence import Sequence
from remora.engine.torch.scheduling.waiting import WaitingLine

GROWTH_ROWS = 128


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens `start` to `start + count` of a sequence, to go through the model in one step.

    `draft` goes with them, as if it followed the sequence's last token.
    """

    sequence: Sequence
    start: int
    count: int
    draft: tuple[int, ...] = ()

    @property
    def token_ids(self) -> list[int]:
        """Of each row."""
        return [*self.sequence.tokens[self.start : self.start + self.count], *self.draft]

    @property
    def completes(self) -> bool:
        """Whether the next token can be chosen after this chunk."""
        return self.start + self.count == len(self.sequence.tokens)

    @property
    def scored(self) -> range:
        """Positions of this chunk whose logits score the prompt's next token, and did not do so before."""
        known, unscored = len(self.sequence.scores), self.sequence.unscored_count
        return range(max(self.start, known), min(self.start + self.count, known + unscored))

    @property
    def wanted(self) -> list[int]:
        """Positions of this chunk whose logits are wanted, in order."""
        last = self.start + self.count - 1
        return [*self.scored, *(range(last, last + 1 + len(self.draft)) if self.completes else ())]


@dataclass(frozen=True, slots=True)
class Step:
    """Rows to copy first, in this order, and then chunks to compute."""

    copies: tuple[RowCopy, ...]
    chunks: tuple[Chunk, ...]


class Scheduler:
    """Every step decodes all that can, and prefills up to a fixed number of tokens, so that a long prompt
    slows the others down only by a chunk at a time.
    """

    def __init__(
        self,
        row_count: int,
        *,
        max_running_requests: int,
        prefill_tokens_per_step: int,
        growth_rows: int = GROWTH_ROWS,
        keeps_prefixes: bool = True,
        longest_short_text: int | None = None,
        rows_with_drafts: int = 0,
    ) -> None:
        """A text of more than `longest_short_text` tokens has other keys, from its first token on.

        A step with drafts has at most `rows_with_drafts` rows, and no step has drafts where it is 0.
        """
        self._longest_short_text = longest_short_text
        self._slots = SlotAllocator(row_count)
        self._prefixes = PrefixCache(self._slots, enabled=keeps_prefixes)
        self._max_running_requests = max_running_requests
        self._prefill_tokens_per_step = prefill_tokens_per_step
        self._growth_rows = growth_rows
        self._rows_with_drafts = rows_with_drafts
        self._waiting = WaitingLine()
        self._running: list[Sequence] = []
        self._arrivals = 0

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._running)

    @property
    def running_count(self) -> int:
        return len(self._running)

    @property
    def reserved_row_count(self) -> int:
        """Rows of those that run; what is only kept makes room for anyone."""
        return self._slots.row_count - self._slots.free_row_count - self._prefixes.row_count

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence."""
        self._arrivals += 1
        sequence.arrival = self._arrivals
        self._see_length(sequence)
        self._waiting.add(sequence)

    def cancelled(self) -> list[Sequence]:
        """What nobody reads any more."""
        return [sequence for sequence in (*self._waiting, *self._running) if sequence.cancelled]

    def remove(self, sequence: Sequence) -> None:
        """Take out a sequence, waiting or running; what it has computed may serve another."""
        if sequence.slot is None:
            self._waiting.remove(sequence)
            return
        self._running.remove(sequence)
        self._prefixes.take_over(sequence)

    def forget(self, adapter: Digest) -> None:
        """Drop what is kept of an adapter that is gone."""
        self._prefixes.forget(adapter)

    def next_step(self) -> Step:
        """Admit who fits and cut the next step; no chunks only where there is no work."""
        for sequence in self._running:
            self._see_length(sequence)
        for sequence in [sequence for sequence in self._running if not self._has_rows(sequence)]:
            self._step_aside(sequence)
        copies = tuple(self._admit())
        chunks: list[Chunk] = []
        prefill_left = self._prefill_tokens_per_step
        for sequence in self._running:
            count = sequence.pending_count
            if count > 1:
                count = min(count, prefill_left)
                prefill_left -= count
            if count > 0:
                chunks.append(Chunk(sequence, sequence.computed_count, count))
        return Step(copies, tuple(self._with_drafts(chunks)))

    def _with_drafts(self, chunks: list[Chunk]) -> Iterator[Chunk]:
        """Drafts are for rows that nobody needs: who decodes gets an equal part of what is left of them."""
        left = self._rows_with_drafts - sum(chunk.count for chunk in chunks)
        for index, chunk in enumerate(chunks):
            draft = self._draft(chunk, -(-left // (len(chunks) - index)))
            left -= len(draft)
            yield replace(chunk, draft=draft) if draft else chunk

    def _draft(self, chunk: Chunk, most: int) -> tuple[int, ...]:
        sequence, limit = chunk.sequence, self._longest_short_text
        if chunk.count > 1 or not chunk.completes:
            return ()
        if limit is not None and not sequence.is_long:  # a longer text has other keys
            most = min(most, limit - len(sequence.tokens))
        return sequence.draft(most)

    def _see_length(self, sequence: Sequence) -> None:
        limit = self._longest_short_text
        if limit is not None and not sequence.is_long and len(sequence.tokens) > limit:
            sequence.grow_long()

    def _has_rows(self, sequence: Sequence) -> bool:
        """Whether a running sequence can go on where it lies, grown if need be."""
        needed = len(sequence.tokens)
        slot = sequence.slot
        while slot is not None and slot.row_count < needed:
            grown = self._slots.extend(slot, needed, self._some_more(sequence))
            if grown is not None:
                sequence.slot = grown
                return True
            if not self._prefixes.drop_behind(slot):
                return False
        return True

    def _step_aside(self, sequence: Sequence) -> None:
        self._running.remove(sequence)
        self._prefixes.take_over(sequence)
        sequence.computed_count = 0
        self._waiting.put_first(sequence)

    def _admit(self) -> Iterator[RowCopy]:
        # Nobody overtakes whose turn it is, so a large request cannot starve.
        while self._waiting and len(self._running) < self._max_running_requests:
            sequence = self._waiting.first()
            # Asked in every step while the line is blocked, so before anything that costs: finding a prefix
            # compares the tokens of all that run, and finding rows drops prefixes.
            if not self._could_have_rows(sequence):
                return
            # What is not computed here has no logits, and a score is made of them.
            found = None if sequence.unscored_count else self._prefixes.find(sequence, self._running)
            slot = self._find_rows(sequence)
            if slot is None:
                return
            self._waiting.take_first()
            sequence.slot = slot
            if found is not None:
                yield from self._reuse(sequence, slot, *found)
            self._running.append(sequence)

    def _could_have_rows(self, sequence: Sequence) -> bool:
        """Whether `_find_rows` would find some: between what the running ones use, wherever prefixes lie."""
        used = sorted(
            (other.slot.first_row, min(other.slot.row_count, self._some_more(other)))
            for other in self._running
            if other.slot is not None
        )
        least, free_from = self._some_more(sequence), 0
        for first_row, row_count in used:
            if first_row - free_from >= least:
                return True
            free_from = first_row + row_count
        return self._slots.row_count - free_from >= least

    def _find_rows(self, sequence: Sequence) -> Slot | None:
        """Free rows; else those of old prefixes; else what the running ones have but do not use yet."""
        least, most = self._some_more(sequence), sequence.most_tokens
        slot = self._slots.reserve(least, most)
        while slot is None and self._prefixes.drop_oldest():
            slot = self._slots.reserve(least, most)
        if slot is not None:
            return slot
        for other in self._running:
            if other.slot is not None:
                other.slot = self._slots.cut(other.slot, self._some_more(other))
        return self._slots.reserve(least, most)

    def _some_more(self, sequence: Sequence) -> int:
        return min(sequence.most_tokens, len(sequence.tokens) + self._growth_rows)

    def _reuse(self, sequence: Sequence, slot: Slot, prefix: Prefix, count: int) -> Iterator[RowCopy]:
        """Count a prefix as computed. It may just have made room: then its rows are still as they were."""
        source = Slot(prefix.slot.first_row, count)
        lies_apart = source.stop_row <= slot.first_row or slot.stop_row <= source.first_row
        if lies_apart:
            yield RowCopy(source.first_row, slot.first_row, count)
        elif source.first_row != slot.first_row:
            return
        sequence.computed_count = count
        if not sequence.answer_count:
            sequence.reused_count = count
