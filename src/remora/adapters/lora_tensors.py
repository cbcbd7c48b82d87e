"""The names of tensors in PEFT's `adapter_model.safetensors`. Knows names only, no shapes and no files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

WEIGHTS_FILE = "adapter_model.safetensors"
PEFT_NAME = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")


@dataclass(frozen=True, slots=True)
class LoraTensorName:
    """One half of a pair: the module inside the base model, and whether it is A or B."""

    module: str
    side: Literal["A", "B"]


def parse_tensor_name(name: str) -> LoraTensorName | None:
    """The half of a LoRA pair that a tensor is, or None where it is something else."""
    match = PEFT_NAME.fullmatch(name)
    if match is None:
        return None
    return LoraTensorName(match["module"], "A" if match["side"] == "A" else "B")
