"""The models in the user's folder: base models, adapter folders, and rejected folders with the reason.

Reads names, file lists and JSON only; `remora.adapters` checks an adapter's weights. Never follows a link out
of the folder.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from remora.errors import NotFound, ProjectIncomplete, RemoraError
from remora.project.adapter_names import unique_names
from remora.project.checkpoints import newest_of
from remora.project.files.json_file import read_object
from remora.project.files.regular_file import CIRCLE, is_utf8, odd_kind, shown
from remora.project.model_kind import GENERATING, why_no_base
from remora.project.model_name import last_name
from remora.project.skipped import ADAPTER_CONFIG, CHECKPOINT, LIST_IT, adapters_below, why_skipped

MAX_DEPTH = 12
ADAPTER_WEIGHTS = "adapter_model.safetensors"
MODEL_CONFIG = "config.json"
PICKLED = "only pickle weights"
NO_TOKENIZER = "no tokenizer beside the weights"
BESIDE_AN_ADAPTER = (
    "its whole weights are beside an adapter, as torchtune leaves merged ones; the adapter would be applied"
    " to them twice; if they are the base, name them with --base"
)
MOST_PASSED_BY = 5  # adapters that are named for one skipped folder
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
TEXT_SETTINGS = (
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt"),
    *("chat_template.jinja", "generation_config.json"),
)
NOT_OF_THE_MODEL = frozenset({ADAPTER_CONFIG, ADAPTER_WEIGHTS, "training_args.json", "trainer_state.json"})
NAMED_TEMPLATES = "additional_chat_templates"  # a folder with one chat template per file
NAMED = frozenset({ADAPTER_CONFIG, ADAPTER_WEIGHTS, MODEL_CONFIG, *TOKENIZERS})
MODEL_SUFFIXES = (".json", ".safetensors", ".model", ".jinja", ".txt")
CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A checkpoint folder. `name` is the model's name, None if its folder has a generic name.

    `files` are relative to `path`: only those that an engine needs to load it. `is_quantized`: its weights
    have fewer than 16 bits.
    """

    path: Path
    name: str | None
    architecture: str
    model_type: str
    vocab_size: int | None
    context_length: int | None
    files: tuple[str, ...]
    size_bytes: int
    is_quantized: bool = False


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """A folder that looks like a LoRA adapter, and the alias made from its path."""

    name: str
    path: Path
    base_model_name: str | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something that looks like a model, an adapter or a part of one, and cannot be used or was skipped."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Workspace:
    """Everything found below `root`, each list in the order of paths. `skipped` was not inspected.

    `notes` say which checkpoint is used for a training without a final adapter.
    """

    root: Path
    bases: tuple[BaseModel, ...]
    adapters: tuple[AdapterFolder, ...]
    rejected: tuple[Rejected, ...]
    skipped: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()


class _Unusable(Exception):
    """Why a candidate is rejected."""


def find_workspace(root: Path) -> Workspace:
    """Search a folder. Raises NotFound if it is not a folder."""
    if not root.is_dir():
        raise NotFound(f"{root} is not a folder", hint="name the folder with your model and adapters")
    root = root.resolve()
    bases: list[BaseModel] = []
    adapters: list[tuple[Path, str | None]] = []
    rejected: list[Rejected] = []
    skipped: list[Rejected] = []
    notes: list[str] = []
    for folder, files in _folders(root, rejected, skipped, notes):
        try:
            if ADAPTER_CONFIG in files:
                adapters.append((folder, _read_adapter(folder, files, root)))
            if _looks_like_base(folder, files):
                if ADAPTER_CONFIG in files:
                    rejected.append(Rejected(folder, BESIDE_AN_ADAPTER))
                else:
                    bases.append(_read_base(folder, root))
        except _Unusable as error:
            rejected.append(Rejected(folder, str(error)))
        except OSError as error:
            rejected.append(Rejected(folder, f"cannot be read: {error.strerror or error}"))
    names = unique_names([path for path, _ in adapters], root)
    found = tuple(AdapterFolder(names[path], path, base_name) for path, base_name in adapters)
    return Workspace(root, tuple(bases), found, tuple(rejected), tuple(skipped), tuple(notes))


def claimed_base_name(adapters: Iterable[AdapterFolder]) -> str | None:
    """The base model that most of these adapters name."""
    names = Counter(name for folder in adapters if (name := last_name(folder.base_model_name or "")))
    return names.most_common(1)[0][0] if names else None


def read_base_model(path: Path, *, within: Path | None = None) -> BaseModel:
    """The base model in one folder, which may itself be a link.

    Its files may be links to files below `within`, or below the folder itself; those of a snapshot in the
    hub's cache are links to files beside it. Raises ProjectIncomplete if it cannot be used.
    """
    real = path.resolve()
    inside = real.parents[1] if real.parent.name == "snapshots" else real
    try:
        return _read_base(path, within.resolve() if within and real.is_relative_to(within) else inside)
    except _Unusable as error:
        hint = "set `base` under [model] in remora.toml to the folder of the base model"
        raise ProjectIncomplete(f"{shown(path)} is not a usable base model: {error}", hint=hint) from None


