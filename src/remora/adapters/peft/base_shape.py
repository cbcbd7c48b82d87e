"""The shape of a base model: its names and the sizes of its linear modules, read from headers alone.

What is a linear module here is one for the engine, which reads the checkpoint with transformers: experts of a
mixture are kept fused there (`experts.py`), their routers are modules of their own kinds, GPT-2's Conv1D
are linear layers whose matrix lies transposed, and a head that the checkpoint does not hold is the embedding.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from remora.adapters.peft.experts import is_expert, with_fused_experts
from remora.adapters.peft.int4_entries import int4_as_matrices
from remora.adapters.peft.nf4_entries import CODES, as_matrices
from remora.adapters.peft.tensor_file import TensorEntry, read_header
from remora.adapters.text.chat_templates import check_templates
from remora.errors import InvalidFile, ProjectIncomplete, Refused, listed
from remora.project.architectures import unsupported, why_not_on_torch
from remora.project.files.json_file import read_object
from remora.project.model_kind import language_part, why_no_base
from remora.project.model_name import last_name

CONFIG_FILE = "config.json"
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
EMBEDDINGS = frozenset({"embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings"})
OTHER_EMBEDDINGS = frozenset(
    {"wpe", "embed_positions", "position_embeddings", "token_type_embeddings", "embed_tokens_per_layer"}
)
HEADS = frozenset({"lm_head", "embed_out", "output_projection"})
HEAD_OF = {"biogpt": "output_projection", "gpt_neox_japanese": "embed_out"}  # all others: lm_head
FINGERPRINT_CHARACTERS = 12
COPY_HINT = "copy the base model again; every file of the checkpoint is needed"
# Of a checkpoint that was saved without its head, and so without the name of the model inside.
INSIDE = {
    "layers": "model",
    "embed_tokens": "model",
    "norm": "model",
    "h": "transformer",
    "wte": "transformer",
}
LANGUAGE_PART = "language_model"  # what the text part of a model of several inputs is called
OTHER_PARTS = frozenset(  # of such a model
    {"vision_tower", "vision_model", "multi_modal_projector", "embed_vision", "audio_tower", "embed_audio"}
)
UNSERVED = "of the part for images or sound, which is not served"
_TRANSPOSED = frozenset({"gpt2", "openai-gpt", "imagegpt", "decision_transformer"})
ROUTERS = frozenset({"gate", "router"})
ROUTER = "the router of a mixture, which takes no adapter"
FURTHER = "what takes a LoRA, and is no linear layer"
OLD_MIXTURE, NEW_MIXTURE = ".block_sparse_moe.", ".mlp."
RENAMED = dict.fromkeys(("mixtral", "minimax", "phimoe"), (OLD_MIXTURE, NEW_MIXTURE))


@dataclass(frozen=True, slots=True)
class BaseShape:
    """A base model as adapters see it.

    `names` is what the model is known by (empty where the folder gives no clue); `modules` maps a linear
    module's dotted name, as the engine has it, to (out_features, in_features); `others` are modules that take
    no adapter, with what they are; `head` is the module that makes the logits. `embeds_in_layers`: there is
    an embedding for the layers, too. `engine` is the one that all this is for. `claimed_only`: the names are
    what adapters claim, and nothing that belongs to the base says it.
    """

    path: Path
    names: tuple[str, ...]
    modules: Mapping[str, tuple[int, int]]
    others: Mapping[str, str] = field(default_factory=dict)
    head: str = ""
    further: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    parameters: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    claimed_only: bool = False
    engine: str = "torch"
    model_type: str = ""
    embeds_in_layers: bool = False

    @property
    def fingerprint(self) -> str:
        """Identifies modules and sizes: base models that take the same adapters share it."""
        text = json.dumps(sorted(self.modules.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT_CHARACTERS]

    def find(self, module: str) -> str | None:
        """The base's own name for a module that an adapter names, by one of the spellings in use."""
        return next((name for name in spellings(module) if self.size_of(name)), None)

    def find_parameter(self, parameter: str) -> str | None:
        """The base's own name for a parameter that an adapter names."""
        return next((name for name in spellings(parameter) if name in self.parameters), None)

    def size_of(self, module: str) -> tuple[int, int] | None:
        """(out_features, in_features) of what takes a LoRA, by its own name."""
        return self.modules.get(module) or self.further.get(module)

    def why_not(self, module: str) -> str:
        """Why an adapter's module is none of `modules`."""
        found = (self.others[name] for name in spellings(module) if name in self.others)
        return next(found, UNSERVED if OTHER_PARTS & set(module.split(".")) else "no such module")


def read_base(
    path: Path, *, names: tuple[str, ...] = (), claimed: str | None = None, engine: str = "torch"
) -> BaseShape:
    """The shape of the base model in a folder; `names` is what else it is known by.

    `claimed` is what most adapters say it is: its name where nothing else gives it one. Its modules are those
    that the `engine` adapts.

    Raises ProjectIncomplete (a file is missing), InvalidFile (a file is malformed) or Refused (a
    checkpoint that we do not serve).
    """
    config = read_object(path / CONFIG_FILE, missing_hint=COPY_HINT)
    if refusal := why_no_base(config, name=path.resolve().as_posix()):
        what, hint = refusal
        raise Refused(f"{path} {what}", hint=hint)
    served = language_part(config)
    if engine == "torch" and (lacking := why_not_on_torch(served)):
        raise unsupported(path, config["model_type"], lacking)
    check_templates(path, Refused, what=str(path))
    entries = read_entries(path)
    known = (*names, path.resolve().as_posix(), config.get("_name_or_path"))
    found = [name for text in known if isinstance(text, str) and (name := last_name(text))]
    model_type = str(served.get("model_type") or "")
    is_claimed = bool(claimed) and not found
    known_names = (claimed,) if claimed and not found else tuple(dict.fromkeys(found))
    return BaseShape(
        path,
        known_names,
        claimed_only=is_claimed,
        engine=engine,
        model_type=model_type,
        embeds_in_layers=bool(served.get("hidden_size_per_layer_input")),
        **_sorted(entries, model_type, engine),
    )


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
        raise ProjectIncomplete(f"{path} lacks {listed(missing)}, which its index lists", hint=COPY_HINT)
    return tuple(path / name for name in names)


