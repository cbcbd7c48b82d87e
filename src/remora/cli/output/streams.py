"""stdin, stdout and stderr as a command finds them: closed, full, or in an encoding that lacks our signs.

Owns what happens to a stream that does not work. Imports nothing heavy: `remora --help` needs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from remora.errors import RemoraError

STDOUT = "stdout"
SIGPIPE_EXIT = 141  # 128 and the signal's number, as a shell shows it


def make_streams_safe() -> None:
    """Repair the streams; call this before anything is read or printed.

    A closed stream is reopened, because the next file to be opened would get its number. A closed stdin reads
    as empty, printing to a closed stdout fails as on a full disk, and a closed stderr prints nothing.
    """
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY))
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a test's own stream has none
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


@contextmanager
def printing() -> Iterator[None]:
    """Flush stdout when the block ends. Raises CannotWrite if stdout cannot be written."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe, as in `remora logs | head`
        silence(sys.stdout)
        raise SystemExit(SIGPIPE_EXIT) from None
    except OSError as error:
        raise cannot_print(error) from error


@contextmanager
def telling() -> Iterator[None]:
    """Ignore a stderr that cannot be written: lost progress messages must not stop a rollout."""
    try:
        yield
    except OSError:
        silence(sys.stderr)


def cannot_print(error: OSError) -> RemoraError:
    """The error for a stdout that cannot be written; drops the rest of the output."""
    from remora.errors import CannotWrite, disk_error, said

    silence(sys.stdout)
    found = disk_error(error, STDOUT) or CannotWrite(
        f"{STDOUT} cannot be written: {said(error)}",
        hint="print to a terminal, or to a file on a disk with free space",
    )
    found.param = STDOUT
    return found


def takes_data(stream: TextIO) -> bool:
    """Whether what was printed could be flushed."""
    try:
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


def silence(stream: TextIO) -> None:
    """Discard what is still in a stream's buffer, because Python would fail on it at exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
