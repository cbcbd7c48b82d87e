"""Ctrl+C while a cloud operation runs: leave it running, or cancel it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from remora.cli.output.console import Output
from remora.errors import Interrupted, RemoraError


@dataclass(frozen=True, slots=True)
class Work:
    """An operation that a cloud continues even if the command ends.

    `begun` says whether it has started; `again` is the command that waits for it.
    """

    what: str
    begun: Callable[[], bool]
    cancel: Callable[[], None]
    cancelled: str
    again: str


@contextmanager
def interruptible(out: Output, work: Work) -> Iterator[None]:
    """Turn Ctrl+C into Interrupted. On a terminal, ask whether to cancel the work; elsewhere, leave it."""
    try:
        yield
    except KeyboardInterrupt:
        raise _interrupted(out, work) from None


def _interrupted(out: Output, work: Work) -> Interrupted:
    if not _begun(work):
        return Interrupted(
            "interrupted; no serving revision was changed", hint=f"continue with: {work.again}"
        )
    if out.agrees(f"Leave {work.what} running in the cloud? No cancels it", default=True):
        return Interrupted(
            f"interrupted; {work.what} continues in the cloud", hint=f"wait for it with: {work.again}"
        )
    with out.step(f"cancelling {work.what}"):
        work.cancel()
    return Interrupted(f"cancelled: {work.cancelled}", hint=f"start again with: {work.again}")


def _begun(work: Work) -> bool:
    """Whether it has started. If the cloud cannot be reached, assume that it has."""
    try:
        return work.begun()
    except RemoraError:
        return True
