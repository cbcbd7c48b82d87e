"""Which kinds of decoders the torch engine runs, by what `config.json` says. Reads no weights.

One place for what the inspection of a folder, which has no torch, and the engine refuse in the same words.
A kind that is not listed is tried: without weights where torch is at hand, and by the engine when it loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from remora.errors import Refused, listed

LAYER_TYPES = frozenset({"attention", "full_attention", "sliding_attention"})
STATEFUL_TYPES = frozenset({"conv", "linear_attention", "mamba", "recurrent"})

OWN_ATTENTION = "an attention of its own, which cannot be exchanged for one of many texts at a time"
RECURRENT = "layers that carry a state from token to token"

REFUSED: Mapping[str, str] = {
    "openai-gpt": OWN_ATTENTION,
    **dict.fromkeys(
        (
            *("bamba", "falcon_h1", "falcon_mamba", "jamba", "mamba", "mamba2", "nemotron_h"),
            *("recurrent_gemma", "rwkv", "xlstm", "zamba", "zamba2"),
        ),
        RECURRENT,
    ),
}
"""By `model_type`: what such a model has that the engine does not compute."""

TRIED = frozenset(
    {
        "gemma",
        "gemma3_text",
        "granite",
        "llama",
        "mistral",
        "olmo2",
        "phi",
        "phi3",
        "qwen2",
        "qwen3",
        "smollm3",
    }
)
"""By `model_type`: what the engine runs, whatever else the configuration says; it needs no trial."""


def why_not_on_torch(config: Mapping[str, object]) -> str:
    """What a model has that the torch engine does not compute; "" where nothing speaks against it."""
    kind = str(config.get("model_type") or "")
    if kind in REFUSED:
        return REFUSED[kind]
    types = config.get("layer_types")
    strange = {str(each) for each in types} - LAYER_TYPES if isinstance(types, list) else set()
    if strange & STATEFUL_TYPES:
        return f"{RECURRENT} ({listed(sorted(strange & STATEFUL_TYPES))})"
    return f"layers of type {listed(sorted(strange))}" if strange else ""


def unsupported(path: Path, model_type: object, what: str) -> Refused:
    """The error for a model that the torch engine does not run."""
    return Refused(
        f"the torch engine cannot run the {model_type} model in {path}: it has {what}",
        hint="use a decoder with full or sliding-window attention (Llama, Qwen, Mistral, Phi, Gemma 3 …),"
        ' or try engine = "vllm" under [serve] in remora.toml, on a GPU',
    )
