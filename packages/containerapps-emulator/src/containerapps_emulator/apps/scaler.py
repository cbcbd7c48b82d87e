"""Counts the requests of one revision and evaluates its scale, for as long as anything could change.

Knows no replica: it is told how many there are and says how many there should be. While nothing is asked
and nothing is left to scale down it holds no timer but that of the next cron window.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from containerapps_emulator.apps.clock import Clock
from containerapps_emulator.apps.documents.scale import Scale, ScalePlan
from containerapps_emulator.background import in_background, surviving

_WINDOW_LOOK_SECONDS = 60.0


class Scaler:
    """From the first `start` to `stop`. `set_count` is called with every new number of replicas."""

    def __init__(
        self,
        plan: ScalePlan,
        clock: Clock,
        *,
        name: str,
        period_seconds: float,
        stable_seconds: float,
        count: Callable[[], int],
        set_count: Callable[[int, str], None],
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._name = f"the scale of {name}"
        self._period_seconds = period_seconds
        self._stable_seconds = stable_seconds
        self._count = count
        self._set_count = set_count
        self._in_flight = 0
        self._arrived = 0
        self._stopped = False
        self._evaluating: asyncio.Task[None] | None = None
        self._calendar: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look at the scale until it is settled; a no-op while that is under way or can change nothing."""
        if self._stopped:
            return
        if self._plan.windows and self._calendar is None:
            self._calendar = in_background(self._follow_windows(), f"the windows of {self._name}")
        if self._evaluating:  # so while requests come, no request works out what cron rules ask for
            return
        floor = self._plan.floor(self._clock.utc_now())
        settled = self._count() == floor and not self._in_flight and not self._arrived
        fixed = floor >= self._plan.maximum and self._count() == floor
        if settled or fixed:
            return
        self._evaluating = in_background(self._evaluate(), self._name)

    async def stop(self) -> None:
        self._stopped = True
        tasks = {task for task in (self._evaluating, self._calendar) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    @contextmanager
    def request(self) -> Iterator[None]:
        """One request, from its arrival to the end of its answer. The first wakes a revision at zero."""
        self._in_flight += 1
        self._arrived += 1
        if self._count() == 0 and self._plan.maximum > 0 and not self._stopped:
            self._set_count(1, "a request is waiting")
        self.start()
        try:
            yield
        finally:
            self._in_flight -= 1

    async def _evaluate(self) -> None:
        scale = Scale(self._plan, self._period_seconds, self._stable_seconds)
        settled = False
        while not settled:
            await self._clock.sleep(self._period_seconds)
            with surviving(self._name):  # the next period tries again
                settled = self._is_settled(scale)
        self._evaluating = None

    async def _follow_windows(self) -> None:
        """Look at the scale whenever a window begins or ends.

        It looks at the time of day each minute: the clock that a sleep goes by stands still in a suspended
        machine.
        """
        while (due := self._plan.next_change(self._clock.utc_now())) is not None:
            while (now := self._clock.utc_now()) < due:
                await self._clock.sleep(min((due - now).total_seconds(), _WINDOW_LOOK_SECONDS))
            self.start()

    def _is_settled(self, scale: Scale) -> bool:
        """Set the number of replicas for the period that has passed; whether only a request can change it."""
        # Azure divides the requests of a period by its length. An answer of a model may take longer
        # than a period, and is work nevertheless: what is in flight counts, too.
        concurrency = max(self._arrived / self._period_seconds, float(self._in_flight))
        self._arrived = 0
        current, now = self._count(), self._clock.utc_now()
        wanted, floor = scale.next(current, concurrency, now), self._plan.floor(now)
        if wanted != current:
            by_window = wanted == floor > self._plan.minimum
            why = f"a cron rule asks for {floor}" if by_window else f"{concurrency:.1f} concurrent requests"
            self._set_count(wanted, why)
        return wanted == floor and not self._in_flight and scale.is_settled(now)
