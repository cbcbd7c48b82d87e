"""What goes wrong while an engine takes weights in, as errors of the one tree; the log of its progress."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from remora.errors import LoadFailed, RemoraError, disk_error, said

# How torch says it, on a CPU and on a GPU; it has no error of its own for the first.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


PROGRESS = logging.getLogger("remora.loading")
"""How far an engine has come while it loads. Silent, unless somebody sets its level and takes the lines."""


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Raise LoadFailed, naming `what`, for anything that the block raises beyond the error tree; or DiskFull.

    The libraries below raise whatever their parts raise, and each caller of an engine would have to know it.
    """
    try:
        yield
    except RemoraError:
        raise
    except Exception as error:
        if full := disk_error(error):
            raise full from error
        if is_out_of_memory(error):
            raise LoadFailed(
                f"there is not enough memory for {what}",
                hint="give the replica more memory, or serve fewer adapters",
            ) from error
        reason = said(error).partition("\n")[0]
        raise LoadFailed(
            f"{what} cannot be loaded: {type(error).__name__}, {reason}", hint="look at the endpoint's log"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this says that memory is short, and so nothing of what was being loaded."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)
