"""The families of decoders that tests run: a tiny configuration of each, with all that is special in it.

One list for the test of parity and for the tables of docs/reference/models.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.engine.tiny_models import SIZES
from transformers import AutoConfig

WINDOW = 9
LONG_FROM = 16  # tokens, for longrope
QV = {"target_modules": ["q_proj", "v_proj"]}
ALL = {"target_modules": "all-linear"}
QDOWN = {"target_modules": ["q_proj", "down_proj"]}
LATENT_A = {"target_modules": ["q_a_proj", "o_proj"]}
LATENT_B = {"target_modules": ["q_b_proj", "kv_b_proj"]}
TYPES = ["sliding_attention", "full_attention"]
GPT = {"n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 256}
EXPERTS = {
    "num_local_experts": 4,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
}
LATENT = EXPERTS | {
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
    "n_routed_experts": 4,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "n_shared_experts": 1,
}
LONGROPE: dict[str, Any] = {
    "original_max_position_embeddings": LONG_FROM,
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5],
        "long_factor": [2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
    },
}
PHIMOE = {"rope_parameters": LONGROPE["rope_parameters"] | {"short_mscale": 1.1, "long_mscale": 1.3}}
GEMMA2 = {
    "head_dim": 16,
    "query_pre_attn_scalar": 16,
    "sliding_window": WINDOW,
    "attn_logit_softcapping": 3.0,
}
WINDOWED = {"sliding_window": WINDOW, "layer_types": TYPES}
GEMMA3 = {"head_dim": 16, **WINDOWED}
GEMMA4 = {
    **GEMMA3,
    "global_head_dim": 32,
    "num_kv_shared_layers": 0,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": 260,
}
GPT_NEO = {
    "num_layers": 2,
    "num_heads": 4,
    "attention_types": [[["global", "local"], 1]],
    "window_size": WINDOW,
}


@dataclass(frozen=True)
class Family:
    """A kind of decoder: the models that are of it, and how a tiny one is configured."""

    models: str
    kind: str
    config: Mapping[str, Any] = field(default_factory=dict)
    lora: Mapping[str, Any] = field(default_factory=lambda: ALL)
    has: str = ""  # what a Llama has not

    def __str__(self) -> str:
        return f"{self.kind}: {self.models}"

    @property
    def served_config(self) -> Any:
        """That of the language model, where there is more."""
        return getattr(self.full_config, "text_config", self.full_config)

    @property
    def full_config(self) -> Any:
        parts = dict(self.config)
        if "text_config" in parts:
            return AutoConfig.for_model(
                self.kind, text_config=SIZES | parts["text_config"], vision_config=VISION
            )
        return AutoConfig.for_model(self.kind, **SIZES | parts)


AI_TOOLKIT = (  # the base models that AI Toolkit has layouts for
    Family("phi-1_5", "phi", {"num_key_value_heads": 4}),
    Family("phi-2", "phi", {"num_key_value_heads": 4, "partial_rotary_factor": 0.4}),
    Family("Phi-3-mini-4k-instruct", "phi3", {"original_max_position_embeddings": 256}),
    Family("llama-v2-7b", "llama", {"num_key_value_heads": 4}),
    Family("llama-v3-8b", "llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}),
    Family("mistral-7b", "mistral", {"sliding_window": WINDOW}),
    Family("mistral-7b-v02", "mistral", {"sliding_window": None}),
    Family("zephyr-7b-beta", "mistral", {"sliding_window": WINDOW, "pad_token_id": 2}),
)

SERVED = (
    *AI_TOOLKIT,
    Family("Qwen2, Qwen2.5", "qwen2"),
    Family("Qwen3", "qwen3", {"head_dim": 16}),
    Family("Phi-3-mini-128k, Phi-4-mini", "phi3", LONGROPE, has="longrope"),
    Family("Gemma", "gemma", {"head_dim": 16}),
    Family("Gemma 2", "gemma2", GEMMA2, has="soft-capped scores"),
    Family("Gemma 3", "gemma3_text", GEMMA3, has="windows in some layers"),
    Family("Gemma 4", "gemma4_text", GEMMA4, QDOWN, has="layers of two sizes"),
    Family("GPT-2", "gpt2", GPT, ALL | {"fan_in_fan_out": True}, has="transposed weights"),
    Family("GPT-Neo", "gpt_neo", GPT_NEO, has="an attention of its own, windows"),
    Family("GPT-J", "gptj", GPT | {"rotary_dim": 4}, has="an attention of its own"),
    Family("GPT-NeoX, Pythia", "gpt_neox"),
    Family("GPT-NeoX Japanese", "gpt_neox_japanese", has="an attention of its own"),
    Family(
        "gpt-oss, dequantized",
        "gpt_oss",
        EXPERTS | {"head_dim": 16, "sliding_window": WINDOW},
        QV,
        has="attention sinks, experts",
    ),
    Family("StarCoder", "gpt_bigcode", GPT, has="one key and value head"),
    Family("StarCoder2", "starcoder2", {"sliding_window": WINDOW}),
    Family("CodeGen", "codegen", GPT | {"rotary_dim": 4}, has="an attention of its own"),
    Family("Falcon 7B", "falcon", {"alibi": False}, has="an attention of its own"),
    Family("Falcon 40B", "falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    Family("Falcon RW", "falcon", {"alibi": True, "multi_query": False}, has="ALiBi"),
    Family("BLOOM", "bloom", {"n_layer": 2, "n_head": 4}, has="ALiBi"),
    Family("MPT", "mpt", {"d_model": 48, "n_heads": 4, "n_layers": 2, "max_seq_len": 64}, has="ALiBi"),
    Family("OPT", "opt", {"ffn_dim": 96, "word_embed_proj_dim": 48}, has="learned positions"),
    Family(
        "XGLM",
        "xglm",
        {"d_model": 48, "ffn_dim": 96, "attention_heads": 4, "num_layers": 2},
        has="an attention of its own",
    ),
    Family("BioGPT", "biogpt", has="learned positions"),
    Family("StableLM 2", "stablelm", {"hidden_size": 64, "partial_rotary_factor": 0.25}),
    Family("Nemotron, Minitron", "nemotron"),
    Family("Mixtral", "mixtral", EXPERTS, QV, has="experts"),
    Family("Qwen1.5-MoE, Qwen2-MoE", "qwen2_moe", EXPERTS, QV, has="experts"),
    Family("Qwen3-MoE", "qwen3_moe", EXPERTS | {"head_dim": 16}, QV, has="experts"),
    Family("Phi-3.5-MoE", "phimoe", LONGROPE | EXPERTS | PHIMOE, QV, has="experts, longrope"),
    Family("DeepSeek-V2", "deepseek_v2", LATENT, LATENT_A, has="latent attention, experts"),
    Family("DeepSeek-V3", "deepseek_v3", LATENT, LATENT_B, has="latent attention, experts"),
    Family("OLMo", "olmo"),
    Family("OLMo 2", "olmo2"),
    Family("OLMo 3", "olmo3", WINDOWED, has="windows in some layers"),
    Family("OLMoE", "olmoe", EXPERTS, QV, has="experts"),
    Family(
        "Granite 3",
        "granite",
        {
            "attention_multiplier": 0.3,
            "residual_multiplier": 0.8,
            "embedding_multiplier": 3.0,
            "logits_scaling": 2.0,
        },
        has="multipliers",
    ),
    Family("Granite 3 MoE", "granitemoe", EXPERTS, QV, has="experts"),
    Family(
        "Granite 4 without Mamba",
        "granitemoehybrid",
        {"layer_types": ["attention"] * 2, "mamba_n_heads": 8},
        QV,
    ),
    Family("SmolLM3", "smollm3", {"no_rope_layers": [1, 0]}, has="layers without positions"),
    Family("Command R", "cohere"),
    Family("Command R7B, Command A", "cohere2", WINDOWED, has="windows in some layers"),
    Family("GLM-4-9B", "glm", {"head_dim": 16}),
    Family("GLM-4-0414", "glm4", {"head_dim": 16}),
    Family("EXAONE 4", "exaone4", WINDOWED, has="windows in some layers"),
    Family("ERNIE 4.5", "ernie4_5", {"head_dim": 12}),
    Family("Apertus", "apertus"),
    Family("Arcee AFM", "arcee"),
    Family("Helium", "helium", {"head_dim": 12}),
    Family("Seed-OSS", "seed_oss", {"head_dim": 12}),
)

VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
MULTIMODAL = (  # of these the language model is served, for text
    Family("Gemma 3 with images", "gemma3", {"text_config": GEMMA3 | {"model_type": "gemma3_text"}}),
    Family("Gemma 4 with images", "gemma4", {"text_config": GEMMA4 | {"model_type": "gemma4_text"}}),
    Family("Mistral Small 3", "mistral3", {"text_config": {"model_type": "mistral"}}),
)

REFUSED = (
    Family("Mamba", "mamba", {"state_size": 4}),
    Family("Mamba 2, Codestral Mamba", "mamba2", {"num_heads": 8, "head_dim": 12, "state_size": 4}),
    Family("Falcon Mamba", "falcon_mamba"),
    Family("Jamba", "jamba"),
    Family("Bamba", "bamba", {"mamba_n_heads": 8, "mamba_d_head": 12}),
    Family("Zamba 2", "zamba2", {"num_hidden_layers": 54}),
    Family("Falcon-H1", "falcon_h1"),
    Family(
        "Granite 4 with Mamba",
        "granitemoehybrid",
        {"layer_types": ["mamba", "attention"], "mamba_n_heads": 8},
    ),
    Family("Nemotron-H", "nemotron_h"),
    Family("RecurrentGemma", "recurrent_gemma"),
    Family("RWKV 4", "rwkv"),
    Family("xLSTM", "xlstm"),
    Family("LFM2", "lfm2", {"layer_types": ["conv", "full_attention"]}),
    Family("Qwen3-Next", "qwen3_next", {"layer_types": ["linear_attention", "full_attention"]}),
    Family("MiniMax-01", "minimax", {"layer_types": ["linear_attention", "full_attention"]}),
    Family("Llama 4", "llama4_text", {"layer_types": ["chunked_attention", "full_attention"]}),
    Family("GPT (2018)", "openai-gpt", GPT),
)
