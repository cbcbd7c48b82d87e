"""Whether a base model can run here, seen without its weights: its layers are made and called without memory.

Knows what a model is, and nothing of what it computes: that is proven when it is loaded (`model_check`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from remora.engine.torch.layers.linears import unify_linears
from remora.engine.torch.layers.own_attention import exchange_attention
from remora.engine.torch.model.checkpoint import read_config
from remora.engine.torch.model.lora_manager import LoraSet
from remora.engine.torch.model.model_check import known_reason, side_by_side
from remora.project.architectures import unsupported


def check_without_weights(path: Path) -> None:
    """Refuse a model for what it is, in the words of `load_model`; raises what that raises."""
    try_layers(path, read_config(path))


@torch.inference_mode()
def try_layers(path: Path, config: Any) -> None:
    """Refuse what the layers of a configuration do that is not computed here.

    What fails for want of numbers (experts are chosen by them) says nothing, and is left to loading.
    """
    model = None
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
        unify_linears(model)
        exchange_attention(model)
        side_by_side(model, LoraSet(model), adapters=(None,))
    except Exception as error:  # transformers raises whatever its parts raise
        if what := known_reason(error, model):
            raise unsupported(path, config.model_type, what) from error
    finally:
        transformers_logging.set_verbosity(verbosity)
