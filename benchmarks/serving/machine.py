"""What the machine can do at most: its processor, cores and how fast it reads memory."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from remora.engine.torch.native.levels import VARIABLE

READ_BYTES = 1 << 30
READS = 5


@dataclass(frozen=True, slots=True)
class Machine:
    """`weights_bytes` is what every decode step has to read at least, in bf16."""

    processor: str
    cores: int
    read_bytes_per_second: float
    weights_bytes: int

    @property
    def bound_tokens_per_second(self) -> float:
        """One request cannot be decoded faster in bf16: every token reads all weights once."""
        return self.read_bytes_per_second / self.weights_bytes


def describe(models: Path) -> Machine:
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        read_bytes_per_second=_read_bandwidth(),
        weights_bytes=(models / "base" / "model.safetensors").stat().st_size,
    )


def _processor() -> str:
    """Its name with family and model, since sellers give several kinds one name, and a cap of its level."""
    found: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    numbers = f"family {found.get('cpu family', '?')}, model {found.get('model', '?')}"
    cap = os.environ.get(VARIABLE, "")
    return f"{found.get('model name', 'unknown')} ({numbers}{f', capped to {cap}' if cap else ''})"


def _read_bandwidth() -> float:
    """The best of a few sums over a gibibyte, by all cores."""
    import torch

    values = torch.ones(READ_BYTES // 4, dtype=torch.float32)
    best = 0.0
    for _ in range(READS):
        begun = time.perf_counter()
        values.sum()
        best = max(best, READ_BYTES / (time.perf_counter() - begun))
    return best
