"""Folders as PEFT and other tools leave them: what PEFT loads is accepted, and answers as with PEFT."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tests.engine.tiny_models import TinyModel, a_request, answer, peft_warnings_ignored, write_model
from transformers import AutoModelForCausalLM

from remora.adapters.adapter import Adapter
from remora.adapters.peft.inspect import inspect_adapter, read_base
from remora.engine.torch.engine import TorchEngine
from remora.engine.torch.layers.linears import unify_linears
from remora.engine.torch.model.lora_manager import LoraSet
from remora.errors import AdapterRejected

WEIGHTS = "adapter_model.safetensors"
LLAMAS_SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PROMPT = (3, 5, 8, 13)

pytestmark = [  # of PEFT, about choices that the tests make on purpose
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning"),
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers` to `True`:UserWarning"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to True:UserWarning"),
    pytest.mark.filterwarnings("ignore:Could not find a config file:UserWarning"),
]


def train(base: Path, folder: Path, **lora: Any) -> Path:
    """An adapter with random weights, saved as PEFT saves it by default."""
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with peft_warnings_ignored():
        trained = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, **lora))
    for key, parameter in trained.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(parameter, std=0.2)
    trained.save_pretrained(folder)
    return folder


async def answers(base: Path, adapter: Adapter) -> list[int]:
    engine = TorchEngine.load(base, dtype="float32")
    try:
        assert engine.load_adapter(adapter).modules == len(adapter.modules)
        return await answer(engine, a_request(PROMPT, adapter=adapter, max_tokens=12))
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("architecture", "lora"),
    [
        ("phi3", {"target_modules": LLAMAS_SEVEN}),
        ("llama", {"target_modules": LLAMAS_SEVEN, "exclude_modules": ["layers.0.mlp.down_proj", "k_proj"]}),
        ("llama", {"target_modules": "all-linear", "exclude_modules": r".*layers\.1\.mlp.*"}),
        ("llama", {"target_modules": ["q_proj", "lm_head"]}),
        ("llama", {"target_modules": ["up_proj"], "layers_to_transform": 1, "layers_pattern": "layers"}),
        ("qwen2", {"target_modules": ["v_proj"], "layers_to_transform": [0]}),
        ("qwen3", {"target_modules": ["o_proj"], "fan_in_fan_out": True}),
        ("gemma", {"target_modules": ["q_proj", "lm_head"]}),
        ("gpt_neox", {"target_modules": ["query_key_value", "dense_4h_to_h"]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
async def test_what_peft_loads_is_accepted_and_answers_as_with_peft(
    tmp_path: Path, architecture: str, lora: dict[str, Any]
) -> None:
    base = write_model(tmp_path / "base", architecture, head_dim=12)
    folder = train(base, tmp_path / "lora", **lora)
    tiny = TinyModel(base)
    tiny.adapters["lora"] = inspect_adapter("lora", folder, read_base(base))
    assert await answers(base, tiny.adapters["lora"]) == tiny.reference("lora", PROMPT, 12)


def test_targets_that_the_base_lacks_are_told(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", "phi3")
    folder = train(base, tmp_path / "lora", target_modules=LLAMAS_SEVEN)
    adapter = inspect_adapter("lora", folder, read_base(base))
    assert {module.name.rpartition(".")[2] for module in adapter.modules} == {"o_proj", "down_proj"}
    assert any("gate_proj, k_proj, q_proj, up_proj, v_proj" in remark for remark in adapter.remarks)


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.replace(".weight", ".default.weight"),
        lambda name: name.replace("base_model.model.", "base_model.model._orig_mod."),
        lambda name: f"_orig_mod.{name}",
        lambda name: name.replace(".self_attn", "._checkpoint_wrapped_module.self_attn"),
        lambda name: name.replace("model.layers", "model.language_model.layers"),
        lambda name: name.replace("model.model.layers", "model.language_model.model.layers"),
    ],
    ids=["default", "compiled", "compiled-outside", "checkpointed", "language-inside", "language-outside"],
)
async def test_other_spellings_of_the_same_weights_answer_alike(
    tmp_path: Path, rename: Callable[[str], str]
) -> None:
    base = write_model(tmp_path / "base", "llama")
    plain = train(base, tmp_path / "plain", target_modules=["q_proj", "down_proj"])
    renamed = Path(shutil.copytree(plain, tmp_path / "renamed"))
    save_file(
        {rename(name): tensor for name, tensor in load_file(plain / WEIGHTS).items()}, renamed / WEIGHTS
    )
    tiny = TinyModel(base)
    tiny.adapters["plain"] = inspect_adapter("plain", plain, read_base(base))
    adapter = inspect_adapter("renamed", renamed, read_base(base))
    assert [module.name for module in adapter.modules] == [
        module.name for module in tiny.adapters["plain"].modules
    ]
    assert await answers(base, adapter) == tiny.reference("plain", PROMPT, 12)


MIXTURE = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}


@pytest.mark.parametrize(
    ("architecture", "config"),
    [
        ("llama", {}),
        ("llama", {"tie_word_embeddings": True}),
        ("phi3", {}),
        ("gemma", {"head_dim": 12}),
        ("gemma3_text", {}),
        ("cohere", {}),
        ("gpt2", {"n_embd": 48, "n_layer": 2, "n_head": 4}),
        ("falcon", {}),
        ("gpt_neox", {}),
        ("gpt_bigcode", {"n_embd": 48, "n_layer": 2, "n_head": 4}),
        ("mixtral", MIXTURE),
        ("qwen2_moe", MIXTURE),
        ("qwen3_moe", MIXTURE),
        ("olmoe", MIXTURE),
        ("granitemoe", MIXTURE),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_the_linear_layers_of_a_base_are_those_of_the_engine(
    tmp_path: Path, architecture: str, config: dict[str, Any]
) -> None:
    """What the inspection reads from headers is what an adapter meets when it is loaded."""
    base = write_model(tmp_path / "base", architecture, **config)
    model = AutoModelForCausalLM.from_pretrained(base)
    unify_linears(model)
    projections = LoraSet(model).projections
    engines = {
        name: (part.stop - part.start, projection.in_features)
        for projection in projections
        for name, part in zip(projection.names, projection.parts, strict=True)
    }
    shape = read_base(base)
    assert dict(shape.modules) == engines
    assert shape.head in engines


def test_what_can_be_adapted_is_what_the_engine_adapts(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", "qwen3_moe", **MIXTURE)
    expert = "model.layers.0.mlp.experts.1.up_proj"
    assert read_base(base, engine="vllm").find(expert) == expert
    torch_base = read_base(base, engine="torch")
    assert torch_base.find(expert) == expert
    assert expert not in torch_base.modules
    assert torch_base.parameters["model.layers.0.mlp.experts.gate_up_proj"] == (4, 32, 48)
    assert torch_base.size_of("model.embed_tokens") == (48, 260)


@pytest.mark.parametrize(
    ("architecture", "config", "module", "named"),
    [
        ("granitemoe", MIXTURE, "model.layers.0.block_sparse_moe.router.layer", "the router of a mixture"),
        ("opt", {"ffn_dim": 96, "word_embed_proj_dim": 48}, "model.decoder.embed_positions", "an embedding"),
    ],
)
def test_what_the_engine_cannot_adapt_is_refused_before_by_name(
    tmp_path: Path, architecture: str, config: dict[str, Any], module: str, named: str
) -> None:
    base = write_model(tmp_path / "base", architecture, **config)
    folder = tmp_path / "lora"
    folder.mkdir()
    save_file(
        {
            f"base_model.model.{module}.lora_A.weight": torch.ones(2, 48),
            f"base_model.model.{module}.lora_B.weight": torch.ones(16, 2),
        },
        folder / WEIGHTS,
    )
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": [module.rpartition(".")[2]]}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(AdapterRejected, match=rf"{module}: {named}"):
        inspect_adapter("lora", folder, read_base(base))
    engine = TorchEngine.load(base, dtype="float32")
    try:
        with pytest.raises(AdapterRejected, match="no linear layer"):
            engine.load_adapter(inspect_adapter("lora", folder, None))
    finally:
        engine.close()
