"""Rows of the embedding and the output head that an adapter brings, as PEFT saves and uses them.

- `….weight`: the whole matrix, where training resized the vocabulary or `modules_to_save` names the module;
- `….token_adapter.trainable_tokens_delta`: the rows of `trainable_token_indices`, which replace the others'.

Owns which row of which tensor stands for which token. A combination whose meaning is not certain is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from remora.adapters.adapter import LoraSettings, RowSource, TokenRows
from remora.adapters.peft.base_copies import own_rows, rejected
from remora.adapters.peft.base_shape import CONFIG_FILE, BaseShape, weight_files
from remora.adapters.peft.lora_tensors import EMBEDDINGS, HEADS, TOKEN_MODULES, TOKENS_DELTA, unwrapped
from remora.adapters.peft.tensor_file import TensorEntry, read_header
from remora.adapters.text.text_files import optional_object

_NAME = re.compile(
    rf"base_model\.model\.(?P<module>(?:.+\.)?(?:{'|'.join(sorted(TOKEN_MODULES))}))\."
    r"(?P<part>(?:(?:token_adapter\.)?base_layer\.|modules_to_save\.(?:default\.)?|original_module\.)?(?:weight|bias)"
    rf"|{re.escape(TOKENS_DELTA)})"
)
_BIAS = re.compile(r"^base_model\.model\.|(?<=\.)(?:base_layer|modules_to_save(?:\.default)?)\.")
_WHOLE = ("weight", "token_adapter.base_layer.weight", "base_layer.weight")
_SAVE_HINT = "save the adapter again with PEFT: model.save_pretrained(folder, save_embedding_layers=True)"

Found = Mapping[str, tuple[Path, TensorEntry]]


def is_token_tensor(name: str) -> bool:
    """Whether a tensor of an adapter is a matrix of tokens, or rows of one."""
    return _NAME.fullmatch(unwrapped(name)) is not None


def find_token_rows(
    path: Path, settings: LoraSettings, entries: Iterable[TensorEntry], base: BaseShape
) -> TokenRows | None:
    """What the tensors that `is_token_tensor` knows come to; None where all of it is the base's own.

    Raises AdapterRejected, naming the tensor, for what cannot be applied exactly.
    """
    sides: tuple[dict[str, TensorEntry], dict[str, TensorEntry]] = ({}, {})
    for entry in entries:
        match = _NAME.fullmatch(unwrapped(entry.name))
        if match is None:
            continue
        sides[match["module"].rpartition(".")[2] in HEADS][match["part"]] = entry
    if not any(sides):
        return None
    return _Reading(path, settings, base).rows(*sides)


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two matrices: what replaces rows of it, and how many tokens it has, 0 where nothing says."""

    sources: tuple[RowSource, ...] = ()
    bias: RowSource | None = None
    token_count: int = 0


