"""`remora.toml` and the `REMORA_*` environment, with the origin of every value.

Owns names, types, defaults and limits of the settings. Does not check what the paths point to.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from remora.errors import InvalidInput, listed
from remora.project.alias import RULE, is_alias
from remora.project.files.toml_file import TomlFile, changed_text, read_toml
from remora.project.gate_settings import GateSettings, gate_of
from remora.project.model_name import is_hub_id
from remora.project.prompt_template import RULE as PROMPT_RULE
from remora.project.prompt_template import parse_prompt_template
from remora.project.scale_settings import (
    FRONT_WAIT_SECONDS,
    MAX_FRONT_WAIT_SECONDS,
    MAX_REPLICAS,
    ScaleSettings,
    scale_of,
)

SETTINGS_FILE = "remora.toml"
HUB = "hub:"  # before the id of a base model on the hub, which looks like a path
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The base model: its folder (absolute), its name for clients, and its other names.

    `hub_id` is set instead of `base` if the base model is named by its id on the Hugging Face hub.
    `removed_adapters` are names to stop serving, even if they were pushed to the endpoint.
    """

    base: Path | None
    name: str | None
    also_known_as: tuple[str, ...] = ()
    removed_adapters: tuple[str, ...] = ()
    hub_id: str | None = None


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How one server runs the model, and which callers it accepts.

    0 means no separate limit; hosts and origins are separated by commas.
    """

    engine: str
    dtype: str
    quantize: str
    native: str
    speculation: str
    max_running_requests: int
    max_queued_requests: int
    max_requests_per_key: int
    max_prompt_tokens: int
    max_total_tokens: int
    max_answer_tokens: int
    strict: bool
    ollama: bool
    request_timeout_seconds: int
    unread_timeout_seconds: int
    allowed_hosts: str
    cors_origins: str
    metrics: str
    log: str
    tools: str
    page: str
    proof: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of the user's folder and environment; `adapters` maps aliases to folders (absolute).

    `prompt_templates` maps aliases to the prompt of an adapter's training, with `{}` for the user's message.
    `origins` maps a dotted key ("serve.dtype", "adapters.tone") to "remora.toml", "environment" or
    "default".
    """

    root: Path
    cloud: str
    model: ModelSettings
    adapters: Mapping[str, Path]
    serve: ServeSettings
    scale: ScaleSettings
    origins: Mapping[str, str]
    prompt_templates: Mapping[str, str] = field(default_factory=dict)
    gate: GateSettings = field(default_factory=GateSettings)
    share_access: str = "auto"


@dataclass(frozen=True, slots=True)
class _Option:
    """One setting. `variable` overrides the file; `choices` or `low`…`high` limit the value."""

    key: str
    kind: type[str] | type[int] | type[float] | type[bool] | type[list[str]]
    default: object = None
    choices: tuple[str, ...] = ()
    low: int = 0
    high: int = 1_000_000

    @property
    def variable(self) -> str:
        return "REMORA_" + self.key.replace(".", "_").upper()


OPTIONS = (
    _Option("cloud", str, "local", choices=("local", "azure")),
    _Option("model.base", str),
    _Option("model.name", str),
    _Option("model.also_known_as", list, ()),
    _Option("model.removed_adapters", list, ()),
    _Option("serve.engine", str, "torch", choices=("torch", "vllm")),
    _Option("serve.dtype", str, "auto", choices=("auto", "float32", "bfloat16")),
    _Option("serve.quantize", str, "none", choices=("none", "int8", "int4", "nf4")),
    _Option("serve.native", str, "auto", choices=("auto", "always", "never")),
    _Option("serve.speculation", str, "auto", choices=("auto", "off")),
    _Option("serve.max_running_requests", int, 16, low=1),
    _Option("serve.max_queued_requests", int, 64, low=0),
    _Option("serve.max_requests_per_key", int, 0),
    _Option("serve.max_prompt_tokens", int, 0, high=10_000_000),
    _Option("serve.max_total_tokens", int, 0, high=10_000_000),
    _Option("serve.max_answer_tokens", int, 0, high=10_000_000),
    _Option("serve.strict", bool, True),
    _Option("serve.ollama", bool, False),
    _Option("serve.request_timeout_seconds", int, 600, low=1, high=86_400),
    _Option("serve.unread_timeout_seconds", int, 30, low=1, high=86_400),
    _Option("serve.allowed_hosts", str, ""),
    _Option("serve.cors_origins", str, ""),
    _Option("serve.metrics", str, "key", choices=("key", "open")),
    _Option("serve.log", str, "json", choices=("json", "off")),
    _Option("serve.tools", str, "template", choices=("template", "generic", "off")),
    _Option("serve.page", str, "on", choices=("on", "off")),
    _Option("serve.proof", str, "warn", choices=("refuse", "warn", "off")),
    _Option("scale.min_replicas", int, 1, low=0, high=MAX_REPLICAS),
    _Option("scale.max_replicas", int, 1, low=1, high=MAX_REPLICAS),
    _Option("scale.ttl", str),
    _Option("scale.warm", list, ()),
    _Option("scale.front", bool, False),
    _Option("scale.front_wait_seconds", int, FRONT_WAIT_SECONDS, low=1, high=MAX_FRONT_WAIT_SECONDS),
    _Option("gate.prompts", str, "golden"),
    _Option("gate.adapters", list, ()),
    _Option("gate.min_accuracy", float, high=1),
    _Option("gate.max_drift", float),
    _Option("azure.share_access", str, "auto", choices=("auto", "key", "identity")),
)
SECTIONS = ("model", "adapters", "prompt_templates", "serve", "scale", "gate", "azure")
NAMED = ("adapters.", "prompt_templates.")  # sections whose keys are aliases


