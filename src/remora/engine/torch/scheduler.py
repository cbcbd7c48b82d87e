"""What the next step computes. Owns who waits, who runs and how prompts are cut; computes nothing."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from remora.engine.torch.kv_cache import SlotAllocator
from remora.engine.torch.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens `start` to `start + count` of a sequence, to go through the model in one step."""

    sequence: Sequence
    start: int
    count: int

    @property
    def completes(self) -> bool:
        """Whether the next token can be chosen after this chunk."""
        return self.start + self.count == len(self.sequence.tokens)


class Scheduler:
    """First come, first served. Every step decodes all that can, and prefills up to a fixed number of tokens,
    so that a long prompt slows the others down only by a chunk at a time.
    """

    def __init__(
        self, slots: SlotAllocator, *, max_running_requests: int, prefill_tokens_per_step: int
    ) -> None:
        self._slots = slots
        self._max_running_requests = max_running_requests
        self._prefill_tokens_per_step = prefill_tokens_per_step
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._running)

    @property
    def running_count(self) -> int:
        return len(self._running)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence."""
        self._waiting.append(sequence)

    def cancelled(self) -> list[Sequence]:
        """What nobody reads any more."""
        return [sequence for sequence in (*self._waiting, *self._running) if sequence.cancelled]

    def remove(self, sequence: Sequence) -> None:
        """Take out a sequence, waiting or running, and free its rows."""
        if sequence.slot is None:
            self._waiting.remove(sequence)
            return
        self._running.remove(sequence)
        self._slots.release(sequence.slot)
        sequence.slot = None

    def next_step(self) -> list[Chunk]:
        """Admit who fits and cut the next step; empty only where there is no work.

        Chunks of one adapter at one scale are neighbours, so its rows are one slice of the batch.
        """
        self._admit()
        chunks: list[Chunk] = []
        prefill_left = self._prefill_tokens_per_step
        for sequence in self._running:
            count = sequence.pending_count
            if count > 1:
                count = min(count, prefill_left)
                prefill_left -= count
            if count > 0:
                chunks.append(Chunk(sequence, sequence.computed_count, count))
        return sorted(chunks, key=lambda chunk: chunk.sequence.adapter_use or ("", 0.0))

    def _admit(self) -> None:
        # Nobody overtakes the head of the queue, so a large request cannot starve.
        while self._waiting and len(self._running) < self._max_running_requests:
            slot = self._slots.reserve(self._waiting[0].most_tokens)
            if slot is None:
                return
            sequence = self._waiting.popleft()
            sequence.slot = slot
            self._running.append(sequence)
