"""`remora.toml` and the `REMORA_*` environment, with the origin of every value.

Owns names, types, defaults and limits of the settings. Does not look at what the paths point to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from remora.errors import InvalidInput
from remora.project.alias import RULE, is_alias
from remora.project.prompt_template import RULE as PROMPT_RULE
from remora.project.prompt_template import parse_prompt_template
from remora.project.toml_file import TomlFile, changed_text, read_toml

SETTINGS_FILE = "remora.toml"
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
MAX_REPLICAS = 1000  # the limit of Container Apps


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The base model: its folder (absolute), the name clients call it by, other names it is known by."""

    base: Path | None
    name: str | None
    also_known_as: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How one server runs the model, and whom it answers.

    0 means no limit of its own; hosts and origins are listed with commas between them.
    """

    engine: str
    dtype: str
    quantize: str
    native: str
    max_running_requests: int
    max_queued_requests: int
    max_requests_per_key: int
    max_prompt_tokens: int
    max_total_tokens: int
    request_timeout_seconds: int
    allowed_hosts: str
    cors_origins: str
    metrics: str
    log: str
    page: str
    proof: str


@dataclass(frozen=True, slots=True)
class ScaleSettings:
    """How many replicas of the server there are."""

    min_replicas: int
    max_replicas: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the user's folder and environment say; `adapters` maps aliases to folders (absolute).

    `prompt_templates` maps aliases to the text that an adapter was trained with, `{}` for the user's words.
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


@dataclass(frozen=True, slots=True)
class _Option:
    """One setting. `variable` overrides the file; `choices` or `low`…`high` limit the value."""

    key: str
    kind: type[str] | type[int] | type[list[str]]
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
    _Option("serve.engine", str, "torch", choices=("torch", "vllm")),
    _Option("serve.dtype", str, "auto", choices=("auto", "float32", "bfloat16")),
    _Option("serve.quantize", str, "none", choices=("none", "int8")),
    _Option("serve.native", str, "auto", choices=("auto", "always", "never")),
    _Option("serve.max_running_requests", int, 16, low=1),
    _Option("serve.max_queued_requests", int, 64, low=0),
    _Option("serve.max_requests_per_key", int, 0),
    _Option("serve.max_prompt_tokens", int, 0, high=10_000_000),
    _Option("serve.max_total_tokens", int, 0, high=10_000_000),
    _Option("serve.request_timeout_seconds", int, 600, low=1, high=86_400),
    _Option("serve.allowed_hosts", str, ""),
    _Option("serve.cors_origins", str, ""),
    _Option("serve.metrics", str, "key", choices=("key", "open")),
    _Option("serve.log", str, "json", choices=("json", "off")),
    _Option("serve.page", str, "on", choices=("on", "off")),
    _Option("serve.proof", str, "warn", choices=("refuse", "warn", "off")),
    _Option("scale.min_replicas", int, 1, low=0, high=MAX_REPLICAS),
    _Option("scale.max_replicas", int, 1, low=1, high=MAX_REPLICAS),
)
SECTIONS = ("model", "adapters", "prompt_templates", "serve", "scale")
NAMED = ("adapters.", "prompt_templates.")  # sections whose keys are aliases


def load_settings(root: Path, environment: Mapping[str, str]) -> Settings:
    """The settings of a project folder; a missing `remora.toml` means all defaults.

    Raises InvalidFile (the file, its line and key) or InvalidInput (the environment variable).
    """
    root = root.resolve()
    file = read_toml(root / SETTINGS_FILE)
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
        ),
        adapters=adapters,
        serve=_serve(values),
        scale=ScaleSettings(
            min_replicas=_integer(values, "scale.min_replicas"),
            max_replicas=_integer(values, "scale.max_replicas"),
        ),
        origins=origins,
        prompt_templates=templates,
    )


def changed_settings(root: Path, changes: Mapping[str, str | int | None]) -> str:
    """The text of `remora.toml` with dotted keys ("adapters.tone") set, or removed where None.

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
    return f"known here: {', '.join(names)}"


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
    return [part.strip() for part in raw.split(",")] if option.kind is list else raw