def load_settings(root: Path, environment: Mapping[str, str], unwritten: str = "") -> Settings:
    """The settings of a project folder; without a `remora.toml`, those of `unwritten`, else all defaults.

    Raises InvalidFile (the file, its line and key) or InvalidInput (the environment variable).
    """
    root = root.resolve()
    file = read_toml(root / SETTINGS_FILE, unwritten)
    written = _flatten(file)
    origins: dict[str, str] = {}
    values = {option.key: _value_of(option, file, written, environment, origins) for option in OPTIONS}
    adapters = _adapters(file, written, root, origins)
    templates = _prompt_templates(file, written, adapters, origins)
    _check_together(file, values, adapters)
    return Settings(
        root=root,
        cloud=str(values["cloud"]),
        model=ModelSettings(
            base=_base_path(values["model.base"], file, root, origins),
            name=_text_or_none(values["model.name"]),
            also_known_as=_names(values["model.also_known_as"]),
            removed_adapters=_names(values["model.removed_adapters"]),
            hub_id=_hub_id(values["model.base"], file, origins),
        ),
        adapters=adapters,
        serve=_serve(values),
        scale=scale_of(values, file.refuse),
        origins=origins,
        prompt_templates=templates,
        gate=gate_of(values),
        share_access=str(values["azure.share_access"]),
    )


def changed_settings(root: Path, changes: Mapping[str, str | int | None]) -> str:
    """The text of `remora.toml` with dotted keys ("adapters.tone") set, or removed if None.

    Comments, order and spacing stay as the user wrote them.
    """
    return changed_text(read_toml(root / SETTINGS_FILE), changes)


def _flatten(file: TomlFile) -> dict[str, object]:
    """Dotted keys to values; refuses keys that are not settings."""
    known = {option.key for option in OPTIONS}
    flat: dict[str, object] = {}
    for key, value in file.document.items():
        if key not in SECTIONS:
            flat[key] = value
        elif isinstance(value, dict):
            flat.update({f"{key}.{name}": entry for name, entry in value.items()})
        else:
            raise file.refuse(key, f"{key} is {value!r}, not a section", f"write it as [{key}]")
    for key in flat:
        if key not in known and not key.startswith(NAMED):
            raise file.refuse(key, f"unknown setting {key!r}", _suggestion(key, known))
    return flat


def _suggestion(key: str, known: set[str]) -> str:
    section = key.partition(".")[0] if "." in key else ""
    names = sorted(name for name in known if name.rpartition(".")[0] == section)
    return f"known settings: {listed(names)}"


def _value_of(
    option: _Option,
    file: TomlFile,
    written: Mapping[str, object],
    environment: Mapping[str, str],
    origins: dict[str, str],
) -> object:
    if raw := environment.get(option.variable, ""):
        origins[option.key] = "environment"
        value = _from_text(option, raw)
        if problem := _problem(option, value):
            raise InvalidInput(
                f"{option.variable}={raw!r}: {problem}",
                hint=f"change or unset it ({option.key})",
                param=option.key,
            )
        return value
    if option.key in written:
        origins[option.key] = SETTINGS_FILE
        value = written[option.key]
        if problem := _problem(option, value):
            raise file.refuse(option.key, f"{option.key} is {value!r}: {problem}", "correct the value")
        return value
    origins[option.key] = "default"
    return option.default


def _from_text(option: _Option, raw: str) -> object:
    if option.kind is int:
        return int(raw) if re.fullmatch(r"-?[0-9]{1,9}", raw) else raw
    if option.kind is float:
        return float(raw) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", raw) else raw
    if option.kind is bool:
        return {"true": True, "false": False}.get(raw.lower(), raw)
    return [part.strip() for part in raw.split(",")] if option.kind is list else raw


