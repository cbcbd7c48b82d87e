"""What LoRA settings come to for each module, as in PEFT: its rank, its scaling, whether it is asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from remora.adapters.adapter import LoraSettings
from remora.adapters.peft.lora_tensors import NESTED
from remora.adapters.peft.module_patterns import matching
from remora.adapters.peft.other_methods import merge_command
from remora.errors import AdapterRejected, listed

ALL_LINEAR = "all-linear"
# Of parameters of one module PEFT wraps the first one first, so that its wrapper is the innermost.
WRAPPED_IN_ORDER = (
    *("gate_up_proj", "gate_up_proj_bias", "gate_proj", "up_proj", "up_proj_bias"),
    *("down_proj", "down_proj_bias"),
)
ADALORA_EPSILON = 1e-5  # PEFT divides by the rank and this

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class ModuleSettings:
    """One module: its update is scaling · B A, of this rank. `is_target`: the settings ask for it.

    Without a rank, that of its tensors counts. `parameter`: that of the module that is adapted, where
    `target_parameters` asks for it; "" is the module as a whole.
    """

    rank: int | None
    scaling: float
    is_target: bool
    parameter: str = ""


def settings_of_modules(
    settings: LoraSettings, modules: Collection[str], *, folder: Path
) -> dict[str, ModuleSettings]:
    """What the settings of a folder come to for these modules, or wrappers of modules, by name.

    Raises AdapterRejected where their regular expressions take too long.
    """
    ranks, alphas = _expressions(settings.rank_pattern), _expressions(settings.alpha_pattern)
    wishes = {text for text in (settings.target_modules, settings.exclude_modules) if isinstance(text, str)}
    parameters = {module: parameters_of(settings, module, folder=folder) for module in modules}
    names = {*modules, *(f"{_inside(module)}.{each}" for module in modules for each in parameters[module])}
    found = matching(sorted({*ranks, *alphas, *wishes} - {ALL_LINEAR}), names, origin=str(folder))
    made = {}
    for module in modules:
        is_target = _is_target(settings, module, found)
        parameter = "" if is_target else _parameter(module, parameters[module])
        name = f"{_inside(module)}.{parameter}" if parameter else module
        made[module] = _module_settings(
            settings,
            rank=_first(ranks, found, name, settings.rank),
            alpha=_first(alphas, found, name, settings.alpha),
            is_target=is_target or bool(parameter),
            parameter=parameter,
        )
    return made


def parameters_of(settings: LoraSettings, module: str, *, folder: Path) -> tuple[str, ...]:
    """The parameters of a module that `target_parameters` names, that of the innermost wrapper first.

    Raises AdapterRejected where their order is not certain.
    """
    found = set()
    for target in settings.target_parameters:
        owner, _, parameter = target.rpartition(".")
        if not owner or _inside(module) == owner or _inside(module).endswith(f".{owner}"):
            found.add(parameter)
    if len(found) > 1 and found - set(WRAPPED_IN_ORDER):
        raise AdapterRejected(
            f"{folder} adapts {listed(sorted(found))} of one module, and which of its tensors are whose is"
            " not certain",
            hint=f"make a base model of it with: {merge_command(folder)}",
        )
    return tuple(sorted(found, key=lambda name: name in WRAPPED_IN_ORDER and WRAPPED_IN_ORDER.index(name)))


def _inside(wrapper: str) -> str:
    """The module that is in a wrapper."""
    return wrapper.replace(NESTED, "")


def _parameter(wrapper: str, parameters: tuple[str, ...]) -> str:
    """Which of a module's parameters a wrapper is for; "" where there is no such."""
    place = len(parameters) - 1 - wrapper.count(NESTED)
    return parameters[place] if 0 <= place < len(parameters) else ""


def is_in_transformed_layer(settings: LoraSettings, module: str) -> bool:
    """Whether a module's layer is one of `layers_to_transform`: by the first number after a layers' name."""
    if settings.layers_to_transform is None:
        return True
    for pattern in settings.layers_pattern:
        if match := re.match(rf"(?:^|.*?\.){re.escape(pattern)}\.(\d+)\.", module):
            return int(match[1]) in settings.layers_to_transform
    match = None if settings.layers_pattern else re.match(r".*?\.[^.]*\.(\d+)\.", module)
    return match is not None and int(match[1]) in settings.layers_to_transform


def unmatched_targets(settings: LoraSettings, modules: Mapping[str, ModuleSettings]) -> tuple[str, ...]:
    """The entries of `target_modules` that none of these modules answers to."""
    targets = settings.target_modules
    answered = [name for name, module in modules.items() if module.is_target]
    if isinstance(targets, str):
        return () if answered else (targets,)
    endings = {ending for module in answered for ending in _endings(module)}
    return tuple(target for target in targets if target not in endings)


def _is_target(settings: LoraSettings, module: str, found: Mapping[str, Collection[str]]) -> bool:
    if _is_named(settings.exclude_modules, module, found):
        return False
    if settings.target_modules == ALL_LINEAR:
        return True
    if not _is_named(settings.target_modules, module, found):
        return False
    # A regular expression, and a name that is spelt whole, mean this module whatever layers are asked for.
    by_layer = not isinstance(settings.target_modules, str) and module not in settings.target_modules
    return not by_layer or is_in_transformed_layer(settings, module)


def _is_named(targets: tuple[str, ...] | str, module: str, found: Mapping[str, Collection[str]]) -> bool:
    """Whether one regular expression, or one of the names of a list, means this module."""
    if isinstance(targets, str):
        return module in found.get(targets, ())
    return any(ending in targets for ending in _endings(module))


def expression_of(key: str) -> str:
    """The regular expression that a key of `rank_pattern` or `alpha_pattern` is for a whole name."""
    return rf"(.*\.)?({key})"


def _expressions(pattern: Mapping[str, Value]) -> dict[str, Value]:
    return {expression_of(key): value for key, value in pattern.items()}


def _first(
    values: Mapping[str, Value], found: Mapping[str, Collection[str]], module: str, default: Value
) -> Value:
    """The value of the first expression that matches the module."""
    return next((value for expression, value in values.items() if module in found[expression]), default)


def _module_settings(
    settings: LoraSettings, *, rank: int, alpha: float, is_target: bool, parameter: str
) -> ModuleSettings:
    """The scaling is alpha / rank, or alpha / sqrt(rank) with rsLoRA, or AdaLoRA's."""
    start = settings.start_rank
    if start is not None:  # modules keep the scaling that they had before some of their rank was taken away
        return ModuleSettings(None, (alpha if alpha > 0 else start) / (start + ADALORA_EPSILON), is_target)
    scaling = alpha / (math.sqrt(rank) if settings.use_rslora else rank)
    return ModuleSettings(rank, scaling, is_target, parameter)


def _endings(module: str) -> Iterator[str]:
    """The module's name, and what is left of it after each dot: what PEFT's lists of names match."""
    while module:
        yield module
        module = module.partition(".")[2]
