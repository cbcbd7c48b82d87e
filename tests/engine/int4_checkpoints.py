"""Tiny checkpoints in GPTQ and AWQ, written by what their formats say and not by what reads them.

Bits are put where the formats have them, one code after the other, with numpy. Beside each lies the same
model with the numbers that the codes stand for, in float32, for PEFT.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tests.engine.tiny_models import TinyModel, write_tokenizer
from transformers import AutoModelForCausalLM

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


@dataclass(frozen=True)
class Kind:
    """How a checkpoint is written; `group` -1: a row is one."""

    method: str
    group: int
    version: str = ""
    by_activation: bool = False
    symmetric: bool = False

    def config(self) -> dict[str, object]:
        said: dict[str, object] = {"quant_method": self.method, "bits": 4, "group_size": self.group}
        if self.method == "awq":
            return said | {"version": self.version, "zero_point": True, "modules_to_not_convert": None}
        return said | {
            "checkpoint_format": self.version,
            "desc_act": self.by_activation,
            "sym": self.symmetric,
        }


def words_of(codes: np.ndarray, places: tuple[int, ...]) -> np.ndarray:
    """Eight codes, code places[i] at the bits from 4 i on: (rows, n) as (rows, n / 8)."""
    words = np.zeros((codes.shape[0], codes.shape[1] // 8), dtype=np.uint32)
    for word in range(words.shape[1]):
        for i, place in enumerate(places):
            words[:, word] |= codes[:, 8 * word + place].astype(np.uint32) << np.uint32(4 * i)
    return words.view(np.int32)


def written(kind: Kind, weight: np.ndarray, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The tensors of a matrix (out, in) by their names, and the numbers that they stand for."""
    outputs, inputs = weight.shape
    size = inputs if kind.group == -1 else kind.group
    order = np.arange(inputs)
    if kind.by_activation:
        order = np.random.default_rng(seed).permutation(inputs)
    group_of = np.empty(inputs, dtype=np.int32)
    group_of[order] = np.arange(inputs) // size
    scales = np.empty((outputs, inputs // size), dtype=np.float16)
    zeros = np.empty(scales.shape, dtype=np.uint32)
    for group in range(scales.shape[1]):
        numbers = weight[:, group_of == group]
        lowest, highest = np.minimum(numbers.min(1), 0), np.maximum(numbers.max(1), 0)
        scales[:, group] = (highest - lowest) / 15
        zeros[:, group] = 8 if kind.symmetric else np.round(-lowest / scales[:, group])
        zeros[0, group] = 0  # which GPTQ writes as 15
    codes = np.clip(np.round(weight / scales[:, group_of].astype(np.float64)) + zeros[:, group_of], 0, 15)
    numbers = (codes - zeros[:, group_of]) * scales[:, group_of].astype(np.float64)
    straight = tuple(range(8))
    if kind.method == "awq":
        tensors = {"qweight": words_of(codes.T, AWQ_ORDER), "qzeros": words_of(zeros.T, AWQ_ORDER)}
    else:
        stored = (zeros - 1) % 16 if kind.version == "gptq" else zeros
        tensors = {
            "qweight": np.ascontiguousarray(words_of(codes, straight).T),
            "qzeros": words_of(stored.T, straight),
            "g_idx": group_of,
        }
    return tensors | {"scales": np.ascontiguousarray(scales.T)}, numbers.astype(np.float32)


class Int4Base:
    """A tiny base in a kind of 4 bits, and dequantised for PEFT; with an adapter."""

    def __init__(self, folder: Path, plain: Path, kind: Kind, *, whole: str = "") -> None:
        """The layer named `whole` is left in 16 bits."""
        self.path, self.dequantized = folder / f"x-{kind.method}", TinyModel(folder / "dequantized")
        model = AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32)
        tensors: dict[str, torch.Tensor] = {}
        for seed, (name, parameter) in enumerate(model.state_dict().items()):
            module = name.removesuffix(".weight")
            if parameter.ndim != 2 or "embed" in name or "lm_head" in name or module == whole:
                tensors[name] = parameter
                continue
            parts, numbers = written(kind, parameter.double().numpy(), seed)
            tensors |= {f"{module}.{part}": torch.from_numpy(each) for part, each in parts.items()}
            parameter.copy_(torch.from_numpy(numbers))
        model.save_pretrained(self.dequantized.path)
        self.adapter = self.dequantized.add_adapter("a", r=4, lora_alpha=16, target_modules="all-linear")
        model.config.quantization_config = kind.config()
        model.config.save_pretrained(self.path)
        write_tokenizer(self.path)
        save_file(tensors, self.path / "model.safetensors", metadata={"format": "pt"})
