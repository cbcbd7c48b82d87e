"""The models: a base in a standard architecture and two LoRA adapters of different shape. Trains nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peft import LoraConfig
from transformers import LlamaConfig, LlamaForCausalLM

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BASE_NAME = "tone-base"
CONTEXT_LENGTH = 1024

# The adapters differ in rank and in what they adapt, as those of different people would.
ADAPTERS: dict[str, LoraConfig] = {
    "tone": LoraConfig(
        r=8, lora_alpha=16, target_modules=["gate_proj", "up_proj", "down_proj"], task_type="CAUSAL_LM"
    ),
    "pirate": LoraConfig(
        r=16,
        lora_alpha=32,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        task_type="CAUSAL_LM",
    ),
}


def new_base(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama with two million parameters and random weights."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model
