"""`adapter_config.json` of a PEFT folder: read into LoraSettings, refused where we would not apply it all.

Does not look at the weights; what the settings come to for one module is `module_settings`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from remora.adapters.adapter import LoraSettings
from remora.adapters.module_patterns import check_pattern
from remora.adapters.module_settings import ALL_LINEAR, expression_of
from remora.errors import AdapterRejected, RemoraError
from remora.project.json_file import read_object

CONFIG_FILE = "adapter_config.json"
CAUSAL_TASKS = ("CAUSAL_LM", None)
# Ways to start a training that leave the base weights alone; the others (pissa, olora, corda, loftq, …)
# train against a changed base, so that base + adapter as saved is not the model that was trained.
PLAIN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")

Value = TypeVar("Value")


def _falsy(value: object) -> bool:
    return not value


# A setting, the values of it that have no effect, and what any other value would be.
UNSUPPORTED: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    ("use_dora", _falsy, "DoRA (use_dora)"),
    ("bias", lambda value: value in (None, "none"), "trained biases (bias)"),
    ("lora_bias", _falsy, "LoRA biases (lora_bias)"),
    ("modules_to_save", _falsy, "fully trained modules (modules_to_save)"),
    ("fan_in_fan_out", _falsy, "transposed weights (fan_in_fan_out)"),
    ("target_parameters", _falsy, "LoRA on bare parameters (target_parameters)"),
    ("trainable_token_indices", _falsy, "trained tokens (trainable_token_indices)"),
    ("layer_replication", _falsy, "repeated layers (layer_replication)"),
    ("megatron_config", _falsy, "Megatron layers (megatron_config)"),
    ("alora_invocation_tokens", _falsy, "activated LoRA (alora_invocation_tokens)"),
    ("use_qalora", _falsy, "QALoRA (use_qalora)"),
    ("use_bdlora", _falsy, "block-diagonal LoRA (use_bdlora)"),
    ("arrow_config", _falsy, "Arrow routing (arrow_config)"),
    ("kasa_config", _falsy, "KaSA (kasa_config)"),
    ("monteclora_config", _falsy, "MonteCLoRA (monteclora_config)"),
    ("velora_config", _falsy, "VeLoRA (velora_config)"),
    ("init_lora_weights", lambda value: value in PLAIN_STARTS, "a start that changes the base weights"),
    ("task_type", lambda value: value in CAUSAL_TASKS, "a task other than CAUSAL_LM (task_type)"),
)


def read_lora_settings(folder: Path) -> LoraSettings:
    """The settings in a folder's `adapter_config.json`. Raises AdapterRejected."""
    path = folder / CONFIG_FILE
    try:
        config = read_object(path)
    except RemoraError as error:
        raise AdapterRejected(error.message, hint="save the adapter again with PEFT") from error
    _check_supported(folder, config)
    return LoraSettings(
        rank=_positive_int(folder, "r", config.get("r")),
        alpha=_number(folder, "lora_alpha", config.get("lora_alpha")),
        target_modules=_target_modules(folder, config.get("target_modules")),
        base_model_name=_optional_text(folder, config.get("base_model_name_or_path")),
        use_rslora=bool(config.get("use_rslora")),
        rank_pattern=_pattern(folder, "rank_pattern", config, _positive_int),
        alpha_pattern=_pattern(folder, "alpha_pattern", config, _number),
    )


def _check_supported(folder: Path, config: Mapping[str, object]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise AdapterRejected(
            f"{folder}: peft_type is {kind!r}, and only LORA is supported", hint="train the adapter as a LoRA"
        )
    used = [f"{what} = {config[key]!r}" for key, plain, what in UNSUPPORTED if not plain(config.get(key))]
    if used:
        raise AdapterRejected(
            f"{folder} uses what is not supported: {'; '.join(used)}",
            hint="train the adapter without it, or merge it into the base model",
        )


def _target_modules(folder: Path, value: object) -> tuple[str, ...] | str:
    if isinstance(value, str) and value:
        if value != ALL_LINEAR:
            check_pattern(value, origin=f"{folder}: target_modules")
        return value
    if isinstance(value, list) and value and all(isinstance(name, str) and name for name in value):
        return tuple(sorted(str(name) for name in value))
    raise _malformed(folder, "target_modules", value)


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
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _malformed(folder, key, value)
    return value


def _number(folder: Path, key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _malformed(folder, key, value)
    return float(value)


def _optional_text(folder: Path, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    raise _malformed(folder, "base_model_name_or_path", value)


def _malformed(folder: Path, key: str, value: object) -> AdapterRejected:
    return AdapterRejected(
        f"{folder}: {key} in {CONFIG_FILE} is {value!r}", hint="save the adapter again with PEFT", param=key
    )
