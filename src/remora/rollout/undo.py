"""The undo of an unfinished change of what serves, by whoever still holds the lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from remora.errors import Locked, RemoraError
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
