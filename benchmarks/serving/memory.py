"""What a process and its children have resident, from /proc. Linux only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

RESET_PEAK = "5"  # proc(5), clear_refs: the peak becomes what is resident now


def resident_mib(pid: int) -> float:
    """What a process that lives holds itself, now."""
    return _field_mib(pid, "VmRSS")


def peak_mib(pid: int) -> float:
    """The most that this process and its children had resident, as the sum of their peaks."""
    return sum(_field_mib(member, "VmHWM") for member in _family(pid))


def forget_peak(pid: int) -> None:
    """Let the peak count from now on."""
    for member in _family(pid):
        with suppress(OSError):
            Path(f"/proc/{member}/clear_refs").write_text(RESET_PEAK)


def _field_mib(pid: int, name: str) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _family(pid: int) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*"):
        member = int(path.name)
        if member == pid or pid in _ancestors(member):
            yield member


def _ancestors(pid: int) -> set[int]:
    found: set[int] = set()
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
        found.add(pid)
    return found