def _problem(option: _Option, value: object) -> str | None:
    if option.kind is int:
        right = isinstance(value, int) and not isinstance(value, bool) and option.low <= value <= option.high
        return None if right else f"expected a whole number from {option.low} to {option.high}"
    if option.kind is list:
        right = isinstance(value, list) and all(isinstance(item, str) and item for item in value)
        return None if right else "expected a list of texts"
    if not isinstance(value, str) or not value:
        return "expected a text"
    if option.choices and value not in option.choices:
        return f"expected one of {', '.join(option.choices)}"
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
            raise file.refuse(key, f"{key} is {value!r}: expected a text", f"write a text with {PROMPT_RULE}")
        try:
            parse_prompt_template(value)
        except ValueError as error:
            raise file.refuse(key, f"{key} is {value!r}: {error}", f"write {PROMPT_RULE}") from None
        templates[alias] = value
        origins[key] = SETTINGS_FILE
    return templates


def _serve(values: Mapping[str, object]) -> ServeSettings:
    return ServeSettings(
        engine=str(values["serve.engine"]),
        dtype=str(values["serve.dtype"]),
        proof=str(values["serve.proof"]),
        quantize=str(values["serve.quantize"]),
        native=str(values["serve.native"]),
        max_running_requests=_integer(values, "serve.max_running_requests"),
        max_queued_requests=_integer(values, "serve.max_queued_requests"),
        max_requests_per_key=_integer(values, "serve.max_requests_per_key"),
        max_prompt_tokens=_integer(values, "serve.max_prompt_tokens"),
        max_total_tokens=_integer(values, "serve.max_total_tokens"),
        request_timeout_seconds=_integer(values, "serve.request_timeout_seconds"),
        allowed_hosts=str(values["serve.allowed_hosts"]),
        cors_origins=str(values["serve.cors_origins"]),
        metrics=str(values["serve.metrics"]),
        log=str(values["serve.log"]),
        page=str(values["serve.page"]),
    )


def _check_together(file: TomlFile, values: Mapping[str, object], adapters: Mapping[str, Path]) -> None:
    """What no single value can get wrong by itself."""
    lowest, highest = values["scale.min_replicas"], _integer(values, "scale.max_replicas")
    if _integer(values, "scale.min_replicas") > highest:
        raise file.refuse(
            "scale.min_replicas",
            f"scale.min_replicas is {lowest}, more than scale.max_replicas, {highest}",
            "make max_replicas at least min_replicas",
        )
    name = values["model.name"]
    if isinstance(name, str) and not MODEL_NAME.fullmatch(name):
        raise file.refuse("model.name", f"{name!r} cannot name a model", f"use {RULE}, and '/'")
    if name in adapters:
        raise file.refuse(
            f"adapters.{name}",
            f"{name!r} is the name of the base model too",
            "rename the adapter or the model",
        )


def _base_path(value: object, file: TomlFile, root: Path, origins: Mapping[str, str]) -> Path | None:
    """The file may only name folders of the project; whoever sets the environment may name any folder."""
    if not isinstance(value, str):
        return None
    if origins["model.base"] == "environment":
        return (root / value).resolve()
    return _inside(file, root, "model.base", value)


def _inside(file: TomlFile, root: Path, key: str, value: str) -> Path:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value or PureWindowsPath(value).drive:
        raise file.refuse(
            key,
            f"{key} is {value!r}: expected a folder inside the project",
            "write it relative to remora.toml, with '/', and copy the folder into the project",
        )
    return root / path


def _integer(values: Mapping[str, object], key: str) -> int:
    value = values[key]
    assert isinstance(value, int), key  # noqa: S101 - `_problem` has checked it
    return value


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _names(value: object) -> tuple[str, ...]:
    return tuple(str(name) for name in value) if isinstance(value, list) else ()
