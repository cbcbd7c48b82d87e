"""A model's name, extracted from a path or hub id. Compares names; reads no files."""

from __future__ import annotations

import re

GENERIC = frozenset(
    {
        "",
        "-",
        "base",
        "base-model",
        "model",
        "models",
        "merged",
        "checkpoint",
        "output",
        "outputs",
        "mount",
        "final",
        "latest",
    }
)  # generic folder names, which do not name a model
STEP = re.compile(r"(checkpoint|ckpt|(global-)?step|epoch)-?\d+")  # a checkpoint of a training
HASH = re.compile(r"[0-9a-f]{12,64}")
QUANTIZED = re.compile(
    r"[-_.\s]+((unsloth[-_.])?bnb[-_.][48]bit|[48]bit|int[48]|gptq|awq|fp8|gguf)$", re.IGNORECASE
)

HUB_ID = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,95}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def is_hub_id(text: str) -> bool:
    """Whether the text can name a model on the Hugging Face hub: ORGANISATION/NAME, or a NAME of its first
    years."""
    return HUB_ID.fullmatch(text) is not None and ".." not in text and "--" not in text


def last_name(text: str) -> str | None:
    """The model's own name in a path or hub id ("/mount/model-cache/microsoft/phi-2/" is "phi-2").

    None if the text names no model: it is empty or a generic folder name. Understands the hub's
    cache layout (`models--microsoft--phi-2/snapshots/<commit>`).
    """
    parts = [part for part in re.split(r"[/\\]+", text.strip()) if part]
    if len(parts) >= 2 and parts[-2] == "snapshots" and HASH.fullmatch(parts[-1]):
        parts = parts[:-2]
    if not parts:
        return None
    name = parts[-1]
    if name.startswith("models--"):
        name = name.rsplit("--", 1)[-1]
    if normalised(name) in GENERIC or STEP.fullmatch(normalised(name)) or HASH.fullmatch(name):
        return None
    return name


def same_name(left: str, right: str) -> bool:
    """Whether two names mean the same model. Ignores letter case, the kind of separator and quantisation."""
    return unquantized(normalised(left)) == unquantized(normalised(right))


def unquantized(name: str) -> str:
    """The name without a suffix for quantisation: "x" for "x-bnb-4bit"."""
    return QUANTIZED.sub("", name)


def normalised(name: str) -> str:
    return re.sub(r"[-_.\s]+", "-", name.strip().lower()) or name
