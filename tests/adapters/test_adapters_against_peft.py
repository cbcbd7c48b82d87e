"""What we read from a folder is what PEFT itself makes of the adapter that it saved there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from remora.adapters.peft.inspect import inspect_adapter, read_base

pytestmark = [  # of PEFT, about transformers and about a choice that the test makes on purpose
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning"),
]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A tiny Llama as transformers saves it."""
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "tiny-llama")
    return tmp_path / "tiny-llama"


@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
        LoraConfig(r=8, lora_alpha=4, target_modules="all-linear", use_rslora=True, task_type="CAUSAL_LM"),
        LoraConfig(
            r=4,
            lora_alpha=8,
            target_modules=r".*layers\.[01]\.(self_attn\.(q|k|o)_proj|mlp\.down_proj)",
            rank_pattern={r"layers\.1\.self_attn\.q_proj": 3, "q_proj": 2},
            alpha_pattern={"down_proj": 32, r"model\.layers\.0\.self_attn\.o_proj": 1},
        ),
        LoraConfig(r=2, lora_alpha=2, target_modules=["lm_head", "gate_proj"], layers_to_transform=[1]),
    ],
    ids=["plain", "all-linear-rslora", "patterns", "lm-head-and-one-layer"],
)
def test_modules_ranks_and_scalings_are_pefts(base: Path, tmp_path: Path, config: LoraConfig) -> None:
    trained = get_peft_model(LlamaForCausalLM.from_pretrained(base), config)
    for name, weights in trained.named_parameters():
        if "lora_B" in name:  # PEFT begins with zeros, and an adapter without effect is refused
            torch.nn.init.normal_(weights)
    trained.save_pretrained(tmp_path / "lora", save_embedding_layers=False)
    loaded = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base), tmp_path / "lora")
    expected = {
        name.removeprefix("base_model.model."): (
            module.r["default"],
            module.scaling["default"],
            module.in_features,
            module.out_features,
        )
        for name, module in loaded.named_modules()
        if hasattr(module, "scaling") and "default" in getattr(module, "lora_A", {})
    }
    adapter = inspect_adapter("lora", tmp_path / "lora", read_base(base))
    ours = {
        module.name: (module.rank, module.scaling, module.in_features, module.out_features)
        for module in adapter.modules
    }
    assert ours == expected
    assert ours
