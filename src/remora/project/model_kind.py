"""Which checkpoints can be a base model, according to their `config.json`. Reads no weights.

The search of a folder (`workspace`), the inspection of adapters and the engine all use this one rule.
"""

from __future__ import annotations

from collections.abc import Mapping

from remora.project.model_name import last_name, unquantized

GENERATING = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
LANGUAGE_PARTS = frozenset({"gemma3", "gemma4", "mistral3"})
"""Multimodal kinds whose language model alone answers a text as the whole model does, by `model_type`."""
DEQUANTIZING = (
    "dequantize it once, with transformers: AutoModelForCausalLM.from_pretrained(folder,"
    " quantization_config=Mxfp4Config(dequantize=True)).save_pretrained(new_folder)"
)
METHODS = {  # as config.json spells them, where that is not what people say
    "mxfp4": "MXFP4",
    "fp8": "FP8",
    "fbgemm_fp8": "FP8",
    "compressed-tensors": "compressed-tensors, such as FP8",
    "gptq": "GPTQ",
    "awq": "AWQ",
    "hqq": "HQQ",
    "exl2": "EXL2",
    "gguf": "GGUF",
}
_OTHER_INPUTS = (
    "vision_config",
    "audio_config",
    "vision_tower_config",
    "image_token_id",
    "image_token_index",
)


def why_no_base(config: Mapping[str, object], *, name: str = "") -> tuple[str, str] | None:
    """Why this checkpoint cannot be served, and what to do; None if it can."""
    if config.get("quantization_config") and not is_nf4(config):
        return _quantized(config, name)
    kind = str(config.get("model_type") or "")
    if config.get("is_encoder_decoder"):
        return (
            f"is an encoder-decoder model ({kind})",
            "use a decoder (an architecture that ends in ForCausalLM) as the base",
        )
    if kind in LANGUAGE_PARTS:
        return None
    nested = [key for key in ("text_config", "thinker_config") if isinstance(config.get(key), dict)]
    others = [key for key in _OTHER_INPUTS if config.get(key) is not None]
    if nested and (others or _architecture(config).endswith("ForConditionalGeneration")):
        return (
            f"is a multimodal model ({kind}: {', '.join([*nested, *others][:3])})",
            "use a checkpoint of only its language model (an architecture that ends in ForCausalLM)",
        )
    return None


def is_nf4(config: Mapping[str, object]) -> bool:
    """Whether a checkpoint is in nf4 as bitsandbytes writes it, which the torch engine reads as it lies."""
    method = config.get("quantization_config")
    return (
        isinstance(method, dict)
        and method.get("quant_method") in (None, "bitsandbytes")
        and bool(method.get("load_in_4bit"))
        and method.get("bnb_4bit_quant_type") == "nf4"
        and method.get("bnb_4bit_quant_storage") in (None, "uint8")
    )


def language_part(config: Mapping[str, object]) -> Mapping[str, object]:
    """What is served of a checkpoint: all of it, or of one of several inputs its language model."""
    part = config.get("text_config")
    return part if config.get("model_type") in LANGUAGE_PARTS and isinstance(part, dict) else config


def _architecture(config: Mapping[str, object]) -> str:
    architectures = config.get("architectures")
    return str(architectures[0]) if isinstance(architectures, list) and architectures else ""


def _quantized(config: Mapping[str, object], name: str) -> tuple[str, str]:
    known = config.get("_name_or_path")
    copy = last_name(name) or last_name(known if isinstance(known, str) else "") or ""
    original = unquantized(copy)
    method = config["quantization_config"]
    kind = _method_name(method if isinstance(method, dict) else {})
    if kind == "MXFP4":
        return "is an MXFP4 checkpoint, whose weights cannot take adapters exactly", DEQUANTIZING
    which = f": {original}" if original != copy else ""
    return (
        f"is a quantized checkpoint ({kind}), of which only bitsandbytes' nf4 is read",
        f"use the original, unquantized model as the base{which}; adapters that were trained on a quantized"
        ' copy fit it too, and quantize = "nf4" under [serve] in remora.toml needs as little memory',
    )


def _method_name(method: Mapping[str, object]) -> str:
    """What people call a kind of quantisation."""
    name = str(method.get("quant_method") or "")
    if name == "bitsandbytes" or method.get("load_in_4bit") or method.get("load_in_8bit"):
        if not method.get("load_in_4bit"):
            return "bitsandbytes in 8 bits"
        storage = method.get("bnb_4bit_quant_storage") or "uint8"
        return f"bitsandbytes' {method.get('bnb_4bit_quant_type') or 'fp4'} in {storage}"
    return METHODS.get(name, name or "of an unknown kind")
