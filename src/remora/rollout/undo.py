"""What an early end of a change of what serves means: before the switch it is undone, after it it stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from remora.errors import Interrupted, Locked, RemoraError
from remora.rollout.share.lock import HeldLock
from remora.rollout.steps import Steps


@contextmanager
def or_back(back: Callable[[], None], lock: HeldLock, steps: Steps) -> Iterator[None]:
    """If the block ends early, also by Ctrl+C, call `back`, so that the former revision keeps serving.

    Without the lock nothing is undone: another command may already serve what this one started.
    """
    try:
        yield
    except BaseException as error:
        if lock.is_lost:
            raise
        try:
            with steps("going back to the former revision"):
                back()
        except Locked as lost:
            raise lost from error
        except RemoraError:  # the cloud cannot be reached: the next rollout removes what is left
            raise error from None
        raise


@dataclass(slots=True)
class Switched:
    """The revision that a rollout has switched the traffic to; "" before that."""

    name: str = ""

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn Ctrl+C after the switch into Interrupted: nothing is undone then, and it says what serves."""
        try:
            yield
        except KeyboardInterrupt:
            if not self.name:
                raise
            raise Interrupted(
                f"interrupted; the traffic is on {self.name} already, and what follows the switch may be "
                "incomplete",
                hint="complete it with: remora deploy",
            ) from None
