"""Threads that compute beside the inference thread: none is left behind, nor is what they freed.

Threads and memory are counted in a process that does nothing else: other tests leave some of both.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from remora.engine.torch.own_thread import in_own_thread

ROOT = Path(__file__).parents[2]
TASKS = Path("/proc/self/task")
MEMORY = Path("/proc/self/statm")
USES_GLIBC = platform.libc_ver()[0] == "glibc"
BLOCKS, BLOCK_FLOATS = 50_000, 1_000  # 200 MB
ENDS_WITHIN_SECONDS = 100


@pytest.mark.skipif(not TASKS.exists(), reason="there is no /proc here that lists threads")
def test_a_team_of_threads_goes_with_the_work() -> None:
    in_own_process(_check_threads)


def _check_threads() -> None:
    torch.set_num_threads(2)  # the first call makes a pool for the whole process
    before = thread_count()
    thread, meanwhile = in_own_thread(product)
    assert thread != threading.get_ident()
    assert meanwhile >= before + 2  # the thread itself, and one more in its team
    deadline = time.monotonic() + ENDS_WITHIN_SECONDS
    while thread_count() > before:  # the team ends by itself, a moment after its thread
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.skipif(not USES_GLIBC, reason="only glibc is asked to give memory back")
def test_memory_that_was_freed_is_given_back() -> None:
    in_own_process(_check_memory)


def _check_memory() -> None:
    before = resident_bytes()
    kept, most = in_own_thread(last_of_many)
    assert most - before > BLOCKS * BLOCK_FLOATS * 4 / 2
    assert resident_bytes() - before < (most - before) / 2
    assert float(kept.sum()) == BLOCK_FLOATS


def test_what_fails_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        in_own_thread(lambda: 1 // 0)


def product() -> tuple[int, int]:
    """The thread it ran in, and how many the process had meanwhile; large enough for two to share it."""
    torch.randn(512, 512) @ torch.randn(512, 512)
    return threading.get_ident(), thread_count()


def last_of_many() -> tuple[torch.Tensor, int]:
    """What lies behind all that was freed, so that the allocator cannot just forget its end; and the most."""
    many = [torch.ones(BLOCK_FLOATS) for _ in range(BLOCKS)]
    return many[-1], resident_bytes()


def thread_count() -> int:
    return len(list(TASKS.iterdir()))


def resident_bytes() -> int:
    return int(MEMORY.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def in_own_process(check: Callable[[], None]) -> None:
    """Run a function of this file in a new interpreter; what it asserts is asserted here."""
    program = f"from tests.engine.{Path(__file__).stem} import {check.__name__} as check; check()"
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
