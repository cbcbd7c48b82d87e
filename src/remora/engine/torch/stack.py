"""What torch computes with on this machine: version, number format, the kind of processor."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from remora.engine.base import Stack


def stack_of(
    dtype: torch.dtype, device: torch.device, quantize: str = "none", *, native: bool = False
) -> Stack:
    """The stack of a model of this number format on this device, with weights in another one or `none`."""
    return Stack(
        engine=f"torch {torch.__version__}" + (", native layers" if native else ""),
        dtype=str(dtype).removeprefix("torch.") + ("" if quantize == "none" else f" {quantize} weights"),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu {_processor()}",
    )


def _processor() -> str:
    """Name and vector instructions: kernels are chosen by the second, the first is for people."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    return f"{name} {torch.backends.cpu.get_cpu_capability()}"
