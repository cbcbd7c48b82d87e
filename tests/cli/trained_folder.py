"""Folders as training leaves them: a base model of one layer, adapters for it. They answer nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HIDDEN = 8
MODULE = "model.layers.0.self_attn.q_proj"


def make_base(root: Path, folder: str = "base") -> Path:
    path = root / folder
    path.mkdir(parents=True)
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 4}
    (path / "config.json").write_text(json.dumps(config))
    (path / "tokenizer.json").write_text("{}")
    save_file({f"{MODULE}.weight": np.zeros((HIDDEN, HIDDEN), np.float32)}, path / "model.safetensors")
    return path


def make_adapter(root: Path, name: str, *, base: str = "tone-base", width: int = HIDDEN) -> Path:
    path = root / "adapters" / name
    path.mkdir(parents=True)
    config = {
        "peft_type": "LORA",
        "r": 2,
        "lora_alpha": 4,
        "target_modules": ["q_proj"],
        "base_model_name_or_path": base,
    }
    (path / "adapter_config.json").write_text(json.dumps(config))
    save_file(
        {
            f"base_model.model.{MODULE}.lora_A.weight": np.ones((2, width), np.float32),
            f"base_model.model.{MODULE}.lora_B.weight": np.ones((width, 2), np.float32),
        },
        path / "adapter_model.safetensors",
    )
    return path
