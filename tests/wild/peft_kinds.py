"""One tiny adapter of every kind that PEFT can save, made by PEFT itself, and what becomes of it.

Owns what a kind is and its making; the kinds are in `peft_table.py`.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tests.engine.tiny_models import write_model
from transformers import AutoModelForCausalLM

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
BASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "llama": ("llama", {}),
    "tied": ("llama", {"tie_word_embeddings": True}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {}),
    "gemma": ("gemma3_text", {"tie_word_embeddings": True}),
    "neox": ("gpt_neox", {}),
    "mixtral": ("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 12}),
    "qwen-moe": (
        "qwen3_moe",
        {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 12},
    ),
    "gpt-oss": ("gpt_oss", {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 16}),
    "gpt2": ("gpt2", {"n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 256}),
}
RESIZED = 262
INNER = {"block_sparse_moe": 96, "mlp": 16}  # of an expert, by the mixture's name
Edit = Callable[[Path], None]

WITH_OTHERS = "in the steps of all others"
OWN_PASS = "in a pass of its own, by modules"


@dataclass(frozen=True)
class Kind:
    """What PEFT is asked for, on which base. `edit` makes of the saved folder what other tools leave.

    `of` says which model is the reference: that of the saved folder, of the edited one, or what was trained,
    where PEFT makes something else of the folder. `refused` is in the refusal and `way_out` in its hint.
    """

    base: str
    lora: Mapping[str, Any] = field(default_factory=dict)
    config: Callable[[], Any] | None = None
    prepare: Callable[[Any], None] | None = None
    edit: Edit | None = None
    of: str = "saved"
    resized: bool = False
    is_converted: bool = False
    how: str = WITH_OTHERS
    refused: str = ""
    way_out: str = ""

    def peft_config(self) -> Any:
        if self.config is not None:
            return self.config()
        return LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], **self.lora})


@contextmanager
def quiet() -> Iterator[None]:
    """PEFT warns of most of these kinds, which are what is wanted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def load_base(base: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)


def make_base(root: Path, name: str) -> Path:
    architecture, settings = BASES[name]
    return write_model(root / name, architecture, **settings)


def make(kind: Kind, base: Path, folder: Path) -> Any:
    """Train at random, save with PEFT, and edit. Returns the reference: a model in float32."""
    torch.manual_seed(11)
    with quiet():
        model = _with_adapter(kind, base)
        if kind.is_converted:
            _save_start(model, folder / "start")
        train(model)
        if kind.prepare is not None:
            kind.prepare(model)
        start = {"path_initial_model_for_weight_conversion": str(folder / "start")}
        saved = folder / "saved"
        model.save_pretrained(saved, **(start if kind.is_converted else {}))
        reference = model.eval() if kind.of == "trained" else None
        if kind.of == "saved" and not kind.refused:
            reference = PeftModel.from_pretrained(load_base(base), saved).eval()
        if kind.edit is not None:
            kind.edit(saved)
        if kind.of == "edited":
            reference = PeftModel.from_pretrained(load_base(base), saved).eval()
    for file in saved.iterdir():
        shutil.move(file, folder / file.name)
    return reference


def train(model: Any) -> None:
    """Random numbers wherever training could have changed one."""
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        noise = torch.randn_like(parameter)
        with torch.no_grad():
            if "magnitude" in name:
                parameter.mul_(1 + 0.3 * noise)
            else:
                parameter.add_((0.02 if "lora_A" in name else 0.2) * noise)


def logprobs(model: Any, prompt: list[int], answer: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=torch.tensor([[*prompt, *answer]])).logits
    return logits[0, len(prompt) - 1 : -1].log_softmax(-1)


def _with_adapter(kind: Kind, base: Path) -> Any:
    model = load_base(base)
    if kind.resized:
        model.resize_token_embeddings(RESIZED)
    config = kind.peft_config()
    config.task_type = config.task_type or "CAUSAL_LM"
    return get_peft_model(model, config)


def _save_start(model: Any, folder: Path) -> None:
    """As PEFT's guide has it: the untrained adapter, under a start that is not made again."""
    start = model.peft_config["default"].init_lora_weights
    model.peft_config["default"].init_lora_weights = True
    model.save_pretrained(folder)
    model.peft_config["default"].init_lora_weights = start


def renamed(old: str, new: str) -> Edit:
    def edit(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        save_file({name.replace(old, new): tensor for name, tensor in tensors.items()}, folder / WEIGHTS)

    return edit


def emptied(folder: Path) -> None:
    """What DeepSpeed leaves where the weights were not gathered."""
    tensors = load_file(folder / WEIGHTS)
    save_file({name: torch.zeros(0) for name in tensors}, folder / WEIGHTS)


def pruned(model: Any) -> None:
    """AdaLoRA after its last allocation: half of the rank, and one module without any."""
    names = [name for name, module in model.base_model.model.named_modules() if hasattr(module, "lora_E")]
    masks = {f"{name}.lora_E": [True, False, True, False] for name in names}
    masks[f"{names[0]}.lora_E"] = [False] * 4
    model.peft_config["default"].rank_pattern = masks


def one_by_one(mixture: str, layers: tuple[str, str, str]) -> Edit:
    """Experts with a pair for each layer of each, as a training with transformers 4 saved them."""

    def edit(folder: Path) -> None:
        gate, down, up = layers
        inner = INNER[mixture]
        sizes = {gate: (inner, 48), up: (inner, 48), down: (48, inner)}
        tensors = {
            name: tensor for name, tensor in load_file(folder / WEIGHTS).items() if ".experts." not in name
        }
        torch.manual_seed(5)
        for layer in range(2):
            for expert in range(4):
                for name, (out, size) in sizes.items():
                    key = f"base_model.model.model.layers.{layer}.{mixture}.experts.{expert}.{name}"
                    tensors[f"{key}.lora_A.weight"] = torch.randn(4, size) * 0.2
                    tensors[f"{key}.lora_B.weight"] = torch.randn(out, 4) * 0.2
        save_file(tensors, folder / WEIGHTS)
        config = json.loads((folder / CONFIG).read_text())
        config |= {"target_modules": ["q_proj", *layers], "target_parameters": None}
        (folder / CONFIG).write_text(json.dumps(config))

    return edit
