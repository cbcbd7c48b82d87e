"""The pairs of A and B in an adapter's file, with what belongs to each, by the header alone.

Owns finding them, and their sizes beside one another and beside a base model. Reads no numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from remora.adapters.adapter import LoraModule, LoraSettings
from remora.adapters.peft.base_shape import BaseShape
from remora.adapters.peft.experts import expert_layer
from remora.adapters.peft.lora_tensors import EMBEDDINGS, NESTED, TOKEN_MODULES, Part, parse_tensor_name
from remora.adapters.peft.module_settings import ModuleSettings, parameters_of
from remora.adapters.peft.tensor_file import TensorEntry
from remora.errors import AdapterRejected, listed

FACTORS: frozenset[Part] = frozenset({"A", "B", "E"})  # of an update, which is nothing where one of them is
FLOAT_DTYPES = frozenset({"F16", "BF16", "F32", "F64"})
SAVE_HINT = "save the adapter again with PEFT: model.save_pretrained(folder)"
_SPELT: Mapping[Part, str] = {
    "magnitude": "lora_magnitude_vector",
    "bias": "lora_B.bias",
    "E": "lora_E",
}
GATHER_HINT = (
    "gather the weights before saving: deepspeed.zero.GatheredParameters for ZeRO-3, summon_full_params for"
    " FSDP, or save_pretrained(folder, state_dict=accelerator.get_state_dict(model)) with accelerate"
)


@dataclass(frozen=True, slots=True)
class Pair:
    """One module's update. `trained` is the wrapper in training, `module` the module in the base model."""

    trained: str
    module: str
    parts: Mapping[Part, TensorEntry]

    @property
    def a(self) -> TensorEntry:
        return self.parts["A"]

    @property
    def b(self) -> TensorEntry:
        return self.parts["B"]

    def lora_module(self, settings: ModuleSettings) -> LoraModule:
        """With what the settings of the folder come to for it."""
        more = {part: entry.name for part, entry in self.parts.items() if part not in ("A", "B")}
        return LoraModule(
            name=self.module,
            rank=self.a.shape[0] if settings.rank is None else settings.rank,
            scaling=settings.scaling,
            in_features=self.a.shape[1],
            out_features=self.b.shape[0],
            tensors=(self.a.name, self.b.name),
            magnitude=more.get("magnitude", ""),
            bias=more.get("bias", ""),
            singular=more.get("E", ""),
            parameter=settings.parameter,
        )


def pair_up(
    path: Path, entries: Iterable[TensorEntry], settings: LoraSettings, base: BaseShape | None
) -> tuple[Pair, ...]:
    """All pairs of these tensors, which must be parts of pairs. Raises AdapterRejected."""
    modules: dict[str, dict[Part, TensorEntry]] = {}
    empty: list[str] = []
    twice: list[str] = []
    for entry in entries:
        parsed = parse_tensor_name(entry.name)
        if parsed is None:
            continue
        if parsed.part in ("A", "B") and (len(entry.shape) < 2 or 0 in entry.shape):
            if settings.start_rank is None:
                empty.append(f"{entry.name} {list(entry.shape)}")
            continue  # AdaLoRA leaves modules without any rank
        if parsed.part in modules.setdefault(parsed.wrapper, {}):
            twice.append(entry.name)
        else:
            modules[parsed.wrapper][parsed.part] = entry
    refuse(path, "has empty tensors, as DeepSpeed and FSDP save them in pieces", sorted(empty), GATHER_HINT)
    whole = {name: parts for name, parts in modules.items() if {"A", "B"} <= parts.keys()}
    lonely = [
        f"{name} has only lora_{''.join(sorted(parts))}"
        for name, parts in modules.items()
        if name not in whole and not (settings.start_rank is not None and parts.keys() == {"E"})
    ]
    refuse(path, "has halves of pairs", sorted(lonely), SAVE_HINT)
    pairs = [
        Pair(name, (base and base.find(_inside(name))) or _inside(name), parts)
        for name, parts in sorted(whole.items())
    ]
    counted = Counter((pair.module, pair.trained.count(NESTED)) for pair in pairs)
    twice += [pair.a.name for pair in pairs if counted[pair.module, pair.trained.count(NESTED)] > 1]
    refuse(path, "has the weights of a module twice, under two names", sorted(twice), SAVE_HINT)
    return tuple(pairs)


def foreign_tensors(entries: Iterable[TensorEntry], known: Iterable[str]) -> list[str]:
    """Those that are no part of a pair, nor any of the known ones; and those that are no plain numbers."""
    found = set(known)
    return sorted(
        f"{entry.name} {entry.dtype}{list(entry.shape)}"
        for entry in entries
        if entry.name not in found
        and (parse_tensor_name(entry.name) is None or len(entry.shape) > 2 or entry.dtype not in FLOAT_DTYPES)
    )


def missing_parameters(
    path: Path,
    settings: LoraSettings,
    modules: Mapping[str, ModuleSettings],
    pairs: Sequence[Pair],
    base: BaseShape | None,
) -> list[str]:
    """Parameters that `target_parameters` names and that have no weights.

    Where only some of a module's have, it is not certain whose those are.
    """
    found = {pair.trained for pair in pairs}
    adapted = {f"{pair.module}.{modules[pair.trained].parameter}" for pair in pairs}
    problems = []
    for module in sorted({_inside(pair.trained) for pair in pairs if modules[pair.trained].parameter}):
        parameters = parameters_of(settings, module, folder=path)
        if not {module + NESTED * depth for depth in range(len(parameters))} <= found:
            problems.append(f"{module} ({listed(parameters)})")
    asked = [
        name
        for name in (base.parameters if base else ())
        if any(f".{name}".endswith(f".{target}") for target in settings.target_parameters)
    ]
    return problems or sorted(set(asked) - adapted)


