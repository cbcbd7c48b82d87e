"""`adapter_config.json` of a PEFT folder: read into LoraSettings, refused where we would not apply it all.

Does not look at the weights; what the settings come to for one module is `module_settings`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from remora.adapters.adapter import LoraSettings
from remora.adapters.peft.module_patterns import check_pattern
from remora.adapters.peft.module_settings import ALL_LINEAR, expression_of
from remora.adapters.peft.other_methods import VARIANTS, check_method, short
from remora.errors import AdapterRejected, RemoraError
from remora.project.files.json_file import read_object

CONFIG_FILE = "adapter_config.json"
MOST_RANK = 1_000_000
LAYERS = re.compile(r"\w+(\.\w+)*")

Value = TypeVar("Value")


# Settings that are read, or that matter to training only, or that PEFT corrects by itself (fan_in_fan_out).
KNOWN = frozenset(key for key, _, _ in VARIANTS) | {
    *("peft_type", "r", "lora_alpha", "target_modules", "exclude_modules", "base_model_name_or_path"),
    *("use_rslora", "rank_pattern", "alpha_pattern", "layers_to_transform", "layers_pattern"),
    *("auto_mapping", "peft_version", "revision", "inference_mode", "lora_dropout", "fan_in_fan_out"),
    *("megatron_core", "loftq_config", "eva_config", "corda_config", "lora_ga_config", "qalora_group_size"),
    *("runtime_config", "ensure_weight_tying", "use_dora", "bias", "lora_bias", "target_parameters"),
    *("modules_to_save", "trainable_token_indices"),
}
# Of AdaLoRA: how its training goes on, and what says there which ranks were taken away, or nothing at all.
_PRUNED = frozenset(
    {"target_r", "init_r", "tinit", "tfinal", "deltaT", "beta1", "beta2", "orth_reg_weight", "total_step"}
) | {"rank_pattern", "alpha_pattern", "use_rslora"}
BIASES = ("none", "all", "lora_only")


def read_lora_settings(folder: Path) -> LoraSettings:
    """The settings in a folder's `adapter_config.json`. Raises AdapterRejected."""
    path = folder / CONFIG_FILE
    try:
        config = read_object(path)
    except RemoraError as error:
        raise AdapterRejected(error.message, hint=error.hint or "save the adapter again with PEFT") from error
    check_method(folder, config)
    start_rank = None
    if config.get("peft_type") == "ADALORA":
        start_rank = _positive_int(folder, "init_r", config.get("init_r"))
        config = {key: value for key, value in config.items() if key not in _PRUNED}
    parameters = _names(folder, "target_parameters", config.get("target_parameters"))
    return LoraSettings(
        rank=_positive_int(folder, "r", config.get("r")),
        alpha=_number(folder, "lora_alpha", config.get("lora_alpha")),
        target_modules=_targets(folder, config.get("target_modules"), parameters),
        base_model_name=_optional_text(folder, config.get("base_model_name_or_path")),
        use_rslora=bool(config.get("use_rslora")),
        rank_pattern=_pattern(folder, "rank_pattern", config, _positive_int),
        alpha_pattern=_pattern(folder, "alpha_pattern", config, _number),
        modules_to_save=_names(folder, "modules_to_save", config.get("modules_to_save")),
        trainable_tokens=_trainable_tokens(folder, config.get("trainable_token_indices")),
        exclude_modules=_excluded(folder, config.get("exclude_modules")),
        layers_to_transform=_layers(folder, config.get("layers_to_transform")),
        layers_pattern=_layer_names(folder, config.get("layers_pattern")),
        target_parameters=parameters,
        biases=_biases(folder, config.get("bias") or "none"),
        ties_head=bool(config.get("ensure_weight_tying")),
        uses_dora=bool(config.get("use_dora")),
        has_lora_bias=bool(config.get("lora_bias")),
        start_rank=start_rank,
        unknown={key: short(value) for key, value in config.items() if key not in KNOWN and value},
    )


def _targets(folder: Path, value: object, parameters: tuple[str, ...]) -> tuple[str, ...] | str:
    """Those of modules, of which there may be none where parameters are named."""
    return () if not value and parameters else _target_modules(folder, value)


def _target_modules(folder: Path, value: object, *, key: str = "target_modules") -> tuple[str, ...] | str:
    if isinstance(value, str) and value:
        if value.lower() == ALL_LINEAR:
            return ALL_LINEAR
        check_pattern(value, origin=f"{folder}: {key}")
        return value
    if isinstance(value, list) and value and all(isinstance(name, str) and name for name in value):
        return tuple(sorted(str(name) for name in value))
    raise _malformed(folder, key, value)


def _excluded(folder: Path, value: object) -> tuple[str, ...] | str:
    return _target_modules(folder, value, key="exclude_modules") if value else ()


def _layers(folder: Path, value: object) -> tuple[int, ...] | None:
    numbers = value if isinstance(value, list) else [value]
    if (not value and value != 0) or isinstance(value, bool):
        return None
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise _malformed(folder, "layers_to_transform", value)
    return tuple(numbers)


def _layer_names(folder: Path, value: object) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value or []
    if not isinstance(names, list) or not all(
        isinstance(name, str) and LAYERS.fullmatch(name) for name in names
    ):
        raise _malformed(folder, "layers_pattern", value)
    return tuple(names)


def _names(folder: Path, key: str, value: object) -> tuple[str, ...]:
    if not value:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise _malformed(folder, key, value)
    return tuple(value)


def _biases(folder: Path, value: object) -> str:
    if value not in BIASES:
        raise _malformed(folder, "bias", value)
    return str(value)


def _trainable_tokens(folder: Path, value: object) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for module, ids in (value if isinstance(value, dict) else {"": value or []}).items():
        if not isinstance(ids, list) or not all(type(token) is int and token >= 0 for token in ids):
            raise _malformed(folder, "trainable_token_indices", value)
        if ids:
            found[module] = tuple(ids)
    return found


def _pattern(
    folder: Path,
    key: str,
    config: Mapping[str, object],
    read: Callable[[Path, str, object], Value],
) -> dict[str, Value]:
    value = config.get(key) or {}
    if not isinstance(value, dict):
        raise _malformed(folder, key, value)
    for name in value:
        check_pattern(expression_of(name), origin=f"{folder}: {key}")
    return {name: read(folder, f"{key}[{name!r}]", entry) for name, entry in value.items()}


def _positive_int(folder: Path, key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_RANK:
        raise _malformed(folder, key, value)
    return value


def _number(folder: Path, key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _malformed(folder, key, value)
    try:
        number = float(value)
    except OverflowError:  # a whole number of more than 308 digits
        number = math.inf
    if not math.isfinite(number):
        raise _malformed(folder, key, value)
    return number


def _optional_text(folder: Path, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    raise _malformed(folder, "base_model_name_or_path", value)


def _malformed(folder: Path, key: str, value: object) -> AdapterRejected:
    return AdapterRejected(
        f"{folder}: {key} in {CONFIG_FILE} is {short(value)}",
        hint="save the adapter again with PEFT",
        param=key,
    )
