"""Work with tensors outside the inference thread. Owns the thread that it is done in, and what that leaves.

Each thread that computes gets a team of OpenMP threads for itself, and the team stays as long as the thread.
Where the teams together have more threads than the machine has cores, libgomp lets all of them sleep as soon
as they wait, and waking them at every small product took a third of a decode step (16 requests with 8
adapters on 2 cores: 155 ms instead of 99). So nobody but the inference thread may keep a team.

Work that reads weights frees as much as it keeps, and glibc holds on to that, for a next one.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from remora.engine.torch.cache.pages import give_back_free_memory

Result = TypeVar("Result")


def in_own_thread(work: Callable[[], Result]) -> Result:
    """Do it in a thread that ends with it, and its team with the thread; give back the memory that it freed.

    Raises what the work raises.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="remora-load") as thread:
        result = thread.submit(work).result()
    give_back_free_memory()
    return result
