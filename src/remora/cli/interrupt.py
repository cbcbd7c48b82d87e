"""Ctrl+C while a cloud is at work for us: leave it to it, or cancel what was begun."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from remora.cli.output import Output
from remora.errors import Interrupted, RemoraError


@dataclass(frozen=True, slots=True)
class Work:
    """What a cloud goes on with when nobody waits for it any more.

    `begun` says whether there is anything to leave or cancel; `again` is the command that waits for it.
    """

    what: str
    begun: Callable[[], bool]
    cancel: Callable[[], None]
    cancelled: str
    again: str


@contextmanager
def interruptible(out: Output, work: Work) -> Iterator[None]:
    """Turn Ctrl+C inside into Interrupted, which says what goes on: asked on a terminal, left elsewhere."""
    try:
        yield
    except KeyboardInterrupt:
        raise _interrupted(out, work) from None


def _interrupted(out: Output, work: Work) -> Interrupted:
    if not _begun(work):
        return Interrupted("interrupted; nothing that serves was changed", hint=f"go on with: {work.again}")
    if out.agrees(f"Leave {work.what} running in the cloud? No cancels it", default=True):
        return Interrupted(
            f"interrupted; {work.what} goes on in the cloud", hint=f"wait for it with: {work.again}"
        )
    with out.step(f"cancelling {work.what}"):
        work.cancel()
    return Interrupted(f"cancelled: {work.cancelled}", hint=f"begin anew with: {work.again}")


def _begun(work: Work) -> bool:
    """A cloud that cannot be asked any more may well be at work."""
    try:
        return work.begun()
    except RemoraError:
        return True
