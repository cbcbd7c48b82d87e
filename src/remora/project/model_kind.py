"""Which checkpoints can be a base model, according to their `config.json`. Reads no weights.

The search of a folder (`workspace`), the inspection of adapters and the engine all use this one rule.
"""

from __future__ import annotations

from collections.abc import Mapping

from remora.project.model_name import last_name, unquantized
from remora.project.quantized_kind import layout_of, why_unread

GENERATING = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
LANGUAGE_PARTS = frozenset({"gemma3", "gemma4", "mistral3"})
"""Multimodal kinds whose language model alone answers a text as the whole model does, by `model_type`."""
_OTHER_INPUTS = (
    "vision_config",
    "audio_config",
    "vision_tower_config",
    "image_token_id",
    "image_token_index",
)


def why_no_base(config: Mapping[str, object], *, name: str = "") -> tuple[str, str] | None:
    """Why this checkpoint cannot be served, and what to do; None if it can."""
    if config.get("quantization_config") and layout_of(config) is None:
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
    return why_unread(method if isinstance(method, dict) else {}, original if original != copy else "")