class _Reading:
    """One adapter's tensors beside its base model's."""

    def __init__(self, path: Path, settings: LoraSettings, base: BaseShape) -> None:
        self._path = path
        self._settings = settings
        self._found: Found = {
            entry.name: (file, entry) for file in weight_files(base.path) for entry in read_header(file)
        }
        self._embedding = self._own({*EMBEDDINGS})
        head = self._own(HEADS)
        tied = optional_object(base.path / CONFIG_FILE).get("tie_word_embeddings")
        self._is_tied = head is None or bool(tied)
        self._head = self._embedding if head is None else head

    def rows(self, embedding: Mapping[str, TensorEntry], head: Mapping[str, TensorEntry]) -> TokenRows | None:
        first = next(iter({**embedding, **head}.values()))
        if self._embedding is None or self._head is None:
            raise rejected(self._path, first, "the base model has no such tensor")
        base_count = self._embedding[1].shape[0]
        read_in = self._side(embedding, self._embedding)
        read_out = self._side(head, self._head)
        if self._is_tied and not self._saves(EMBEDDINGS):
            read_out = _tied(read_in, read_out, has_delta=TOKENS_DELTA in head)
        count = read_out.token_count or read_in.token_count or base_count
        if not (read_in.token_count or read_out.token_count):  # then only rows say how far tokens go
            sources = (*read_in.sources, *read_out.sources)
            count = max([count, *(token + 1 for source in sources for token in source.ids)])
        self._check_added(first, read_in, range(base_count, count))
        self._check_added(first, read_out, range(base_count, count))
        if not (read_in.sources or read_out.sources or read_out.bias) and count == base_count:
            return None
        return TokenRows(read_in.sources, read_out.sources, read_out.bias, count)

    def _side(self, parts: Mapping[str, TensorEntry], original: tuple[Path, TensorEntry]) -> _Side:
        whole = next((parts[part] for part in _WHOLE if part in parts), None)
        sources, bias, count = list[RowSource](), None, 0
        if whole is not None:
            count = whole.shape[0]
            ids = own_rows(self._path, whole, *original)
            sources += [RowSource(whole.name, ids, ids)] if ids else []
        if "bias" in parts:
            bias = self._bias(parts["bias"])
        if TOKENS_DELTA in parts:
            ids = self._trained(parts[TOKENS_DELTA], original[1])
            sources.append(RowSource(parts[TOKENS_DELTA].name, ids, tuple(range(len(ids)))))
        return _Side(tuple(sources), bias, count)

    def _bias(self, entry: TensorEntry) -> RowSource | None:
        name = _BIAS.sub("", unwrapped(entry.name))
        if name not in self._found:
            raise rejected(self._path, entry, "the base model has no such tensor")
        ids = own_rows(self._path, entry, *self._found[name])
        return RowSource(entry.name, ids, ids) if ids else None

    def _trained(self, entry: TensorEntry, original: TensorEntry) -> tuple[int, ...]:
        """The tokens that the rows of `trainable_tokens_delta` stand for."""
        by_module = self._settings.trainable_tokens
        module = entry.name.removesuffix(f".{TOKENS_DELTA}").rpartition(".")[2]
        keys = [key for key in by_module if key in ("", module) or key.endswith(f".{module}")]
        ids = by_module[keys[0]] if keys else by_module.get("embed_tokens", ())
        if len(ids) != entry.shape[0] or entry.shape[1:] != original.shape[1:] or entry.dtype == "I32":
            what = f"it is {entry.dtype}{list(entry.shape)}, for {len(ids)} tokens of trainable_token_indices"
            raise rejected(self._path, entry, what, hint=_SAVE_HINT)
        return ids

    def _check_added(self, entry: TensorEntry, side: _Side, added: Sequence[int]) -> None:
        missing = set(added) - {token for source in side.sources for token in source.ids}
        if missing:
            what = f"token {min(missing)} is new, and has a row in only one of embedding and output head"
            raise rejected(self._path, entry, what, hint=_SAVE_HINT)

    def _saves(self, names: Iterable[str]) -> bool:
        """Whether `modules_to_save` has a module of these names, which is then on its own, even if tied."""
        saved = {name.rpartition(".")[2] for name in self._settings.modules_to_save}
        return bool(saved & set(names))

    def _own(self, names: Iterable[str]) -> tuple[Path, TensorEntry] | None:
        wanted = {f"{name}.weight" for name in names}
        return next(
            (each for name, each in self._found.items() if ".".join(name.split(".")[-2:]) in wanted), None
        )


def _tied(read_in: _Side, read_out: _Side, *, has_delta: bool) -> _Side:
    """Of one matrix in two places, what is said of the one holds for the other."""
    if not read_out.token_count:
        return _Side(read_in.sources, read_out.bias, read_in.token_count)
    deltas = (
        ()
        if has_delta
        else tuple(source for source in read_in.sources if source.tensor.endswith(TOKENS_DELTA))
    )
    return _Side((*read_out.sources, *deltas), read_out.bias, read_out.token_count)
