"""Time as the apps see it, so that tests need not wait for it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds that never go back, for measuring spans."""

    def utc_now(self) -> datetime:
        """The time of day that documents and logs show."""

    async def sleep(self, seconds: float) -> None:
        """Return after that span has passed on this clock."""


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def utc_now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
