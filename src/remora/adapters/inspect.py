"""Reads a LoRA folder and finds it whole, or says precisely why not. Loads no weights and needs no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from remora.adapters.adapter import Adapter, LoraModule, LoraSettings
from remora.adapters.base_copies import check_base_copies
from remora.adapters.base_shape import BaseShape, read_base
from remora.adapters.digest import scan_tensors
from remora.adapters.lora_config import CONFIG_FILE, read_lora_settings
from remora.adapters.lora_tensors import WEIGHTS_FILE, base_tensor_of, parse_tensor_name
from remora.adapters.module_settings import ModuleSettings, settings_of_modules, unmatched_targets
from remora.adapters.tensor_file import TensorEntry, fetch_ahead, read_header
from remora.errors import AdapterRejected, RemoraError
from remora.project.alias import RULE, is_alias
from remora.project.model_name import last_name, same_name

__all__ = ["ADAPTER_FILES", "BaseShape", "inspect_adapter", "read_base"]

ADAPTER_FILES = (CONFIG_FILE, WEIGHTS_FILE)
"""The files of a LoRA folder that are the adapter; whatever else lies beside them is not."""
PICKLE_FILES = ("adapter_model.bin", "adapter_model.pt", "adapter_model.pth")
FLOAT_DTYPES = frozenset({"F16", "BF16", "F32", "F64"})
LISTED = 5
SAVE_HINT = "save the adapter again with PEFT: model.save_pretrained(folder)"


@dataclass(frozen=True, slots=True)
class _Pair:
    """The two halves of one module's update."""

    module: str
    a: TensorEntry
    b: TensorEntry


def inspect_adapter(
    name: str, path: Path, base: BaseShape | None, *, allow_base_mismatch: bool = False
) -> Adapter:
    """The adapter in a folder, checked against the base model where one is given.

    With `allow_base_mismatch` the adapter may name another base model, if its shapes fit this one.
    Raises AdapterRejected with everything that is wrong at the first stage that found something.
    """
    if not is_alias(name):
        raise AdapterRejected(f"{name!r} cannot name an adapter", hint=f"use {RULE}", param="name")
    settings = read_lora_settings(path)
    if base is not None and not allow_base_mismatch:
        _check_base_name(path, settings, base)
    entries = _read_weights(path)
    copies = [entry for entry in entries if base is not None and base_tensor_of(entry.name)]
    pairs = _pair_up(path, [entry for entry in entries if entry not in copies])
    modules = settings_of_modules(settings, [pair.module for pair in pairs], folder=path)
    _check_targets(path, settings, modules)
    _refuse(path, "has weights of the wrong shape", _shape_problems(modules, pairs), SAVE_HINT)
    if base is not None:
        hint = f"choose the base model it was trained on ({settings.base_model_name or 'unknown'})"
        _refuse(path, f"does not fit the base model {base.path}", _fit_problems(pairs, base), hint)
        check_base_copies(path, copies, base)
    scan = scan_tensors(modules, path / WEIGHTS_FILE, entries)
    _check_effect(path, settings, modules, pairs, scan.zero)
    return Adapter(
        name=name,
        path=path,
        digest=scan.digest,
        settings=settings,
        modules=tuple(_module(modules[pair.module], pair) for pair in pairs),
        size_bytes=sum((path / file).stat().st_size for file in ADAPTER_FILES),
        base_copies=tuple(copy.name for copy in copies),
    )


def _check_base_name(path: Path, settings: LoraSettings, base: BaseShape) -> None:
    """Refuse where adapter and base each clearly say which model they are, and disagree."""
    wanted = last_name(settings.base_model_name or "")
    if wanted is None or not base.names or any(same_name(wanted, name) for name in base.names):
        return
    raise AdapterRejected(
        f"{path} was trained on {settings.base_model_name!r}, but the base model is {base.names[0]!r}",
        hint=f"use the base model {wanted}; if this is it, add also_known_as = [{wanted!r}]"
        " to [model] in remora.toml",
        param="base_model_name_or_path",
    )


def _read_weights(path: Path) -> tuple[TensorEntry, ...]:
    weights = path / WEIGHTS_FILE
    if not weights.is_file():
        raise _without_weights(path)
    fetch_ahead(weights)
    try:
        entries = read_header(weights)
    except (RemoraError, OSError) as error:
        raise AdapterRejected(str(error), hint="copy the file again, or " + SAVE_HINT) from error
    if not entries:
        raise AdapterRejected(f"{weights} has no tensors", hint=SAVE_HINT)
    return entries