def _problem(option: _Option, value: object) -> str | None:
    if option.kind in (int, float):
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
        right = option.low <= number <= option.high and isinstance(number, int | option.kind)
        noun = "a whole number" if option.kind is int else "a number"
        return None if right else f"expected {noun} from {option.low} to {option.high}"
    if option.kind is bool:
        return None if isinstance(value, bool) else "expected true or false"
    if option.kind is list:
        right = isinstance(value, list) and all(isinstance(item, str) and item for item in value)
        return None if right else "expected a list of strings"
    if not isinstance(value, str) or not value:
        return "expected a string"
    if option.choices and value not in option.choices:
        return f"expected one of {listed(option.choices)}"
    return None


def _adapters(
    file: TomlFile, written: Mapping[str, object], root: Path, origins: dict[str, str]
) -> dict[str, Path]:
    adapters: dict[str, Path] = {}
    for key, value in written.items():
        if not key.startswith("adapters."):
            continue
        alias = key.removeprefix("adapters.")
        if not is_alias(alias):
            raise file.refuse(key, f"{alias!r} cannot name an adapter", f"use {RULE}")
        if not isinstance(value, str) or not value:
            raise file.refuse(key, f"{key} is {value!r}: expected a folder", 'write: alias = "folder"')
        adapters[alias] = _inside(file, root, key, value)
        origins[key] = SETTINGS_FILE
    return adapters


def _prompt_templates(
    file: TomlFile, written: Mapping[str, object], adapters: Mapping[str, Path], origins: dict[str, str]
) -> dict[str, str]:
    templates: dict[str, str] = {}
    for key, value in written.items():
        if not key.startswith("prompt_templates."):
            continue
        alias = key.removeprefix("prompt_templates.")
        if alias not in adapters:
            raise file.refuse(key, f"there is no adapter {alias!r}", "name it under [adapters] first")
        if not isinstance(value, str):
            raise file.refuse(key, f"{key} is {value!r}: expected a string", f"write {PROMPT_RULE}")
        try:
            parse_prompt_template(value)
        except ValueError as error:
            raise file.refuse(key, f"{key} is {value!r}: {error}", f"write {PROMPT_RULE}") from None
        templates[alias] = value
        origins[key] = SETTINGS_FILE
    return templates


def _serve(values: Mapping[str, object]) -> ServeSettings:
    given: dict[str, Any] = {part.name: values[f"serve.{part.name}"] for part in fields(ServeSettings)}
    return ServeSettings(**given)  # `_problem` has checked the types


def _check_together(file: TomlFile, values: Mapping[str, object], adapters: Mapping[str, Path]) -> None:
    """Check the rules that involve several values."""
    name = values["model.name"]
    if isinstance(name, str) and not MODEL_NAME.fullmatch(name):
        raise file.refuse("model.name", f"{name!r} cannot be a model's name", f"use {RULE}, and '/'")
    if name in adapters:
        raise file.refuse(
            f"adapters.{name}",
            f"{name!r} is also the name of the base model",
            "rename the adapter or the model",
        )


def _base_path(value: object, file: TomlFile, root: Path, origins: Mapping[str, str]) -> Path | None:
    """The base's folder. The file can name only folders of the project, the environment any folder."""
    if not isinstance(value, str) or value.startswith(HUB):
        return None
    if origins["model.base"] == "environment":
        return (root / value).resolve()
    return _inside(file, root, "model.base", value)


def _hub_id(value: object, file: TomlFile, origins: Mapping[str, str]) -> str | None:
    if not isinstance(value, str) or not value.startswith(HUB):
        return None
    hub_id = value.removeprefix(HUB)
    if is_hub_id(hub_id):
        return hub_id
    hint = f'write base = "{HUB}ORGANISATION/NAME"'
    if origins["model.base"] == SETTINGS_FILE:
        raise file.refuse("model.base", f"{hub_id!r} is no id on the Hugging Face hub", hint)
    raise InvalidInput(f"{hub_id!r} is no id on the Hugging Face hub", hint=hint, param="model.base")


def _inside(file: TomlFile, root: Path, key: str, value: str) -> Path:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value or PureWindowsPath(value).drive:
        raise file.refuse(
            key,
            f"{key} is {value!r}: expected a folder inside the project",
            "write it relative to remora.toml, with '/', and copy the folder into the project",
        )
    return root / path


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _names(value: object) -> tuple[str, ...]:
    return tuple(str(name) for name in value) if isinstance(value, list) else ()
