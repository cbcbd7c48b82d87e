"""Builders of LoRA folders and base models on disk, with the files that PEFT and transformers write."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

Tensors = dict[str, NDArray[np.float32]]
MakeFolder = Callable[..., Path]

HIDDEN, INNER, LAYERS, VOCAB = 8, 12, 2, 16
SIZES = {  # (out, in) of a little Llama's linear modules
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.v_proj": (HIDDEN // 2, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}


def lora_tensors(targets: tuple[str, ...], rank: int, seed: int = 0) -> Tensors:
    """A pair for each target in each layer."""
    random = np.random.default_rng(seed)
    tensors: Tensors = {}
    for layer in range(LAYERS):
        for target in targets:
            out_features, in_features = SIZES[target]
            prefix = f"base_model.model.model.layers.{layer}.{target}"
            a = random.standard_normal((rank, in_features), dtype=np.float32)
            b = random.standard_normal((out_features, rank), dtype=np.float32)
            tensors |= {f"{prefix}.lora_A.weight": a, f"{prefix}.lora_B.weight": b}
    return tensors


@pytest.fixture
def make_adapter(tmp_path: Path) -> MakeFolder:
    """`make_adapter(name, targets=…, rank=…, tensors=…, **config)`: a folder."""

    def make(
        name: str = "tone",
        *,
        targets: tuple[str, ...] = ("self_attn.q_proj", "self_attn.v_proj"),
        rank: int = 4,
        tensors: Tensors | None = None,
        metadata: Mapping[str, str] | None = None,
        **config: object,
    ) -> Path:
        folder = tmp_path / "adapters" / name
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "r": rank,
            "lora_alpha": 8,
            "target_modules": sorted({target.rpartition(".")[2] for target in targets}),
            "base_model_name_or_path": "tone-base",
            **config,
        }
        (folder / "adapter_config.json").write_text(json.dumps(document))
        weights = lora_tensors(targets, rank) if tensors is None else tensors
        save_file(weights, folder / "adapter_model.safetensors", metadata=dict(metadata or {}) or None)
        return folder

    return make


@pytest.fixture
def make_base(tmp_path: Path) -> MakeFolder:
    """`make_base(name, shards=…, **config)`: a checkpoint folder with real headers."""

    def make(name: str = "base", *, shards: int = 1, **config: object) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        document = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], **config}
        (folder / "config.json").write_text(json.dumps(document))
        tensors: Tensors = {"model.embed_tokens.weight": np.zeros((VOCAB, HIDDEN), np.float32)}
        tensors["model.norm.weight"] = np.zeros(HIDDEN, np.float32)
        for layer in range(LAYERS):
            for module, size in SIZES.items():
                tensors[f"model.layers.{layer}.{module}.weight"] = np.zeros(size, np.float32)
        _save(folder, tensors, shards)
        return folder

    return make


def _save(folder: Path, tensors: Tensors, shards: int) -> None:
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return
    names = sorted(tensors)
    weight_map: dict[str, str] = {}
    for number in range(shards):
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[number::shards]}
        save_file(part, folder / file)
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