def _without_weights(path: Path) -> AdapterRejected:
    pickles = [name for name in PICKLE_FILES if (path / name).exists()]
    if not pickles:
        return AdapterRejected(f"{path} has no {WEIGHTS_FILE}", hint=SAVE_HINT)
    return AdapterRejected(
        f"{path} has only {pickles[0]}, a pickle, which can run code when it is opened",
        hint="save the adapter with safe_serialization=True",
    )


def _pair_up(path: Path, entries: Iterable[TensorEntry]) -> tuple[_Pair, ...]:
    halves: dict[str, dict[str, TensorEntry]] = {}
    foreign: list[str] = []
    for entry in entries:
        parsed = parse_tensor_name(entry.name)
        if parsed is None or len(entry.shape) != 2 or entry.dtype not in FLOAT_DTYPES:
            foreign.append(f"{entry.name} {entry.dtype}{list(entry.shape)}")
        else:
            halves.setdefault(parsed.module, {})[parsed.side] = entry
    _refuse(path, "has tensors that belong to no linear LoRA module", sorted(foreign), SAVE_HINT)
    lonely = [
        f"{module} has only lora_{''.join(sides)}" for module, sides in halves.items() if len(sides) < 2
    ]
    _refuse(path, "has halves of pairs", sorted(lonely), SAVE_HINT)
    return tuple(_Pair(module, sides["A"], sides["B"]) for module, sides in sorted(halves.items()))


def _check_effect(
    path: Path,
    settings: LoraSettings,
    modules: Mapping[str, ModuleSettings],
    pairs: Sequence[_Pair],
    zero: Collection[str],
) -> None:
    """A pair with a half that is all zeros changes nothing; some may be so, all of them is no training."""
    if any(
        modules[pair.module].scaling and pair.a.name not in zero and pair.b.name not in zero for pair in pairs
    ):
        return
    reasons = {
        "every lora_B is zero": all(pair.b.name in zero for pair in pairs),
        "every lora_A is zero": all(pair.a.name in zero for pair in pairs),
        "lora_alpha is 0": not settings.alpha,
    }
    reason = next((what for what, holds in reasons.items() if holds), "in every module a half is zero")
    raise AdapterRejected(
        f"{path} has no effect: {reason}, so base and adapter would answer alike",
        hint="save the adapter after its training, not before; was the trained one saved elsewhere?",
    )


def _check_targets(path: Path, settings: LoraSettings, modules: Mapping[str, ModuleSettings]) -> None:
    absent = unmatched_targets(settings, modules)
    _refuse(path, "lacks weights for what target_modules names", absent, SAVE_HINT)
    extra = [name for name, module in modules.items() if not module.is_target]
    _refuse(path, "has weights for modules that target_modules does not name", extra, SAVE_HINT)


def _shape_problems(modules: Mapping[str, ModuleSettings], pairs: Iterable[_Pair]) -> list[str]:
    problems = []
    for pair in pairs:
        rank = modules[pair.module].rank
        if pair.a.shape[0] != rank or pair.b.shape[1] != rank:
            problems.append(
                f"{pair.module}: rank {rank} expected, A is {list(pair.a.shape)}, B is {list(pair.b.shape)}"
            )
    return problems


def _fit_problems(pairs: Iterable[_Pair], base: BaseShape) -> list[str]:
    problems = []
    for pair in pairs:
        size = base.find(pair.module)
        update = (pair.b.shape[0], pair.a.shape[1])
        if size is None:
            problems.append(f"{pair.module}: no such module")
        elif size != update:
            problems.append(f"{pair.module}: {_by(size)} in the base, {_by(update)} in the adapter")
    return problems


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _module(settings: ModuleSettings, pair: _Pair) -> LoraModule:
    return LoraModule(
        name=pair.module,
        rank=settings.rank,
        scaling=settings.scaling,
        in_features=pair.a.shape[1],
        out_features=pair.b.shape[0],
    )


def _refuse(path: Path, what: str, problems: Sequence[str], hint: str) -> None:
    """Raise, naming the first few problems, where there is any."""
    if not problems:
        return
    rest = f" and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
    raise AdapterRejected(f"{path} {what}: {'; '.join(problems[:LISTED])}{rest}", hint=hint)
