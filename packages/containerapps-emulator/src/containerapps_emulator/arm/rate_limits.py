"""What Resource Manager says is left of a client's requests, in the headers of each response.

Azure has two token buckets for each kind of operation: one of the client, and one of all clients of the
subscription, fifteen times as large. The local cloud counts as Azure does and refuses nothing by itself: the
fault `throttled` does. See
https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_OPERATIONS: Final = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}
# Size, and tokens per second. Answers that azd recorded in 2026 begin at 1,099 reads, 799 writes and 799
# deletes; the rates are the documented ones.
_BUCKETS: Final = {"reads": (1100, 25), "deletes": (800, 10), "writes": (800, 10)}
_ALL_CLIENTS: Final = 15


@dataclass(slots=True)
class _Bucket:
    size: int
    refill_per_second: int
    tokens: float
    filled_at: float

    def take(self, now: float) -> int:
        """What is left after one more request; 0 where Azure would refuse."""
        filled = self.tokens + (now - self.filled_at) * self.refill_per_second
        self.tokens, self.filled_at = max(0.0, min(self.size, filled) - 1), now
        return int(self.tokens)


class RateLimits:
    """The buckets of this cloud, which has one client. `now` returns seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._buckets: dict[str, _Bucket] = {}

    def headers(self, method: str, path: str) -> list[tuple[bytes, bytes]]:
        """Count a request; return its headers."""
        operation = _OPERATIONS.get(method, "writes")
        if not path.lower().startswith("/subscriptions/"):
            return [self._header(f"tenant-{operation}", operation, 1)]
        return [
            self._header(f"subscription-{operation}", operation, 1),
            self._header(f"subscription-global-{operation}", operation, _ALL_CLIENTS),
        ]

    def _header(self, name: str, operation: str, times: int) -> tuple[bytes, bytes]:
        now = self._now()
        size, rate = (value * times for value in _BUCKETS[operation])
        bucket = self._buckets.setdefault(name, _Bucket(size, rate, size, now))
        return f"x-ms-ratelimit-remaining-{name}".encode(), str(bucket.take(now)).encode()
