"""Background tasks of the endpoint. Owns when a round of each runs, and what is told where rounds fail.

A task is a round that repeats until the endpoint ends. Whatever a round raises, the next one comes: after a
pause that doubles, with one line in the log for each new reason, and visible in /metrics. Knows nothing of
what a round does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from remora.errors import NotReady, RemoraError, disk_error

LONGEST_PAUSE_SECONDS = 5.0
UNREADY_AFTER_SECONDS = 30.0  # one round that failed is no reason to take a replica out of service

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BackgroundTask:
    """`round` is awaited every `interval_seconds`.

    Where a `needed` task fails for long, this replica answers otherwise than the others: it is not ready.
    """

    name: str
    round: Callable[[], Awaitable[None]]
    interval_seconds: float
    needed: bool = False


@dataclass(slots=True)
class TaskState:
    """How a task does. Times are of the supervisor's clock; `problem` is why its last round failed.

    `is_fault` tells a fault of ours from a share that cannot be read now: without the share every replica
    still serves what it has, and taking all of them out of service would help nobody.
    """

    task: BackgroundTask
    succeeded_at: float
    failed_rounds: int = 0
    failed_in_a_row: int = 0
    problem: str = ""
    is_fault: bool = False


class Supervisor:
    """Runs background tasks. `now` gives seconds that only grow."""

    def __init__(
        self, tasks: Sequence[BackgroundTask] = (), now: Callable[[], float] = time.monotonic
    ) -> None:
        self.states = tuple(TaskState(task, now()) for task in tasks)
        self._now = now

    async def run(self) -> None:
        """All tasks, until cancelled."""
        await asyncio.gather(*(self._repeat(state) for state in self.states))

    def age_seconds(self, state: TaskState) -> float:
        """Since the last round that succeeded."""
        return self._now() - state.succeeded_at

    def check_ready(self) -> None:
        """Raises NotReady where a task that is needed has failed for long."""
        for state in self.states:
            age_seconds = self.age_seconds(state)
            if state.task.needed and state.is_fault and age_seconds > UNREADY_AFTER_SECONDS:
                raise NotReady(
                    f"{state.task.name} has failed for {age_seconds:.0f} seconds",
                    hint="look at the endpoint's log",
                )

    async def _repeat(self, state: TaskState) -> None:
        while True:
            await self._one_round(state)
            pause_seconds = state.task.interval_seconds * 2 ** min(state.failed_in_a_row, 10)
            await asyncio.sleep(min(pause_seconds, max(LONGEST_PAUSE_SECONDS, state.task.interval_seconds)))

    async def _one_round(self, state: TaskState) -> None:
        try:
            await state.task.round()
        except (RemoraError, OSError) as error:
            self._note_failure(state, str(disk_error(error) or error) or type(error).__name__)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._note_failure(state, "something that it waited for was cancelled", error)
        except Exception as error:
            self._note_failure(state, f"{type(error).__name__}: {error}", error)
        else:
            self._note_success(state)

    def _note_success(self, state: TaskState) -> None:
        if state.failed_in_a_row:
            logger.warning("%s works again, after %d failed rounds", state.task.name, state.failed_in_a_row)
        state.succeeded_at = self._now()
        state.failed_in_a_row, state.problem, state.is_fault = 0, "", False

    def _note_failure(self, state: TaskState, problem: str, fault: BaseException | None = None) -> None:
        """A reason that was told already is only counted: a share can be out of reach for hours."""
        if problem != state.problem:
            logger.error("%s failed and is tried again: %s", state.task.name, problem, exc_info=fault)
        state.failed_rounds += 1
        state.failed_in_a_row += 1
        state.problem, state.is_fault = problem, fault is not None
