"""What becomes of each kind of adapter that PEFT saves, and the rows that the docs have of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import peft
from peft import AdaLoraConfig
from peft.tuners.lora.config import KasaConfig
from tests.wild.peft_kinds import OWN_PASS, Kind, emptied, one_by_one, pruned, renamed

LLAMAS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]


def _ada(**more: Any) -> Any:
    settings = {"target_r": 2, "init_r": 4, "lora_alpha": 8, "total_step": 10, "tinit": 1, "tfinal": 1}
    return AdaLoraConfig(target_modules=["q_proj", "v_proj"], **settings, **more)


SERVED: Mapping[str, Kind] = {
    "plain LoRA": Kind("llama"),
    "rsLoRA": Kind("llama", {"use_rslora": True}),
    "`rank_pattern`, `alpha_pattern`": Kind(
        "llama",
        {"rank_pattern": {"q_proj": 2, "layers.1.self_attn.v_proj": 3}, "alpha_pattern": {"v_proj": 3}},
    ),
    "`layers_to_transform`": Kind("llama", {"layers_to_transform": [1]}),
    "`target_modules` as a regular expression": Kind(
        "llama", {"target_modules": r".*layers\.1\.(self_attn|mlp)\.\w+_proj"}
    ),
    "`all-linear` with `exclude_modules`": Kind(
        "llama", {"target_modules": "all-linear", "exclude_modules": ["down_proj"]}
    ),
    "DoRA": Kind("qwen2", {"target_modules": "all-linear", "use_dora": True}),
    "DoRA with rsLoRA and `rank_pattern`": Kind(
        "llama",
        {"target_modules": LLAMAS, "use_dora": True, "use_rslora": True, "rank_pattern": {"q_proj": 2}},
    ),
    "DoRA on the output head": Kind("llama", {"target_modules": ["q_proj", "lm_head"], "use_dora": True}),
    "DoRA with `bias`": Kind("qwen2", {"use_dora": True, "bias": "lora_only"}),
    '`bias="lora_only"`': Kind("qwen2", {"bias": "lora_only"}),
    '`bias="all"`, linear layers': Kind("qwen2", {"bias": "all", "target_modules": ["o_proj", "q_proj"]}),
    '`bias="all"`, norms too': Kind(
        "neox", {"bias": "all", "target_modules": ["query_key_value"]}, how=OWN_PASS
    ),
    "`lora_bias`": Kind("llama", {"lora_bias": True}),
    "`modules_to_save`: norms": Kind("llama", {"modules_to_save": ["input_layernorm", "norm"]}, how=OWN_PASS),
    "`modules_to_save`: norms of query and key": Kind("qwen3", {"modules_to_save": ["q_norm"]}, how=OWN_PASS),
    "`modules_to_save`: a linear layer": Kind("qwen2", {"modules_to_save": ["k_proj"]}, how=OWN_PASS),
    "`modules_to_save`: a block": Kind("llama", {"modules_to_save": ["mlp"]}, how=OWN_PASS),
    "`modules_to_save`: the output head": Kind("llama", {"modules_to_save": ["lm_head"]}),
    "`modules_to_save`: the embedding": Kind("llama", {"modules_to_save": ["embed_tokens"]}),
    "`modules_to_save`: a tied embedding": Kind("tied", {"modules_to_save": ["embed_tokens"]}),
    "`modules_to_save`: a norm, embedding and head": Kind(
        "llama", {"modules_to_save": ["norm", "embed_tokens", "lm_head"]}, how=OWN_PASS
    ),
    "`trainable_token_indices`": Kind("llama", {"trainable_token_indices": [3, 7, 104]}),
    "`trainable_token_indices` and LoRA on the head": Kind(
        "llama", {"target_modules": ["q_proj", "lm_head"], "trainable_token_indices": [3, 7, 104]}
    ),
    "LoRA on the embedding": Kind("llama", {"target_modules": ["q_proj", "embed_tokens"]}),
    "LoRA on a scaled embedding": Kind("gemma", {"target_modules": ["q_proj", "embed_tokens"]}),
    "LoRA on a tied embedding": Kind("tied", {"target_modules": ["q_proj", "embed_tokens"]}),
    "LoRA on the head": Kind("llama", {"target_modules": ["q_proj", "lm_head"]}),
    "LoRA on a tied head": Kind("tied", {"target_modules": ["q_proj", "lm_head"]}),
    "LoRA on both, tied (`ensure_weight_tying`)": Kind(
        "tied", {"target_modules": ["q_proj", "embed_tokens"], "ensure_weight_tying": True}
    ),
    "LoRA on embedding and head of a resized vocabulary": Kind(
        "llama", {"target_modules": ["q_proj", "embed_tokens", "lm_head"]}, resized=True, of="trained"
    ),
    "PiSSA, converted": Kind("llama", {"init_lora_weights": "pissa"}, of="trained", is_converted=True),
    "OLoRA, converted": Kind("llama", {"init_lora_weights": "olora"}, of="trained", is_converted=True),
    "EVA": Kind("llama", {"init_lora_weights": "eva"}),
    "MiCA": Kind("llama", {"init_lora_weights": "mica"}),
    "`gaussian` and `orthogonal` starts": Kind("llama", {"init_lora_weights": "orthogonal"}),
    "AdaLoRA": Kind("llama", config=_ada),
    "AdaLoRA after its last allocation": Kind("llama", config=_ada, prepare=pruned),
    "names with `.default.`": Kind("llama", edit=renamed(".weight", ".default.weight")),
    "names with `.default.`, DoRA": Kind(
        "llama",
        {"use_dora": True},
        edit=renamed("magnitude_vector", "magnitude_vector.default.weight"),
    ),
    "names with `_orig_mod.`": Kind("llama", edit=renamed("self_attn.", "self_attn._orig_mod.")),
    "names with `_fsdp_wrapped_module.`, norms": Kind(
        "llama",
        {"modules_to_save": ["norm"]},
        edit=renamed("base_model.model.model.", "base_model.model._fsdp_wrapped_module.model."),
        how=OWN_PASS,
    ),
    "names with `language_model.`": Kind(
        "llama", edit=renamed("model.layers", "model.language_model.layers")
    ),
    "mixture: attention": Kind("mixtral"),
    "mixture: experts (`target_parameters`), Mixtral": Kind(
        "mixtral", {"target_modules": ["q_proj"], "target_parameters": EXPERTS}, how=OWN_PASS
    ),
    "mixture: experts (`target_parameters`), Qwen3": Kind(
        "qwen-moe", {"target_modules": ["q_proj"], "target_parameters": EXPERTS}, how=OWN_PASS
    ),
    "mixture: experts (`target_parameters`), gpt-oss": Kind(
        "gpt-oss", {"target_modules": ["q_proj"], "target_parameters": EXPERTS}, how=OWN_PASS
    ),
    "mixture: one parameter of the experts": Kind(
        "qwen-moe", {"target_modules": ["q_proj"], "target_parameters": EXPERTS[1:]}, how=OWN_PASS
    ),
    "mixture: experts alone": Kind(
        "qwen-moe", {"target_modules": [], "target_parameters": EXPERTS}, how=OWN_PASS
    ),
    "mixture: experts by the names of their layers": Kind(
        "qwen-moe", {"target_modules": ["q_proj", "gate_proj", "up_proj", "down_proj"]}, how=OWN_PASS
    ),
    "mixture: experts one by one, Mixtral": Kind(
        "mixtral",
        {"target_modules": ["q_proj"]},
        edit=one_by_one("block_sparse_moe", ("w1", "w2", "w3")),
        of="edited",
        how=OWN_PASS,
    ),
    "mixture: experts one by one, Qwen3": Kind(
        "qwen-moe",
        {"target_modules": ["q_proj"]},
        edit=one_by_one("mlp", ("gate_proj", "down_proj", "up_proj")),
        of="edited",
        how=OWN_PASS,
    ),
    "mixture: the router": Kind(
        "qwen-moe", {"target_modules": ["q_proj"], "target_parameters": ["mlp.gate.weight"]}, how=OWN_PASS
    ),
    "mixture: the router, trained whole": Kind(
        "qwen-moe", {"target_modules": ["q_proj"], "modules_to_save": ["gate"]}, how=OWN_PASS
    ),
    "transposed weights (GPT-2)": Kind("gpt2", {"target_modules": "all-linear", "fan_in_fan_out": True}),
    "transposed weights: DoRA": Kind(
        "gpt2", {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True, "use_dora": True}
    ),
    "transposed weights: biases": Kind(
        "gpt2", {"target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True, "bias": "lora_only"}
    ),
    "transposed weights: a linear layer trained whole": Kind(
        "gpt2",
        {"target_modules": ["c_attn"], "fan_in_fan_out": True, "modules_to_save": ["c_fc"]},
        how=OWN_PASS,
    ),
    "transposed weights: the tied embedding trained whole": Kind(
        "gpt2", {"target_modules": ["c_attn"], "fan_in_fan_out": True, "modules_to_save": ["wte"]}
    ),
    "`target_parameters`: a linear layer's": Kind(
        "llama", {"target_modules": ["v_proj"], "target_parameters": ["q_proj.weight"]}
    ),
}

_MERGE = "make a base model of it with: remora adapters merge "
_CONVERTED = "path_initial_model_for_weight_conversion"
_SAVED_AGAIN = "folder_of_the_untrained_adapter)"


def _other(config: type[Any], **settings: Any) -> Callable[[], Any]:
    return lambda: config(task_type="CAUSAL_LM", **settings)


REFUSED: Mapping[str, Kind] = {
    "PiSSA, not converted": Kind(
        "llama", {"init_lora_weights": "pissa"}, of="trained", refused="= 'pissa'", way_out=_CONVERTED
    ),
    "OLoRA, not converted": Kind(
        "llama", {"init_lora_weights": "olora"}, of="trained", refused="= 'olora'", way_out=_CONVERTED
    ),
    "DoRA on the embedding": Kind(
        "llama",
        {"target_modules": ["q_proj", "embed_tokens"], "use_dora": True},
        refused="DoRA on the embedding",
        way_out=_MERGE,
    ),
    "activated LoRA (aLoRA)": Kind(
        "llama", {"alora_invocation_tokens": [3, 4]}, refused="activated LoRA", way_out="train it as a LoRA"
    ),
    "PiSSA by random numbers (`pissa_niter_4`), not converted": Kind(
        "llama", {"init_lora_weights": "pissa_niter_4"}, refused="= 'pissa_niter_4'", way_out=_SAVED_AGAIN
    ),
    "repeated layers (`layer_replication`)": Kind(
        "llama",
        {"layer_replication": [[0, 1], [0, 2]]},
        of="trained",
        refused="repeated layers",
        way_out="train it without layer_replication",
    ),
    "KaSA": Kind("llama", {"kasa_config": KasaConfig()}, refused="KaSA", way_out=_MERGE),
    "QALoRA": Kind("llama", {"use_qalora": True, "qalora_group_size": 16}, refused="QALoRA", way_out=_MERGE),
    "empty tensors of DeepSpeed and FSDP": Kind(
        "llama", edit=emptied, refused="has empty tensors", way_out="deepspeed.zero.GatheredParameters"
    ),
    "IA³": Kind(
        "llama",
        config=_other(
            peft.IA3Config, target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]
        ),
        refused="peft_type is 'IA3', IA³",
        way_out=_MERGE,
    ),
    "VeRA": Kind(
        "llama",
        config=_other(peft.VeraConfig, r=4, target_modules=["q_proj", "o_proj"]),
        refused="peft_type is 'VERA', VeRA",
        way_out=_MERGE,
    ),
    "LoHa": Kind(
        "llama",
        config=_other(peft.LoHaConfig, r=4, target_modules=["q_proj"]),
        refused="'LOHA', LoHa",
        way_out=_MERGE,
    ),
    "LoKr": Kind(
        "llama",
        config=_other(peft.LoKrConfig, r=4, target_modules=["q_proj"]),
        refused="'LOKR', LoKr",
        way_out=_MERGE,
    ),
    "OFT": Kind(
        "llama",
        config=_other(peft.OFTConfig, r=0, oft_block_size=4, target_modules=["q_proj"]),
        refused="'OFT', OFT",
        way_out=_MERGE,
    ),
    "prompt tuning": Kind(
        "llama",
        config=_other(peft.PromptTuningConfig, num_virtual_tokens=4),
        refused="'PROMPT_TUNING', prompt tuning",
        way_out="cannot be merged",
    ),
    "prefix tuning": Kind(
        "llama",
        config=_other(peft.PrefixTuningConfig, num_virtual_tokens=4),
        refused="'PREFIX_TUNING', prefix tuning",
        way_out="cannot be merged",
    ),
}


def docs_table() -> list[str]:
    """The rows of the docs' table."""
    served = [f"| {title} | served | {kind.how} |" for title, kind in SERVED.items()]
    return served + [f"| {title} | refused | {WAYS_OUT[kind.way_out]} |" for title, kind in REFUSED.items()]


WAYS_OUT = {
    _MERGE: "`remora adapters merge`",
    _SAVED_AGAIN: "save it converted (`path_initial_model_for_weight_conversion`)",
    "train it without layer_replication": "train it without `layer_replication`",
    _CONVERTED: "save it converted (`path_initial_model_for_weight_conversion`), or `remora adapters merge`",
    "train it as a LoRA": "train it without `alora_invocation_tokens`",
    "deepspeed.zero.GatheredParameters": "gather the weights before saving",
    "cannot be merged": "train it as a LoRA",
}
