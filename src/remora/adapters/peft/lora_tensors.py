"""The names of tensors in PEFT's `adapter_model.safetensors`. Knows names only, no shapes and no files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

WEIGHTS_FILE = "adapter_model.safetensors"
EMBEDDINGS = frozenset({"embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings"})
HEADS = frozenset({"lm_head", "embed_out", "output_projection"})
TOKEN_MODULES = EMBEDDINGS | HEADS
TOKENS_DELTA = "token_adapter.trainable_tokens_delta"  # the rows of `trainable_token_indices`
# "default" is the name of the adapter in training, which PEFT takes off when it saves, and others do not.
PEFT_NAME = re.compile(
    r"base_model\.model\.(?P<module>.+?)(?P<nesting>(?:\.base_layer)*)"
    r"\.lora_(?P<part>A|B|E|embedding_A|embedding_B|magnitude_vector)(?:\.default)?(?P<kind>|\.weight|\.bias)"
)
# Modules that training wraps around the model's own: torch.compile, FSDP and checkpointing, by attribute.
WRAPPERS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})


NESTED = ".base_layer"
Part = Literal["A", "B", "E", "magnitude", "bias"]

_PARTS: dict[tuple[str, str], Part] = {
    ("A", ".weight"): "A",
    ("B", ".weight"): "B",
    ("B", ".bias"): "bias",
    ("A", ""): "A",  # AdaLoRA's three are parameters of their own, and so are an embedding's two
    ("B", ""): "B",
    ("E", ""): "E",
    ("embedding_A", ""): "A",
    ("embedding_B", ""): "B",
    ("magnitude_vector", ""): "magnitude",
    ("magnitude_vector", ".weight"): "magnitude",
}


@dataclass(frozen=True, slots=True)
class LoraTensorName:
    """A part of one module's update, and the module inside the model that was trained.

    `depth`: PEFT puts a wrapper around a module for each of its parameters that it adapts, and this tensor is
    that of the wrapper with so many around it.
    """

    module: str
    part: Part
    depth: int = 0

    @property
    def wrapper(self) -> str:
        """The name of what was put around the module: one for each of its updates."""
        return self.module + NESTED * self.depth


def parse_tensor_name(name: str) -> LoraTensorName | None:
    """What a tensor is to its module, or None where it is no part of a LoRA."""
    match = PEFT_NAME.fullmatch(unwrapped(name))
    part = _PARTS.get((match["part"], match["kind"])) if match else None
    if match is None or part is None:
        return None
    return LoraTensorName(match["module"], part, match["nesting"].count(NESTED))


def unwrapped(name: str) -> str:
    """The name without the wrappers that were around modules while the adapter was saved."""
    if not any(wrapper in name for wrapper in WRAPPERS):
        return name
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)
