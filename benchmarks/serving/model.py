"""The model that every server serves: the shape of Qwen2.5-0.5B with random weights, and adapters for it.

Made once into a folder and kept. Every token id has a text of its own, so a stream shows each token; greedy
decoding of random weights practically never meets the end of a sequence, so all answers have full length.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

MAKER_VERSION: Final = 1
CONTEXT_TOKENS: Final = 1024
ADAPTER_RANK: Final = 16
TARGETS: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# The published configuration of Qwen/Qwen2.5-0.5B, all but the context, which bounds the caches of the peers.
SHAPE: Final = {
    "vocab_size": 151936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT_TOKENS,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"},
    "bos_token_id": 151934,
    "eos_token_id": 151935,
}
TINY: Final = {
    **SHAPE,
    "hidden_size": 256,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "vocab_size": 4096,
    "bos_token_id": 4094,
    "eos_token_id": 4095,
}


def make_models(folder: Path, adapters: int, *, tiny: bool = False) -> Path:
    """`folder/base` and `folder/adapters/a0…`, where they are not there yet. Returns the folder."""
    folder = folder / ("tiny" if tiny else "qwen2.5-0.5b-shape")
    shape = TINY if tiny else SHAPE
    stamp = folder / "made.json"
    wanted = json.dumps({"version": MAKER_VERSION, "shape": shape})
    if not stamp.exists() or stamp.read_text() != wanted:
        _make_base(folder / "base", shape)
        stamp.write_text(wanted)
    for number in range(adapters):
        if not (folder / "adapters" / f"a{number}" / "adapter_model.safetensors").exists():
            _make_adapter(folder, shape, number)
    return folder


def _make_base(path: Path, shape: dict[str, object]) -> None:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(**shape)
    Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(path)
    _make_tokenizer(path, int(str(shape["vocab_size"])), int(str(shape["eos_token_id"])))


def _make_tokenizer(path: Path, vocab_size: int, eos: int) -> None:
    """One word for every id; `transformers` reads it as any other fast tokenizer."""
    from tokenizers import Tokenizer
    from tokenizers.decoders import Fuse
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    words = {f"w{number} ": number for number in range(vocab_size)}
    tokenizer = Tokenizer(WordLevel(words, unk_token="w0 "))  # noqa: S106 - a word, no secret
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.decoder = Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=f"w{eos} ", pad_token=f"w{eos} ")
    fast.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    fast.save_pretrained(path)


def _make_adapter(folder: Path, shape: dict[str, object], number: int) -> None:
    """Random A and B, large enough to change the answers."""
    import torch
    from peft import LoraConfig
    from safetensors.torch import save_file

    sizes = _projection_sizes(shape)
    generator = torch.Generator().manual_seed(1000 + number)
    tensors = {}
    for layer in range(int(str(shape["num_hidden_layers"]))):
        for name, (inputs, outputs) in sizes.items():
            part = "mlp" if name in ("gate_proj", "up_proj", "down_proj") else "self_attn"
            key = f"base_model.model.model.layers.{layer}.{part}.{name}"
            a = torch.randn(ADAPTER_RANK, inputs, generator=generator) / inputs**0.5
            b = torch.randn(outputs, ADAPTER_RANK, generator=generator) * 0.02
            tensors[f"{key}.lora_A.weight"] = a.to(torch.bfloat16)
            tensors[f"{key}.lora_B.weight"] = b.to(torch.bfloat16)
    path = folder / "adapters" / f"a{number}"
    path.mkdir(parents=True, exist_ok=True)
    base = str(folder / "base")
    config = LoraConfig(
        r=ADAPTER_RANK,
        lora_alpha=2 * ADAPTER_RANK,
        target_modules=list(TARGETS),
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
    )
    config.inference_mode = True
    config.save_pretrained(path)
    save_file(tensors, path / "adapter_model.safetensors")


def _projection_sizes(shape: dict[str, object]) -> dict[str, tuple[int, int]]:
    hidden, inner = int(str(shape["hidden_size"])), int(str(shape["intermediate_size"]))
    heads, kv_heads = int(str(shape["num_attention_heads"])), int(str(shape["num_key_value_heads"]))
    keys = hidden // heads * kv_heads
    return {
        "q_proj": (hidden, hidden),
        "k_proj": (hidden, keys),
        "v_proj": (hidden, keys),
        "o_proj": (hidden, hidden),
        "gate_proj": (hidden, inner),
        "up_proj": (hidden, inner),
        "down_proj": (inner, hidden),
    }
