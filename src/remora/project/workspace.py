"""What lies in the user's folder: base models and adapter folders, and what only looks like one, and why.

A first look: names, files and JSON. Whether an adapter's weights are whole is `remora.adapters` to say.
Never follows a link out of the folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from remora.errors import NotFound, ProjectIncomplete, RemoraError
from remora.project.alias import alias_from
from remora.project.json_file import read_object
from remora.project.model_name import last_name

MAX_DEPTH = 12
SKIPPED = frozenset(
    {"venv", "env", "node_modules", "__pycache__", "site-packages", "checkpoints", "infra"}
    | {"cache"}  # Olive keeps unfinished models there, and downloads a second time
)
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
MODEL_CONFIG = "config.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
NOT_OF_THE_MODEL = frozenset({ADAPTER_CONFIG, ADAPTER_WEIGHTS, "training_args.json", "trainer_state.json"})
MODEL_SUFFIXES = (".json", ".safetensors", ".model", ".jinja", ".txt")
GENERATING = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")
GENERIC_PARTS = frozenset(
    {"adapter", "adapters", "lora", "loras", "model", "models", "output", "outputs", "final"}
    | {"gpu_model", "gpu-cpu_model", "checkpoint"}
)


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A checkpoint folder. `name` is what it is known by, None where its folder has a generic name.

    `files` are relative to `path`: what an engine needs to load it, and nothing else that lies there.
    """

    path: Path
    name: str | None
    architecture: str
    model_type: str
    vocab_size: int | None
    context_length: int | None
    files: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """A folder that looks like a LoRA adapter, and the alias made from its path."""

    name: str
    path: Path
    base_model_name: str | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A folder that looks like a model or an adapter and cannot be used."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Workspace:
    """Everything found below `root`, each list in the order of paths."""

    root: Path
    bases: tuple[BaseModel, ...]
    adapters: tuple[AdapterFolder, ...]
    rejected: tuple[Rejected, ...]


class _Unusable(Exception):
    """Why a candidate is rejected."""


def find_workspace(root: Path) -> Workspace:
    """Look through a folder. Raises NotFound where it is none."""
    if not root.is_dir():
        raise NotFound(f"{root} is not a folder", hint="name the folder that holds your model and adapters")
    root = root.resolve()
    bases: list[BaseModel] = []
    adapters: list[tuple[Path, str | None]] = []
    rejected: list[Rejected] = []
    for folder, files in _folders(root):
        try:
            if ADAPTER_CONFIG in files:
                adapters.append((folder, _read_adapter(folder, files, root)))
            if _looks_like_base(folder, files):
                bases.append(_read_base(folder, root))
        except _Unusable as error:
            rejected.append(Rejected(folder, str(error)))
    names = _unique_names([path for path, _ in adapters], root)
    found = tuple(AdapterFolder(names[path], path, base_name) for path, base_name in adapters)
    return Workspace(root, tuple(bases), found, tuple(rejected))


def read_base_model(path: Path, *, within: Path | None = None) -> BaseModel:
    """The base model in one folder, whose files may be links to files below `within` (else the folder).

    Raises ProjectIncomplete where it cannot be used.
    """
    try:
        return _read_base(path, (within or path).resolve())
    except _Unusable as error:
        hint = "set `base` under [model] in remora.toml to the folder of the base model"
        raise ProjectIncomplete(f"{path} is no usable base model: {error}", hint=hint) from None


def _folders(root: Path) -> Iterator[tuple[Path, frozenset[str]]]:
    """Every folder worth a look with the names of its files, parents first, in the order of paths."""
    for current, folders, files in os.walk(root, followlinks=False):
        here = Path(current)
        deep = len(here.relative_to(root).parts) >= MAX_DEPTH
        folders[:] = [] if deep else sorted(name for name in folders if not _is_skipped(name))
        yield here, frozenset(files)


def _is_skipped(name: str) -> bool:
    return name.startswith((".", "checkpoint-")) or name in SKIPPED


