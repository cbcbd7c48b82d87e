"""The model and its adapters in llama.cpp's file format, written with its own `gguf` package.

    python to_gguf.py MODELS ADAPTERS

Names of tensors and keys are those of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors.torch import load_file

ARCHITECTURE = "qwen2"
PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
WHOLE = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
QUANTIZED = {"bf16": gguf.GGMLQuantizationType.BF16, "q8_0": gguf.GGMLQuantizationType.Q8_0}


def main() -> None:
    models, adapters = Path(sys.argv[1]), int(sys.argv[2])
    (models / "gguf").mkdir(exist_ok=True)
    for precision in QUANTIZED:
        target = models / "gguf" / f"base-{precision}.gguf"
        if not target.exists():
            write_base(models / "base", target, precision)
    for number in range(adapters):
        target = models / "gguf" / f"a{number}.gguf"
        if not target.exists():
            write_adapter(models / "adapters" / f"a{number}", target)


def write_base(source: Path, target: Path, precision: str) -> None:
    config = json.loads((source / "config.json").read_text())
    writer = gguf.GGUFWriter(target, ARCHITECTURE)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    vocab_size = config["vocab_size"]
    writer.add_token_list([f"w{number}\u0120" for number in range(vocab_size)])  # U+0120 is its blank
    writer.add_token_types([gguf.TokenType.NORMAL] * vocab_size)
    writer.add_token_merges(["w 0"])
    writer.add_eos_token_id(config["eos_token_id"])
    for name, tensor in load_file(source / "model.safetensors").items():
        add(writer, renamed(name), tensor, QUANTIZED[precision] if tensor.dim() == 2 else None)
    finish(writer)


def write_adapter(source: Path, target: Path) -> None:
    config = json.loads((source / "adapter_config.json").read_text())
    writer = gguf.GGUFWriter(target, ARCHITECTURE)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(config["lora_alpha"]))
    for name, tensor in load_file(source / "adapter_model.safetensors").items():
        module, _, half = name.removeprefix("base_model.model.").rpartition(".lora_")
        suffix = {"A.weight": "lora_a", "B.weight": "lora_b"}[half]
        full_name = f"{renamed(f'{module}.weight')}.{suffix}"
        add(writer, full_name, tensor, gguf.GGMLQuantizationType.BF16)
    finish(writer)


def renamed(name: str) -> str:
    if name in WHOLE:
        return WHOLE[name]
    layer, _, rest = name.removeprefix("model.layers.").partition(".")
    module, _, kind = rest.rpartition(".")
    return f"blk.{layer}.{PARTS[module]}.{kind}"


def add(writer: Any, name: str, tensor: torch.Tensor, kind: Any) -> None:
    """Vectors stay float32, as llama.cpp expects of norms and biases."""
    values = tensor.to(torch.float32).numpy()
    if kind is None:
        writer.add_tensor(name, values)
        return
    writer.add_tensor(name, gguf.quants.quantize(np.ascontiguousarray(values), kind), raw_dtype=kind)


def finish(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
