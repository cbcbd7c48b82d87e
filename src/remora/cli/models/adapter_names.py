"""The names of base and adapters that a shell offers, read from the project's files. Starts nothing."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from remora.project.alias import alias_from

SETTINGS: Final = "remora.toml"
CONFIG: Final = "adapter_config.json"

LOOKED_AT: Final = tuple("/".join([*["*"] * depth, CONFIG]) for depth in (1, 2, 3))


def complete_adapter(context: typer.Context, incomplete: str) -> list[str]:
    """Adapters, for an argument or option that names one."""
    return [name for name in adapters_in(_folder(context)) if name.startswith(incomplete)]


def complete_model(context: typer.Context, incomplete: str) -> list[str]:
    """The base model and the adapters."""
    folder = _folder(context)
    model = _settings(folder).get("model")
    base = model.get("name") if isinstance(model, dict) else None
    names = [*([base] if isinstance(base, str) else []), *adapters_in(folder)]
    return [name for name in names if name.startswith(incomplete)]


AdapterNameArgument = Annotated[
    str,
    typer.Argument(
        help="The adapter's name, which clients send as `model`.", autocompletion=complete_adapter
    ),
]


def adapters_in(folder: Path) -> list[str]:
    """Those of remora.toml, else of folders with an adapter. Never raises: a shell only wants words."""
    named = _settings(folder).get("adapters", {})
    if isinstance(named, dict) and named:
        return sorted(named)
    try:
        found = {path.parent.name for pattern in LOOKED_AT for path in folder.glob(pattern)}
    except OSError:
        return []
    return sorted(filter(None, map(alias_from, found)))


def _folder(context: typer.Context) -> Path:
    """The project's folder, as far as it is typed: before an unfinished option it is no parameter yet."""
    if option := context.params.get("folder_option"):
        return Path(option)
    typed = [Path(word) for word in context.args if Path(word).is_dir()]
    return typed[-1] if typed else Path(context.params.get("folder") or ".")


def _settings(folder: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((folder / SETTINGS).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
