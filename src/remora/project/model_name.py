"""What a model is called, whatever path or hub id it is named by. Compares names; reads no files."""

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
    }
)  # folder names that say nothing about which model lies in them
HASH = re.compile(r"[0-9a-f]{12,64}")


def last_name(text: str) -> str | None:
    """The model's own name in a path or hub id ("/mount/model-cache/microsoft/phi-2/" is "phi-2").

    None where the text names no model: a generic folder name, or nothing at all. Understands the hub's
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
    if normalised(name) in GENERIC or HASH.fullmatch(name):
        return None
    return name


def same_name(left: str, right: str) -> bool:
    """Whether two names mean the same model: letter case and the kind of separator do not matter."""
    return normalised(left) == normalised(right)


def normalised(name: str) -> str:
    return re.sub(r"[-_.\s]+", "-", name.strip().lower()) or name
