"""How often Python looks for garbage that refers to itself. Owns the thresholds of our processes."""

from __future__ import annotations

import gc

SELDOM = (100_000, 20, 100)


def collect_seldom() -> None:
    """Of this process, from now on: while torch and transformers are imported there is little to find.

    With Python's own thresholds a replica spends a fifth of its imports on looking.
    """
    gc.set_threshold(*SELDOM)


def keep_loaded() -> None:
    """What is there now stays: no later collection looks at it, so a stream does not pause for one."""
    gc.collect()
    gc.freeze()