def part_problems(
    settings: LoraSettings, modules: Mapping[str, ModuleSettings], pairs: Iterable[Pair]
) -> list[str]:
    """Where a pair lacks what the settings say each has, or has what they do not say: PEFT ignores that."""
    more: dict[Part, bool] = {
        "magnitude": settings.uses_dora,
        "bias": settings.has_lora_bias,
        "E": settings.start_rank is not None,
    }
    problems = []
    for pair in pairs:
        wanted = {
            part for part, is_wanted in more.items() if is_wanted and not modules[pair.trained].parameter
        }
        found = pair.parts.keys() - {"A", "B"}
        problems += [f"{pair.trained} has no {_SPELT[part]}" for part in sorted(wanted - found)]
        problems += [f"{pair.trained} has a {_SPELT[part]}, not asked for" for part in sorted(found - wanted)]
    return problems


def shape_problems(modules: Mapping[str, ModuleSettings], pairs: Iterable[Pair]) -> list[str]:
    """Where A, B and what belongs to them are not of one size, or of another rank than the settings say."""
    problems = []
    for pair in pairs:
        settings, a, b = modules[pair.trained], pair.a.shape, pair.b.shape
        rank = a[0] if settings.rank is None else settings.rank
        fits = a[0] == b[1] and (a[0] % rank == 0 if settings.parameter else a[0] == rank)
        sizes: dict[str, list[tuple[int, ...]]] = {
            "magnitude": [(b[0],)],
            "bias": [(b[0],)],
            "E": [(a[0], 1)],
        }
        wrong = [
            part for part, entry in pair.parts.items() if entry.shape not in sizes.get(part, [entry.shape])
        ]
        if not fits or wrong:
            more = "".join(f", {part} is {list(pair.parts[part].shape)}" for part in wrong)
            problems.append(f"{pair.module}: rank {rank} expected, A is {list(a)}, B is {list(b)}{more}")
    return problems


def fit_problems(
    modules: Mapping[str, ModuleSettings], pairs: Iterable[Pair], base: BaseShape, *, resized: bool
) -> list[str]:
    """Where a pair is for no module of the base, or one of another size.

    `resized`: the adapter has another number of tokens than the base.
    """
    problems = []
    for pair in pairs:
        parameter = modules[pair.trained].parameter
        if parameter:
            problems += _parameter_problems(pair, parameter, modules[pair.trained].rank or 1, base)
            continue
        size = base.size_of(pair.module)
        update = (pair.b.shape[0], pair.a.shape[1])
        last = pair.module.rpartition(".")[2]
        tokens = last in TOKEN_MODULES and resized
        if size is None:
            problems.append(f"{pair.trained}: {base.why_not(pair.trained)}")
        elif size != update and not (tokens and set(size) & set(update)):
            problems.append(f"{pair.trained}: {_by(size)} in the base, {_by(update)} in the adapter")
        elif (
            pair.module in base.further
            and last not in EMBEDDINGS
            and {"magnitude", "bias"} & pair.parts.keys()
        ):
            problems.append(f"{pair.trained}: DoRA and biases are for linear layers that are no experts")
    return problems


def missing_experts(pairs: Sequence[Pair], base: BaseShape) -> list[str]:
    """Layers of experts without weights, where other experts have them for the same layer."""
    found: dict[tuple[str, str], set[int]] = {}
    for pair in pairs:
        if layer := expert_layer(pair.module):
            name = pair.module.rpartition(".")[2]
            found.setdefault((layer.module, name), set()).add(layer.number)
    problems = []
    for (module, name), numbers in sorted(found.items()):
        layer = expert_layer(f"{module}.0.{name}")
        shape = base.parameters.get(f"{module}.{layer.parameter}") if layer else None
        missing = set(range(shape[0])) - numbers if shape else set()
        problems += [f"{module}.{number}.{name}" for number in sorted(missing)]
    return problems


def refuse(path: Path, what: str, problems: Sequence[str], hint: str) -> None:
    """Raise, naming the first few problems, where there is any."""
    if not problems:
        return
    raise AdapterRejected(f"{path} {what}: {listed(problems, separator='; ')}", hint=hint)


def _parameter_problems(pair: Pair, parameter: str, rank: int, base: BaseShape) -> list[str]:
    name = base.find_parameter(f"{pair.module}.{parameter}")
    if name is None:
        return [f"{pair.module}.{parameter}: no such parameter"]
    shape = base.parameters[name]
    count = pair.a.shape[0] // rank
    update = (pair.b.shape[0], pair.a.shape[1])
    # Some models keep experts as (in, out), some as (out, in); a single matrix is always (out, in).
    sizes = {shape} if len(shape) == 2 else {shape[1:], shape[:0:-1]}
    experts = 1 if len(shape) == 2 else shape[0]
    if len(shape) in (2, 3) and update in sizes and count == experts:
        return []
    return [f"{name}: {list(shape)} in the base, {count} of {_by(update)} in the adapter"]


def _inside(wrapper: str) -> str:
    return wrapper.replace(NESTED, "")


def _by(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))
