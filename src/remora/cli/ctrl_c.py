"""Ctrl+C that ends a command wherever it arrives.

Python raises KeyboardInterrupt between any two instructions of the main thread. A library does not expect it
everywhere. In a finalizer Python drops it, and says nothing if the object is a file, as a response of urllib3
is. In `Queue.put`, before the queue's `with` begins, the queue stays locked and urllib3's clean-up waits for
it for ever.
"""

from __future__ import annotations

import signal
from types import FrameType

_PAUSE_SECONDS = 0.005
_PAUSES = 200  # a library that computes for longer than a second is interrupted where it is


def interrupt_outside_libraries() -> None:
    """Raise KeyboardInterrupt for SIGINT once the main thread is in our own code, or waits.

    A SIGINT that is ignored or handled otherwise stays so. Without timers of signals, as on Windows, nothing
    changes. Call it in the main thread.
    """
    if signal.getsignal(signal.SIGINT) != signal.default_int_handler or not hasattr(signal, "setitimer"):
        return
    last: tuple[FrameType, int] | None = None
    pauses = 0

    def interrupt(_: int, frame: FrameType | None) -> None:
        nonlocal last, pauses
        ours = frame is None or frame.f_globals.get("__name__", "").startswith("remora.")
        here = frame and (frame, frame.f_lasti)
        if ours or here == last or pauses == _PAUSES:
            signal.setitimer(signal.ITIMER_REAL, 0)
            last, pauses = None, 0
            raise KeyboardInterrupt
        last, pauses = here, pauses + 1
        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, _PAUSE_SECONDS)

    signal.signal(signal.SIGINT, interrupt)


def interrupt_at_once() -> None:
    """Let SIGINT end the process: the command is done, and Python's own end handles no signal.

    It would also be ended by the alarm of a SIGINT that still waits.
    """
    if not hasattr(signal, "setitimer") or signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 0)
