"""Threads that compute beside the inference thread: none is left behind, nor is what they freed."""

from __future__ import annotations

import os
import platform
import threading
import time
from pathlib import Path

import pytest
import torch

from remora.engine.torch.own_thread import in_own_thread

TASKS = Path("/proc/self/task")
MEMORY = Path("/proc/self/statm")
USES_GLIBC = platform.libc_ver()[0] == "glibc"
BLOCKS, BLOCK_FLOATS = 50_000, 1_000  # 200 MB


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


def last_of_many() -> torch.Tensor:
    """What lies behind all that was freed, so that the allocator cannot just forget its end."""
    return [torch.ones(BLOCK_FLOATS) for _ in range(BLOCKS)][-1]


def resident_bytes() -> int:
    return int(MEMORY.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not USES_GLIBC, reason="only glibc is asked to give memory back")
def test_memory_that_was_freed_is_given_back() -> None:
    before = resident_bytes()
    kept = in_own_thread(last_of_many)
    assert resident_bytes() - before < BLOCKS * BLOCK_FLOATS * 4 / 2
    assert float(kept.sum()) == BLOCK_FLOATS


def test_what_fails_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        in_own_thread(lambda: 1 // 0)
