"""The shape of a base model: its names and the sizes of its linear modules, read from headers alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remora.adapters.tensor_file import TensorEntry, read_header
from remora.errors import InvalidFile, ProjectIncomplete, Refused
from remora.project.json_file import read_object
from remora.project.model_name import last_name

CONFIG_FILE = "config.json"
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
EMBEDDINGS = frozenset({"embed_tokens", "wte", "wpe", "word_embeddings", "embed_in", "tok_embeddings"})
FINGERPRINT_CHARACTERS = 12
COPY_HINT = "copy the base model again; every file of the checkpoint is needed"


@dataclass(frozen=True, slots=True)
class BaseShape:
    """A base model as adapters see it.

    `names` is what the model is known by (empty where the folder gives no clue); `modules` maps a linear
    module's dotted name, as in the checkpoint, to (out_features, in_features).
    """

    path: Path
    names: tuple[str, ...]
    modules: Mapping[str, tuple[int, int]]

    @property
    def fingerprint(self) -> str:
        """Identifies modules and sizes: base models that take the same adapters share it."""
        text = json.dumps(sorted(self.modules.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT_CHARACTERS]

    def find(self, module: str) -> tuple[int, int] | None:
        """The size of a module, whether or not the checkpoint spells the model's own prefix."""
        without_prefix = module.partition(".")[2]
        for spelling in (module, without_prefix, f"model.{module}"):
            if spelling in self.modules:
                return self.modules[spelling]
        return None


def read_base(path: Path, *, names: tuple[str, ...] = ()) -> BaseShape:
    """The shape of the base model in a folder; `names` is what else it is known by.

    Raises ProjectIncomplete (a file is missing), InvalidFile (a file is malformed) or Refused (a
    checkpoint that we do not serve).
    """
    config = read_object(path / CONFIG_FILE, missing_hint=COPY_HINT)
    if config.get("quantization_config"):
        raise Refused(
            f"{path} is a quantized checkpoint, which cannot take adapters exactly",
            hint="use the original, unquantized model as the base",
        )
    modules: dict[str, tuple[int, int]] = {}
    embeddings: list[tuple[int, int]] = []
    for file in weight_files(path):
        for entry in read_header(file):
            _sort_in(entry, modules, embeddings)
    if config.get("tie_word_embeddings") and embeddings:
        modules.setdefault("lm_head", embeddings[0])
    known = (*names, path.resolve().as_posix(), config.get("_name_or_path"))
    found = [name for text in known if isinstance(text, str) and (name := last_name(text))]
    return BaseShape(path, tuple(dict.fromkeys(found)), modules)


def weight_files(path: Path) -> tuple[Path, ...]:
    """The safetensors files of a checkpoint: the single file, else those that the index lists."""
    if (path / SINGLE_FILE).is_file():
        return (path / SINGLE_FILE,)
    if not (path / INDEX_FILE).is_file():
        raise ProjectIncomplete(f"{path} has neither {SINGLE_FILE} nor {INDEX_FILE}", hint=COPY_HINT)
    weight_map = read_object(path / INDEX_FILE).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InvalidFile(f"{path / INDEX_FILE} has no weight_map", hint=COPY_HINT)
    names = sorted({str(name) for name in weight_map.values()})
    outside = [name for name in names if Path(name).name != name]
    if outside:
        raise InvalidFile(
            f"{path / INDEX_FILE} names a file outside its folder: {outside[0]!r}", hint=COPY_HINT
        )
    missing = [name for name in names if not (path / name).is_file()]
    if missing:
        raise ProjectIncomplete(f"{path} lacks {', '.join(missing)}, which its index lists", hint=COPY_HINT)
    return tuple(path / name for name in names)


def _sort_in(
    entry: TensorEntry, modules: dict[str, tuple[int, int]], embeddings: list[tuple[int, int]]
) -> None:
    if len(entry.shape) != 2 or not entry.name.endswith(".weight"):
        return
    module = entry.name.removesuffix(".weight")
    if module.rpartition(".")[2] in EMBEDDINGS:
        embeddings.append((entry.shape[0], entry.shape[1]))
    else:
        modules[module] = (entry.shape[0], entry.shape[1])