def _folders(
    root: Path, rejected: list[Rejected], skipped: list[Rejected], notes: list[str]
) -> Iterator[tuple[Path, frozenset[str]]]:
    """Every folder to inspect with the names of its files, parents first, in the order of paths.

    Irregular files go to `rejected`, adapters in skipped folders to `skipped`, the choice of a checkpoint
    to `notes`.
    """
    for current, folders, files in os.walk(root, followlinks=False):
        here = Path(current)
        deep = len(here.relative_to(root).parts) >= MAX_DEPTH
        newest = None if deep or ADAPTER_CONFIG in files else newest_of(here, folders)
        entered = [] if deep else sorted(name for name in folders if _is_entered(here, name))
        if newest:
            entered.append(newest.name)
            notes.append(f"{shown(here.relative_to(root))}: {newest.text}")
        for name in sorted(set(folders) - set(entered)):
            skipped += _passed_by(root, here / name, is_known=newest is not None or ADAPTER_CONFIG in files)
        folders[:] = entered
        looked_for = sorted(filter(_is_looked_for, files))
        odd = {name: kind for name in looked_for if (kind := _odd_file(here, name))}
        rejected += [Rejected(here / name, kind) for name, kind in odd.items()]
        yield here, frozenset(files) - odd.keys()


def _is_entered(here: Path, name: str) -> bool:
    return why_skipped(name) is None and is_utf8(name) and not (here / name).is_symlink()


def _passed_by(root: Path, folder: Path, *, is_known: bool) -> Iterator[Rejected]:
    """The adapters in a skipped folder, except checkpoints of a training that is known."""
    name = folder.name
    if folder.is_symlink():  # the target of a link inside the project is found at its own path
        if not _is_inside(folder, root):
            yield Rejected(folder, f"a link that leads out of {shown(root)} and is not followed; {LIST_IT}")
        return
    if name.startswith(CHECKPOINT) and is_known:
        return
    if not is_utf8(name):
        reason = "its name is not UTF-8; give it another"
    else:
        reason = f"{why_skipped(name) or f'more than {MAX_DEPTH} folders deep'}, not searched; {LIST_IT}"
    found = list(adapters_below(folder))
    yield from (Rejected(adapter, reason) for adapter in found[:MOST_PASSED_BY])
    if len(found) > MOST_PASSED_BY:
        yield Rejected(folder, f"{len(found) - MOST_PASSED_BY} more adapters: {reason}")


def _odd_file(here: Path, name: str) -> str | None:
    """Why an entry is not a usable file; None if it is."""
    if not is_utf8(name):
        return "its name is not UTF-8; give it another"
    kind = odd_kind(here / name)
    return kind and f"{kind}, not a file"


def _is_looked_for(name: str) -> bool:
    return name in NAMED or name.endswith((*MODEL_SUFFIXES, *PICKLES))


def _read_base(path: Path, root: Path) -> BaseModel:
    config = _read_json(path / MODEL_CONFIG, root)
    if refusal := why_no_base(config, name=path.as_posix()):
        raise _Unusable(f"{refusal[0]}; {refusal[1]}")
    files = _model_files(path, root)
    architecture = _architecture(config)
    if not any(name.endswith(".safetensors") for name in files):
        pickles = any(entry.suffix in PICKLES for entry in path.iterdir())
        raise _Unusable("only pickle weights; save the model as safetensors" if pickles else "no weights")
    if not any(name in files for name in TOKENIZERS):
        raise _Unusable(NO_TOKENIZER)
    text_config = config.get("text_config")
    sizes = {**(text_config if isinstance(text_config, dict) else {}), **config}
    named = config.get("_name_or_path")
    return BaseModel(
        path=path,
        is_quantized=bool(config.get("quantization_config")),
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
    if ADAPTER_WEIGHTS not in files and "peft_type" in config:  # else the inspection says whose it is
        pickled = any(name.startswith("adapter_model.") and name.endswith(PICKLES) for name in files)
        raise _Unusable(
            f"{PICKLED}; convert them with: remora adapters convert {quote(shown(folder))}"
            if pickled
            else f"no {ADAPTER_WEIGHTS}"
        )
    for name in files & {ADAPTER_WEIGHTS, *TOKENIZERS, *TEXT_SETTINGS}:
        _check_inside(folder / name, root)
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
        _check_inside(folder / MODEL_CONFIG, folder)
        return bool(read_object(folder / MODEL_CONFIG).get("architectures"))
    except (RemoraError, _Unusable):
        return False


def _read_json(path: Path, root: Path) -> dict[str, object]:
    _check_inside(path, root)
    try:
        return read_object(path)
    except RemoraError as error:
        raise _Unusable(error.message.removeprefix(f"{path.parent}{os.sep}")) from error


def _check_inside(path: Path, root: Path) -> None:
    if odd_kind(path) == CIRCLE:
        raise _Unusable(f"{path.name} is {CIRCLE}")
    if not _is_inside(path, root):
        raise _Unusable(f"{path.name} is a link that leads out of {root}")


def _is_inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # Python before 3.13 raises RuntimeError for a circular link
        return False


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
        and is_utf8(entry.name)
        and entry.name not in NOT_OF_THE_MODEL
    )
    named = sorted((path / NAMED_TEMPLATES).glob("*.jinja"))
    names += [f"{NAMED_TEMPLATES}/{file.name}" for file in named if file.is_file()]
    for name in names:
        _check_inside(path / name, root)
    return tuple(names)


def _size(config: Mapping[str, object], key: str) -> int | None:
    value = config.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
