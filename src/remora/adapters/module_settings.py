"""What LoRA settings come to for each module, as in PEFT: its rank, its scaling, whether it is asked for."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from remora.adapters.adapter import LoraSettings
from remora.adapters.module_patterns import matching

ALL_LINEAR = "all-linear"

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class ModuleSettings:
    """One module: its update is scaling · B A, of this rank. `is_target`: `target_modules` asks for it."""

    rank: int
    scaling: float
    is_target: bool


def settings_of_modules(
    settings: LoraSettings, modules: Collection[str], *, folder: Path
) -> dict[str, ModuleSettings]:
    """What the settings of a folder come to for these modules, by name.

    Raises AdapterRejected where their regular expressions take too long.
    """
    targets = settings.target_modules
    ranks, alphas = _expressions(settings.rank_pattern), _expressions(settings.alpha_pattern)
    asked = {targets} if isinstance(targets, str) and targets != ALL_LINEAR else set()
    found = matching(sorted({*ranks, *alphas, *asked}), modules, origin=str(folder))
    listed = _listed(settings)
    return {
        module: _module_settings(
            settings,
            rank=_first(ranks, found, module, settings.rank),
            alpha=_first(alphas, found, module, settings.alpha),
            is_target=targets == ALL_LINEAR
            or any(module in found[expression] for expression in asked)
            or any(ending in listed for ending in _endings(module)),
        )
        for module in modules
    }


def unmatched_targets(settings: LoraSettings, modules: Mapping[str, ModuleSettings]) -> tuple[str, ...]:
    """The entries of `target_modules` that none of these modules answers to."""
    targets = settings.target_modules
    if isinstance(targets, str):
        return () if any(module.is_target for module in modules.values()) else (targets,)
    listed = _listed(settings)
    answered = {ending for module in modules for ending in _endings(module) if ending in listed}
    return tuple(target for target in targets if target not in answered)


def expression_of(key: str) -> str:
    """The regular expression that a key of `rank_pattern` or `alpha_pattern` is for a whole name."""
    return rf"(.*\.)?({key})"


def _listed(settings: LoraSettings) -> frozenset[str]:
    """The names of `target_modules`, where it is a list."""
    return frozenset() if isinstance(settings.target_modules, str) else frozenset(settings.target_modules)


def _expressions(pattern: Mapping[str, Value]) -> dict[str, Value]:
    return {expression_of(key): value for key, value in pattern.items()}


def _first(
    values: Mapping[str, Value], found: Mapping[str, Collection[str]], module: str, default: Value
) -> Value:
    """The value of the first expression that matches the module."""
    return next((value for expression, value in values.items() if module in found[expression]), default)


def _module_settings(settings: LoraSettings, *, rank: int, alpha: float, is_target: bool) -> ModuleSettings:
    """The scaling is alpha / rank, or alpha / sqrt(rank) with rsLoRA."""
    return ModuleSettings(rank, alpha / (math.sqrt(rank) if settings.use_rslora else rank), is_target)


def _endings(module: str) -> Iterator[str]:
    """The module's name, and what is left of it after each dot: what PEFT's lists of names match."""
    while module:
        yield module
        module = module.partition(".")[2]
