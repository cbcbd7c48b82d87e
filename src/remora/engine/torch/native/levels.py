"""Which instructions of the processor native code uses. Owns the levels; knows nothing of what is computed.

A library is compiled for one level. The highest that the processor has is taken, unless REMORA_CPU_LEVEL
names a lower one, to compare levels on one machine.
"""

from __future__ import annotations

import os
from enum import IntEnum
from pathlib import Path

from remora.errors import InvalidInput, listed

VARIABLE = "REMORA_CPU_LEVEL"


class Level(IntEnum):
    """Each level has all of those before it."""

    SCALAR = 0  # plain C++: every processor
    AVX2 = 1
    AVX512 = 2
    AMX = 3


_ADDED_INSTRUCTIONS = {  # as /proc/cpuinfo spells them
    Level.AVX2: ("avx2", "fma", "f16c"),
    Level.AVX512: ("avx512f", "avx512bw", "avx512dq", "avx512vl"),
    Level.AMX: ("amx_tile", "amx_bf16", "amx_int8"),
}


def instructions(level: Level) -> list[str]:
    """All that a level needs of a processor."""
    return [name for step, names in _ADDED_INSTRUCTIONS.items() if step <= level for name in names]


def level_here() -> Level:
    """The highest level of this processor, or the lower one that the variable names.

    Raises InvalidInput where it names none.
    """
    name = os.environ.get(VARIABLE, "").upper()
    if name and name not in Level.__members__:
        known = listed((level.name.lower() for level in Level), most=len(Level))
        raise InvalidInput(
            f"{VARIABLE} is {name.lower()!r}, which is none of {known}",
            hint=f"unset {VARIABLE}, or set it to one of them",
            param=VARIABLE,
        )
    there = _instructions_here()
    highest = max(level for level in Level if there.issuperset(instructions(level)))
    return min(highest, Level[name]) if name else highest


def _instructions_here() -> set[str]:
    """What the processor has and the kernel lets processes use; nothing where that is not told."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())
