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
    or one regular expression, or PEFT's "all-linear"; `exclude_modules` is one of the first two, and takes
    away from it; so do `layers_to_transform`, the numbers after one of `layers_pattern`. `unknown` are
    settings that PEFT ignores, with their values. `trainable_tokens` are the tokens whose rows were trained,
    by the name of the module; "" is the embedding. `target_parameters` are endings of the names of parameters
    that are adapted beside modules. `biases` are those that were trained: none, all or lora_only.
    `uses_dora` and `has_lora_bias`: each pair has a magnitude, or a bias, too.
    `start_rank` is set for AdaLoRA alone, which starts with one rank and leaves each module its own.
    """

    rank: int
    alpha: float
    target_modules: tuple[str, ...] | str
    base_model_name: str | None
    use_rslora: bool = False
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    modules_to_save: tuple[str, ...] = ()
    trainable_tokens: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    exclude_modules: tuple[str, ...] | str = ()
    layers_to_transform: tuple[int, ...] | None = None
    layers_pattern: tuple[str, ...] = ()
    target_parameters: tuple[str, ...] = ()
    biases: str = "none"
    ties_head: bool = False
    uses_dora: bool = False
    has_lora_bias: bool = False
    start_rank: int | None = None
    unknown: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoraModule:
    """One adapted module: its dotted name inside the base model and the shapes of its pair.

    A has shape (rank, in_features), B has shape (out_features, rank); `tensors` are their names in the file.
    Of some kinds there are more: DoRA's `magnitude` (out,), the `bias` of B (out,) and AdaLoRA's `singular`
    values (rank, 1). `parameter` names the module's parameter where PEFT adapts that and not the module; of
    fused experts all have a pair of their own, side by side in the two tensors.
    """

    name: str
    rank: int
    scaling: float
    in_features: int
    out_features: int
    tensors: tuple[str, str]
    magnitude: str = ""
    bias: str = ""
    singular: str = ""
    parameter: str = ""

    @property
    def all_tensors(self) -> tuple[str, ...]:
        """The names of all that it has in the file."""
        more = (self.magnitude, self.bias, self.singular)
        return (*self.tensors, *(name for name in more if name))


@dataclass(frozen=True, slots=True)
class RowSource:
    """Rows of a tensor in the adapter's file that take the place of a matrix's, by the tokens' ids."""

    tensor: str
    ids: tuple[int, ...]
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TokenRows:
    """What an adapter has of its own in the embedding, in the output head and in the head's bias.

    Later sources go over earlier ones. `token_count` is how many tokens the model has with this adapter.
    """

    embedding: tuple[RowSource, ...]
    head: tuple[RowSource, ...]
    head_bias: RowSource | None
    token_count: int


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA folder that was read and found whole; `name` is only an alias, `digest` the identity.

    `base_copies` are tensors beside the modules': matrices of tokens, of which `token_rows` is the part that
    is not the base's own. `own_parameters` are tensors, by the parameter of the base model whose place they
    take: trained biases and modules that were trained whole. `remarks` are for people: what is ignored, and
    what is taken on trust.
    `text_files` are the files of a tokenizer, or settings for one, that lie beside the weights.
    `generation_defaults` are sampling settings that it asks for; requests must ask for them themselves.
    """

    name: str
    path: Path
    digest: Digest
    settings: LoraSettings
    modules: tuple[LoraModule, ...]
    size_bytes: int
    base_copies: tuple[str, ...] = ()
    text_files: tuple[str, ...] = ()
    token_rows: TokenRows | None = None
    own_parameters: Mapping[str, str] = field(default_factory=dict)
    generation_defaults: Mapping[str, object] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AppliedAdapter:
    """What an engine really applied: the proof that a load had an effect."""

    digest: Digest
    modules: int
    parameters: int
    token_rows: int = 0
