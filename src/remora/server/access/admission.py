"""How much work is let in. Owns the count of open requests, in all and of each key, and the way out.

Counted before a body is read and long before a prompt is tokenized, so that a burst which must be refused
costs next to nothing. That is why this is here and not beside the engine: the engine bounds the sequences
that it holds, from any client; this bounds the requests that clients have open.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from remora.errors import Draining, Overloaded


class Admission:
    """Who is in. For one event loop.

    Without `max_open_per_key` (0) a key may have half of the places where there are several keys, and all of
    them where there is one: `key_count` tells, since keys come and go.
    """

    def __init__(
        self, max_open: int, max_open_per_key: int = 0, key_count: Callable[[], int] = lambda: 1
    ) -> None:
        self.max_open = max_open
        self._max_open_per_key = max_open_per_key
        self._key_count = key_count
        self.open_count = 0
        self.draining = False
        self.is_cut_off = False
        self._open_of_key: Counter[str] = Counter()
        self._deadlines: set[asyncio.Timeout] = set()

    @property
    def is_full(self) -> bool:
        return self.open_count >= self.max_open

    @property
    def max_open_per_key(self) -> int:
        if self._max_open_per_key:
            return self._max_open_per_key
        return self.max_open if self._key_count() < 2 else max(1, self.max_open // 2)

    def enter(self, key_name: str) -> None:
        """Count one request in. The caller must `leave` afterwards. Raises Draining or Overloaded."""
        if self.draining:
            raise Draining("the endpoint is stopping", hint="ask again: another replica will answer")
        if self.is_full:
            raise Overloaded(
                f"{self.open_count} requests are running or queued, which is the limit",
                hint="try again in a moment",
            )
        if self._open_of_key[key_name] >= self.max_open_per_key:
            raise Overloaded(
                f"the key {key_name!r} has {self.max_open_per_key} requests open, which is the limit",
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
