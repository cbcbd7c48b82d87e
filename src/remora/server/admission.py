"""How much work is let in. Owns the count of open requests, in all and of each key, and the way out.

Counted before a body is read and long before a prompt is tokenized, so that a burst which must be refused
costs next to nothing. That is why this is here and not beside the engine: the engine bounds the sequences
that it holds, whoever submits them; this bounds the requests that clients have open.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from remora.errors import Draining, Overloaded


class Admission:
    """Who is in. `max_open_per_key` 0 sets no limit of its own. For one event loop."""

    def __init__(self, max_open: int, max_open_per_key: int = 0) -> None:
        self.max_open = max_open
        self.max_open_per_key = max_open_per_key
        self.open_count = 0
        self.draining = False
        self.is_cut_off = False
        self._open_of_key: Counter[str] = Counter()
        self._deadlines: set[asyncio.Timeout] = set()

    @property
    def is_full(self) -> bool:
        return self.open_count >= self.max_open

    def enter(self, key_name: str) -> None:
        """Count one in; whoever does must `leave`. Raises Draining or Overloaded."""
        if self.draining:
            raise Draining("the endpoint is stopping", hint="ask again: another replica will answer")
        if self.is_full:
            raise Overloaded(
                f"{self.open_count} requests are running or queued, and no more may be",
                hint="try again in a moment",
            )
        if self.max_open_per_key and self._open_of_key[key_name] >= self.max_open_per_key:
            raise Overloaded(
                f"the key {key_name!r} has {self.max_open_per_key} requests open, and no more may be",
                hint="wait for one of them, or use another key",
            )
        self.open_count += 1
        self._open_of_key[key_name] += 1

    def leave(self, key_name: str) -> None:
        self.open_count -= 1
        self._open_of_key[key_name] -= 1
        if not self._open_of_key[key_name]:
            del self._open_of_key[key_name]  # keys come and go: the table must not only grow

    @contextmanager
    def admitted(self, key_name: str) -> Iterator[None]:
        """In for as long as the block lasts. Raises what `enter` raises."""
        self.enter(key_name)
        try:
            yield
        finally:
            self.leave(key_name)

    @contextmanager
    def until_cut_off(self, deadline: asyncio.Timeout) -> Iterator[None]:
        """Within the block `cut_off` makes this deadline pass."""
        self._deadlines.add(deadline)
        try:
            yield
        finally:
            self._deadlines.discard(deadline)

    def drain(self) -> None:
        """Let nobody in any more; who is in may finish."""
        self.draining = True

    def cut_off(self) -> None:
        """End what still runs: the time to finish is over."""
        self.draining = self.is_cut_off = True
        for deadline in self._deadlines:
            deadline.reschedule(0)  # long past, on every loop's clock
