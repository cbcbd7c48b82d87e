"""Records what bitsandbytes makes of some matrices, into recorded/nf4.safetensors; run by `make test-bnb`.

    python -m tests.engine.record_nf4

It needs bitsandbytes 0.50.2, which no extra brings. For a scale that lies almost in the middle of two values
its C++ code for processors takes either, its portable code the nearest; so the scales' codes are recorded
from the portable code, which double precision selects.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

RECORDING = Path(__file__).with_name("recorded") / "nf4.safetensors"
MATRICES = {
    "large": ((96, 192), torch.bfloat16),  # 288 blocks: more than one of scales
    "part": ((5, 66), torch.float32),  # the last block is not whole
    "flat": ((3, 64), torch.float16),
}


def record() -> dict[str, torch.Tensor]:
    import bitsandbytes.functional as bnb

    recorded: dict[str, torch.Tensor] = {}
    generator = torch.Generator().manual_seed(5)
    for name, (shape, dtype) in MATRICES.items():
        weight = (torch.randn(shape, generator=generator) * 0.02).to(dtype)
        if name == "flat":
            weight[1] = 0
        packed, state = bnb.quantize_4bit(weight, compress_statistics=True, quant_type="nf4")
        _, scales = torch.ops.bitsandbytes.quantize_4bit.default(weight, 64, "nf4", torch.uint8)
        codes, _ = torch.ops.bitsandbytes.quantize_blockwise.default(
            (scales - scales.mean()).double(), bnb.create_dynamic_map(), 256
        )
        tensors = {"": packed, **state.as_dict(packed=True)}
        recorded[f"{name}.original"] = weight
        recorded[f"{name}.nearest_absmax"] = codes
        recorded[f"{name}.dequantized"] = bnb.dequantize_4bit(packed, state)
        recorded |= {f"{name}.weight.{key}".rstrip("."): value for key, value in tensors.items()}
    return {name: tensor.contiguous().clone() for name, tensor in recorded.items()}


if __name__ == "__main__":
    save_file(record(), RECORDING)
