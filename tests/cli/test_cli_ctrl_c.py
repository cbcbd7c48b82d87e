"""An interrupt that arrives where Python drops exceptions still ends the command."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import io, signal, time, weakref
from remora.cli.ctrl_c import interrupt_outside_libraries

def interrupted(*_):
    signal.raise_signal(signal.SIGINT)

class Answer(io.RawIOBase):
    @property
    def closed(self):
        interrupted()
        return True

class Finalized:
    def __del__(self):
        interrupted()

class Watched:
    pass

{keep}
{lose}
time.sleep({sleep})
print("not interrupted")
"""
LOSE = {
    "file": "answer = Answer(); del answer",
    "finalizer": "thing = Finalized(); del thing",
    "weak reference": "thing = Watched(); seen = weakref.ref(thing, interrupted); del thing",
}


def ran(lose: str, *, keep: bool) -> tuple[int, str]:
    program = PROGRAM.format(
        keep="interrupt_outside_libraries()" if keep else "", lose=LOSE[lose], sleep=600 if keep else 0
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("lose", LOSE)
def test_an_interrupt_inside_a_finalizer_is_raised_after_it(lose: str) -> None:
    assert "not interrupted" in ran(lose, keep=False)[1]  # so it is in plain Python
    code, printed = ran(lose, keep=True)
    assert code != 0
    assert printed.rstrip().endswith("KeyboardInterrupt")
    assert "Exception ignored" not in printed


def test_a_library_that_never_waits_is_interrupted() -> None:
    program = """
import signal, threading
from remora.cli.ctrl_c import interrupt_outside_libraries
interrupt_outside_libraries()
main = threading.main_thread().ident
threading.Timer(0.1, signal.pthread_kill, [main, signal.SIGINT]).start()
while True:
    pass
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize("at_once", [True, False])
def test_an_interrupt_that_waits_when_the_command_is_done_is_no_alarm(at_once: bool) -> None:
    program = f"""
import os, signal
from remora.cli.ctrl_c import interrupt_at_once, interrupt_outside_libraries
interrupt_outside_libraries()
signal.raise_signal(signal.SIGINT)  # in a library, for all that the handler knows
if {at_once}:
    interrupt_at_once()
    os._exit(0)
signal.signal(signal.SIGALRM, signal.SIG_DFL)  # as Python's end does
signal.pause()
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == (0 if at_once else -signal.SIGALRM)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    program = "\n".join(
        [
            "import signal",
            "from remora.cli.ctrl_c import interrupt_outside_libraries",
            "signal.signal(signal.SIGINT, signal.SIG_IGN)",
            "interrupt_outside_libraries()",
            "signal.raise_signal(signal.SIGINT)",
            "print('goes on')",
        ]
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "goes on\n"
