"""What an early end of a change of what serves means: before the switch it is undone, after it it stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


@contextmanager
def switched(name: str) -> Iterator[None]:
    """Turn Ctrl+C into Interrupted that says which revision serves: nothing is undone after the switch."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; the traffic is on {name} already, and the aliases and the former revision are not "
            "all settled",
            hint="complete it with: remora deploy",
        ) from None
