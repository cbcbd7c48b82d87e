"""The adapter as the rest of Remora sees it. Owns the words; reads no files (see `inspect.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NewType

Digest = NewType("Digest", str)
"""Lower-case sha256 hex (64 characters) of an adapter's content; the same on every machine."""

SHORT_DIGEST_CHARACTERS = 12


def short(digest: Digest) -> str:
    """The first characters of a digest, as people see it."""
    return digest[:SHORT_DIGEST_CHARACTERS]


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """What `adapter_config.json` says about the low-rank update: W + scaling · B A.

    `rank_pattern` and `alpha_pattern` override rank and alpha for modules whose name ends with (or
    matches, as a regular expression, as in PEFT) the key. `target_modules` is a set of name suffixes,
    or one regular expression, or PEFT's "all-linear".
    """

    rank: int
    alpha: float
    target_modules: tuple[str, ...] | str
    base_model_name: str | None
    use_rslora: bool = False
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoraModule:
    """One adapted module: its dotted name inside the base model and the shapes of its pair.

    A has shape (rank, in_features), B has shape (out_features, rank).
    """

    name: str
    rank: int
    scaling: float
    in_features: int
    out_features: int


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA folder that was read and found whole; `name` is only an alias, `digest` the identity.

    `base_copies` are tensors beside the modules' that were found to repeat the base's own: to be left out.
    """

    name: str
    path: Path
    digest: Digest
    settings: LoraSettings
    modules: tuple[LoraModule, ...]
    size_bytes: int
    base_copies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AppliedAdapter:
    """What an engine really applied: the proof that a load had an effect."""

    digest: Digest
    modules: int
    parameters: int
