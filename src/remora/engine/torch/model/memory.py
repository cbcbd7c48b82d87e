"""Whether a model fits in memory, before any of it is read. Owns the estimate and the refusal.

Counted are the weights in the form that they are served in, and what a process with this engine takes
besides. Keys and values are not: their memory is taken as requests need it.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch

from remora.adapters.peft.base_shape import EMBEDDINGS, HEADS, OTHER_PARTS, read_entries
from remora.adapters.peft.experts import is_expert
from remora.adapters.peft.tensor_file import TensorEntry
from remora.errors import LoadFailed, RemoraError, listed

MOST_BESIDE_BYTES = 1_000_000_000  # buffers of a step, one matrix in two forms
LEAST_BESIDE_BYTES = 100_000_000
LAYER_BYTES = {"int8": 1.0, "int4": 0.5 + 8 / 64, "nf4": 0.5 + 4 / 64}  # for each number of a linear layer
IN_16_BITS = {"int4": HEADS, "nf4": HEADS}  # beside the embeddings
CGROUP = Path("/sys/fs/cgroup")


def check_fits(path: Path, dtype: torch.dtype, quantize: str, place: torch.device) -> None:
    """Raises LoadFailed with what is needed, what is free, and the forms that would fit."""
    try:
        entries = [
            entry
            for entry in read_entries(path)
            if not OTHER_PARTS & set(entry.name.split("."))  # which are not loaded
        ]
    except (RemoraError, OSError):
        return  # who reads the weights says what is wrong with them
    free = free_bytes(place)
    needed = needed_bytes(entries, dtype, quantize)
    if needed <= free:
        return
    smaller = {form: needed_bytes(entries, dtype, form) for form in LAYER_BYTES}
    fitting = [
        f'quantize = "{form}" under [serve] in remora.toml needs {_gb(size)}'
        for form, size in smaller.items()
        if size < needed and size <= free
    ]
    as_it_is = str(dtype).removeprefix("torch.") if quantize == "none" else quantize
    raise LoadFailed(
        f"the base model in {path} needs {_gb(needed)} in {as_it_is}, and {_gb(free)} are free",
        hint=listed([*fitting, "give the replica more memory"], separator="; or "),
    )


def needed_bytes(entries: list[TensorEntry], dtype: torch.dtype, quantize: str) -> float:
    """The memory of a process that serves these tensors."""
    weights = sum(
        math.prod(entry.shape) * (_layer_bytes(entry, quantize) or dtype.itemsize) for entry in entries
    )
    return weights + min(LEAST_BESIDE_BYTES + weights / 2, MOST_BESIDE_BYTES)


def free_bytes(place: torch.device) -> float:
    """What this process can take: of the device, or of the machine within the limit of its container."""
    if place.type == "cuda":
        return float(torch.cuda.mem_get_info(place)[0])
    return min(_available(), _left_of_limit())


def _layer_bytes(entry: TensorEntry, quantize: str) -> float | None:
    """For each number, where this is a matrix that is quantised."""
    module, _, last = entry.name.rpartition(".")
    is_layer = last == "weight" and len(entry.shape) == 2 and not is_expert(module)  # experts are fused
    if not is_layer or module.rpartition(".")[2] in EMBEDDINGS | IN_16_BITS.get(quantize, set()):
        return None
    return LAYER_BYTES.get(quantize)


def _available() -> float:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return float("inf")


def _left_of_limit() -> float:
    """Of a container's limit (cgroup v2); what it has in files can be taken back."""
    try:
        limit, used = (
            (CGROUP / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current")
        )
        stat = dict(
            line.split() for line in (CGROUP / "memory.stat").read_text(encoding="ascii").splitlines()
        )
        return float(limit) - float(used) + float(stat["inactive_file"]) + float(stat["active_file"])
    except (OSError, ValueError, KeyError):  # "max", or no such files
        return float("inf")


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
