"""The names of tensors in PEFT's `adapter_model.safetensors`. Knows names only, no shapes and no files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

WEIGHTS_FILE = "adapter_model.safetensors"
# What PEFT saves beside the pairs where training resized the vocabulary (`save_embedding_layers`).
RESIZED = r"(?:embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|lm_head|embed_out)"
COPY_NAME = re.compile(rf"base_model\.model\.(?P<tensor>(?:.+\.)?{RESIZED}\.(?:weight|bias))")
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


def base_tensor_of(name: str) -> str | None:
    """The base model's tensor that a tensor of an adapter repeats, by its name; None for anything else."""
    match = COPY_NAME.fullmatch(name)
    return match["tensor"] if match else None
