"""Threads that compute beside the inference thread: none is left behind."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import torch

from remora.engine.torch.own_thread import in_own_thread

TASKS = Path("/proc/self/task")


def product() -> tuple[int, int]:
    """The thread it ran in, and how many the process had meanwhile; large enough for two to share it."""
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.randn(512, 512) @ torch.randn(512, 512)
    torch.set_num_threads(usual)
    return threading.get_ident(), len(list(TASKS.iterdir()))


@pytest.mark.skipif(not TASKS.exists(), reason="there is no /proc here that lists threads")
def test_a_team_of_threads_goes_with_the_work() -> None:
    before = len(list(TASKS.iterdir()))
    thread, meanwhile = in_own_thread(product)
    assert thread != threading.get_ident()
    assert meanwhile >= before + 2  # the thread itself, and one more in its team
    deadline = time.monotonic() + 20
    while len(list(TASKS.iterdir())) > before:  # the team ends by itself, a moment after its thread
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_what_fails_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        in_own_thread(lambda: 1 // 0)
