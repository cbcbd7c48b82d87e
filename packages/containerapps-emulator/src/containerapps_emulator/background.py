"""Work that nobody waits for. Owns that its failure is in the log, at once and by name.

The code that starts the work decides whether it is tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from containerapps_emulator.errors import said

T = TypeVar("T")

_log = logging.getLogger(__name__)


def in_background(work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """A task whose failure is told, also where nobody awaits it."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_tell)
    return task


async def to_the_end(work: Coroutine[Any, Any, None], name: str) -> None:
    """Do it wholly, also where whoever waits for it is cancelled meanwhile, which is passed on afterwards."""
    task, cancelled = in_background(work, name), False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


@contextmanager
def surviving(name: str) -> Iterator[None]:
    """An error ends the block and is told; what comes after the block goes on."""
    try:
        yield
    except Exception as error:
        _log_failure(name, error)


def _tell(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log_failure(task.get_name(), error)


def _log_failure(name: str, error: BaseException) -> None:
    _log.error("%s failed: %s", name, said(error), exc_info=error)