def read_entries(path: Path) -> list[TensorEntry]:
    """All tensors of a checkpoint; matrices in 4 bits have their own sizes. Raises as `read_base`."""
    entries = [entry for file in weight_files(path) for entry in as_matrices(file, read_header(file))]
    return list(int4_as_matrices(path, entries))


class _Sorted(TypedDict):
    modules: dict[str, tuple[int, int]]
    others: dict[str, str]
    further: dict[str, tuple[int, int]]
    parameters: dict[str, tuple[int, ...]]
    head: str


def _sorted(entries: Sequence[TensorEntry], model_type: str, engine: str) -> _Sorted:
    """Linear modules, what else takes a LoRA, what only looks so in a header, all parameters, the head."""
    mixtures = {entry.name.partition(".experts.")[0] for entry in entries if ".experts." in entry.name}
    head = HEAD_OF.get(model_type, "lm_head")
    made = _Sorted(modules={}, others={}, further={}, parameters={}, head=head)
    embedding: tuple[int, int] | None = None
    for entry in entries:
        parameter = _engine_name(entry.name, entries, head, model_type)
        if OTHER_PARTS & set(parameter.split(".")):
            made["others"][parameter.removesuffix(".weight")] = UNSERVED
            continue
        module = parameter.removesuffix(".weight")
        # bitsandbytes has turned the matrix of a Conv1D before it made codes of it.
        turned = entry.dtype == CODES and is_transposed(model_type, module)
        made["parameters"][parameter] = shape = entry.shape[::-1] if turned else entry.shape
        if len(shape) != 2 or not entry.name.endswith(".weight"):
            continue
        size = (shape[0], shape[1])
        last = module.rpartition(".")[2]
        if is_transposed(model_type, module) and last not in EMBEDDINGS:
            size = size[::-1]
        kind = _other_kind(entry.name.removesuffix(".weight"), mixtures, model_type, engine)
        if last in EMBEDDINGS and embedding is None:
            embedding = size
            if engine == "torch":
                made["further"][module], kind = (size[1], size[0]), FURTHER
        if kind and kind != FURTHER:
            made["others"][module] = kind
        else:
            made["further" if kind else "modules"].setdefault(module, size)
    if embedding is not None:  # a decoder has a head: one that it does not hold is tied, whatever config says
        made["modules"].setdefault(head, embedding)
    made["parameters"] = with_fused_experts(made["parameters"])
    return made


def is_transposed(model_type: str, module: str) -> bool:
    """Whether a linear layer is a Conv1D of transformers, whose matrix is (in, out) in every file."""
    return model_type in _TRANSPOSED and module.rpartition(".")[2] not in HEADS


def _other_kind(module: str, mixtures: Collection[str], model_type: str, engine: str) -> str:
    """What a matrix of a checkpoint is where it is no linear layer; "" where it is one."""
    parent, _, last = module.rpartition(".")
    if last in EMBEDDINGS | OTHER_EMBEDDINGS:
        return "an embedding, and only linear layers take adapters"
    if is_expert(module):
        return FURTHER if engine == "torch" else ""  # vLLM adapts each of them by itself
    if last in ROUTERS and parent in mixtures:
        return FURTHER if engine == "torch" and last == "gate" else ROUTER
    if module.endswith(".router.layer"):
        return ROUTER
    if engine == "vllm" and is_transposed(model_type, module):
        return "a Conv1D layer, and the engine vllm adapts linear layers only"
    return ""


def _engine_name(name: str, entries: Sequence[TensorEntry], head: str, model_type: str) -> str:
    """A parameter's name in the model that transformers makes of a checkpoint."""
    name = ".".join(part for part in name.split(".") if part != LANGUAGE_PART)
    module, dot, last = name.rpartition(".")
    if module in HEADS:
        return f"{head}{dot}{last}"
    if model_type in RENAMED:
        name = name.replace(*RENAMED[model_type])
    inside = INSIDE.get(name.partition(".")[0])
    if inside is None or any(entry.name.startswith(f"{inside}.") for entry in entries):
        return name
    return f"{inside}.{name}"


def spellings(module: str) -> Iterator[str]:
    """A module's name as it is, as it was in older versions of transformers, with the model's own prefix, and
    without that of a language part."""
    yield module
    if OLD_MIXTURE in module:
        yield from spellings(module.replace(OLD_MIXTURE, NEW_MIXTURE))
    if inside := INSIDE.get(module.partition(".")[0]):
        yield f"{inside}.{module}"
    parts = module.split(".")
    if LANGUAGE_PART in parts:
        without = [part for part in parts if part != LANGUAGE_PART]
        yield ".".join(without)
        yield ".".join(["model", *without])