def _read_base(path: Path, root: Path) -> BaseModel:
    config = _read_json(path / MODEL_CONFIG, root)
    files = _model_files(path, root)
    architecture = _architecture(config)
    if not any(name.endswith(".safetensors") for name in files):
        pickles = any(entry.suffix in PICKLES for entry in path.iterdir())
        raise _Unusable("only pickle weights; save the model as safetensors" if pickles else "no weights")
    if not any(name in files for name in TOKENIZERS):
        raise _Unusable("no tokenizer beside the weights")
    text_config = config.get("text_config")
    sizes = {**(text_config if isinstance(text_config, dict) else {}), **config}
    named = config.get("_name_or_path")
    return BaseModel(
        path=path,
        name=last_name(path.as_posix()) or last_name(named if isinstance(named, str) else ""),
        architecture=architecture,
        model_type=str(config.get("model_type") or ""),
        vocab_size=_size(sizes, "vocab_size"),
        context_length=next((size for key in CONTEXT_KEYS if (size := _size(sizes, key))), None),
        files=files,
        size_bytes=sum((path / name).stat().st_size for name in files),
    )


def _read_adapter(folder: Path, files: frozenset[str], root: Path) -> str | None:
    config = _read_json(folder / ADAPTER_CONFIG, root)
    if config.get("peft_type") != "LORA":
        raise _Unusable(f"peft_type is {config.get('peft_type')!r}, and only LORA is supported")
    if ADAPTER_WEIGHTS not in files:
        pickled = any(name.startswith("adapter_model.") and name.endswith(PICKLES) for name in files)
        raise _Unusable(
            "only pickle weights; save the adapter with safe_serialization=True"
            if pickled
            else f"no {ADAPTER_WEIGHTS}"
        )
    _check_inside(folder / ADAPTER_WEIGHTS, root)
    base_name = config.get("base_model_name_or_path")
    return base_name if isinstance(base_name, str) and base_name else None


def _looks_like_base(folder: Path, files: frozenset[str]) -> bool:
    """A `config.json` beside weights, or one that names an architecture."""
    if MODEL_CONFIG not in files:
        return False
    weights = {name for name in files if name.endswith((".safetensors", *PICKLES))} - {ADAPTER_WEIGHTS}
    if ADAPTER_CONFIG in files:
        return any(name.startswith("model") for name in weights)
    if weights:
        return True
    try:
        return bool(read_object(folder / MODEL_CONFIG).get("architectures"))
    except RemoraError:
        return False


def _read_json(path: Path, root: Path) -> dict[str, object]:
    _check_inside(path, root)
    try:
        return read_object(path)
    except RemoraError as error:
        raise _Unusable(error.message.removeprefix(f"{path.parent}{os.sep}")) from error


def _check_inside(path: Path, root: Path) -> None:
    if not path.resolve().is_relative_to(root):
        raise _Unusable(f"{path.name} is a link that leads out of {root}")


def _architecture(config: Mapping[str, object]) -> str:
    architectures = config.get("architectures")
    names = [str(name) for name in architectures] if isinstance(architectures, list) else []
    if not names and not config.get("model_type"):
        raise _Unusable("config.json names neither architectures nor model_type")
    if names and not any(name.endswith(GENERATING) for name in names):
        raise _Unusable(f"{names[0]} does not generate text")
    return names[0] if names else ""


def _model_files(path: Path, root: Path) -> tuple[str, ...]:
    names = sorted(
        entry.name
        for entry in path.iterdir()
        if entry.is_file()
        and entry.suffix in MODEL_SUFFIXES
        and not entry.name.startswith(".")
        and entry.name not in NOT_OF_THE_MODEL
    )
    for name in names:
        _check_inside(path / name, root)
    return tuple(names)


def _size(config: Mapping[str, object], key: str) -> int | None:
    value = config.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _unique_names(paths: list[Path], root: Path) -> dict[Path, str]:
    """The shortest alias from the end of each path that no other path shares."""
    telling = {path: _telling_parts(path, root) for path in paths}
    names: dict[Path, str] = {}
    for path in paths:
        parts = telling[path]
        names[path] = alias_from("-".join(parts))
        for count in range(1, len(parts) + 1):
            tail = parts[-count:]
            if sum(other[-count:] == tail for other in telling.values()) == 1:
                names[path] = alias_from("-".join(tail))
                break
    return _numbered(names)


def _telling_parts(path: Path, root: Path) -> list[str]:
    parts = [part for part in path.relative_to(root).parts if part.lower() not in GENERIC_PARTS]
    return parts or [root.name if root.name.lower() not in GENERIC_PARTS else "adapter"]


def _numbered(names: dict[Path, str]) -> dict[Path, str]:
    """Tell equal aliases apart by a number."""
    taken: set[str] = set()
    unique: dict[Path, str] = {}
    for path, name in names.items():
        candidate, count = name, 1
        while candidate in taken:
            count += 1
            candidate = f"{name[:58]}-{count}"
        taken.add(candidate)
        unique[path] = candidate
    return unique
