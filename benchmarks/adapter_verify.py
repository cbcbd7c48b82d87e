"""Checks a 100 MB adapter, as `remora adapters verify` does, against reading its file; medians and a ratio.

    python benchmarks/adapter_verify.py [RUNS]

Measures both from the disk (each run first drops the file from the kernel's cache) and from memory. From the
disk the check should reach 70 % of the speed of a plain read; from memory the limit is SHA-256, which takes
1.2 to 1.8 GB/s per core with the processor's SHA instructions.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from remora.adapters.peft.inspect import inspect_adapter

RUNS = 9
RANK, WIDTH, MODULES = 16, 4096, 200  # 2 x 16 x 4096 x 4 bytes x 200: 105 MB
CHUNK_BYTES = 1 << 20


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        adapter = make_adapter(Path(folder))
        weights = adapter / "adapter_model.safetensors"
        size = weights.stat().st_size
        for place, cold in (("disk", True), ("memory", False)):
            read, check = [], []
            for _ in range(runs):  # alternating, so that both run under the same load
                read.append(timed(lambda: plain_read(weights), weights, cold=cold))
                check.append(timed(lambda: inspect_adapter("big", adapter, None), weights, cold=cold))
            fast, slow = (size / statistics.median(times) / 1e9 for times in (read, check))
            line = f"from {place}: read {fast:.2f} GB/s, check {slow:.2f} GB/s, ratio {slow / fast:.2f}"
            sys.stdout.write(f"{line}\n")


def make_adapter(root: Path) -> Path:
    random = np.random.default_rng(1)
    tensors = {}
    for number in range(MODULES):
        stem = f"base_model.model.model.layers.{number}.self_attn.q_proj"
        tensors[f"{stem}.lora_A.weight"] = random.standard_normal((RANK, WIDTH), dtype=np.float32)
        tensors[f"{stem}.lora_B.weight"] = random.standard_normal((WIDTH, RANK), dtype=np.float32)
    save_file(tensors, root / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": ["q_proj"]}
    (root / "adapter_config.json").write_text(json.dumps(config))
    descriptor = os.open(root / "adapter_model.safetensors", os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    return root


def plain_read(path: Path) -> None:
    buffer = bytearray(CHUNK_BYTES)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def timed(work: Callable[[], object], weights: Path, *, cold: bool) -> float:
    if cold:
        with weights.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
