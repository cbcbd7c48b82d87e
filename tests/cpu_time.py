"""The processor time of another process."""

from __future__ import annotations

import os
import time
from pathlib import Path


def can_be_read() -> bool:
    """Whether this system tells it."""
    return Path("/proc/self/stat").exists()


def share_within(pid: int, seconds: float) -> float:
    """The share of one core that a process uses in a span of time from now."""
    before = _seconds(pid)
    time.sleep(seconds)  # the measured span itself, not a wait for something
    return (_seconds(pid) - before) / seconds


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
