"""The model as transformers and PEFT load it, for the peers that are built from those two."""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM


def load(models: str, adapters: int) -> Any:
    """The base model in bf16 with its first `adapters` adapters."""
    model: Any = AutoModelForCausalLM.from_pretrained(f"{models}/base", dtype=torch.bfloat16)
    for number in range(adapters):
        path, name = f"{models}/adapters/a{number}", f"a{number}"
        if number == 0:
            model = PeftModel.from_pretrained(model, path, adapter_name=name)
        else:
            model.load_adapter(path, adapter_name=name)
    return model.eval()
