"""How far a checkpoint has been read, as lines of a log instead of transformers' progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from transformers.utils import logging as transformers_logging

from remora.engine.loading import PROGRESS

_BAR = "Loading weights"
_EVERY_SECONDS = 2.0


@contextmanager
def told_progress() -> Iterator[None]:
    """Within the block no bar is shown; every few seconds a line says how many weights have been read."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    former = transformers_logging.set_tqdm_hook(_counted)
    try:
        yield
    finally:
        transformers_logging.set_tqdm_hook(former)
        if shown:
            transformers_logging.enable_progress_bar()


def _counted(bar: Callable[..., Any], given: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """What transformers iterates over; any other bar is left as it is."""
    return _told(given[0]) if given and options.get("desc") == _BAR else bar(*given, **options)


def _told(items: Collection[Any]) -> Iterator[Any]:
    last = time.monotonic()
    for number, item in enumerate(items, 1):
        yield item
        if number == len(items) or time.monotonic() - last >= _EVERY_SECONDS:
            last = time.monotonic()
            PROGRESS.info("loading weights %d of %d", number, len(items))
