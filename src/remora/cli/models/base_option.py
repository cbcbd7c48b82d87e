"""`--base`: which base model is meant, for one command or from now on; and its download where it is not here.

A folder outside of the project is kept in Remora's home, by project: remora.toml belongs to all who work on
the project, and names no folder of one machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from remora.azure.profile import remora_home
from remora.cli.models.hub import download_base
from remora.cli.output.console import Output
from remora.errors import BaseMissing, InvalidFile, InvalidInput, ProjectIncomplete
from remora.project.base_search import adapter_paths, locate_base
from remora.project.files.json_file import read_object, replace_text
from remora.project.model_name import is_hub_id
from remora.project.settings import HUB, SETTINGS_FILE, Settings, changed_settings, load_settings
from remora.project.workspace import find_workspace

FLAG = "--base"
_KEY = "model.base"

BaseOption = Annotated[
    str | None,
    typer.Option(
        FLAG,
        metavar="PATH|HUB_ID",
        help="The base model: a folder, or an id on the Hugging Face hub.",
        show_default=False,
    ),
]


def read_settings(
    folder: Path,
    unwritten: str = "",
    *,
    base: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of a project folder, whose file may be unwritten yet, and of the environment.

    `base` is what the flag says. What it said before holds until remora.toml or the environment names one.
    """
    settings = load_settings(folder, os.environ if environment is None else environment, unwritten)
    if base is not None:
        return _with_base(settings, *_parsed(base, settings.root))
    if settings.origins[_KEY] == "default" and (path := _kept().get(str(settings.root))):
        return _with_base(settings, Path(path), None)
    return settings


def prepare_base(folder: Path, base: str | None, out: Output, *, adapter: Path | None = None) -> Settings:
    """The settings, with the base model on this machine where it can be had: downloaded on a yes.

    Where the project lists no adapters, an `adapter` that is named says which base it needs.
    Raises BaseMissing where nobody says yes. A base that nothing names is for who needs it to refuse.
    """
    settings = read_settings(folder, base=base)
    if settings.model.base is not None:
        return settings
    if adapter is not None and not settings.adapters:
        settings = replace(settings, adapters={"adapter": adapter.absolute()})
    workspace = find_workspace(settings.root)
    try:
        locate_base(settings, workspace, adapter_paths(settings, workspace))
    except BaseMissing as error:
        if error.hub_id is None:
            return settings
        download_base(error, out, flag=f" {FLAG} {error.hub_id}" if base else "")
    return settings


def keep_base(settings: Settings) -> None:
    """Let a base model that the flag named be the project's from now on."""
    if settings.origins[_KEY] != FLAG:
        return
    path, root = settings.model.base, settings.root
    kept = {project: folder for project, folder in _kept().items() if project != str(root)}
    if path is not None and not path.is_relative_to(root):
        kept[str(root)] = str(path)
    replace_text(remora_home() / "bases.json", json.dumps(kept, indent=2) + "\n")
    text = base_text(settings)
    if (root / SETTINGS_FILE).exists() and text != _written(root):
        replace_text(root / SETTINGS_FILE, changed_settings(root, {_KEY: text}))


def base_text(settings: Settings) -> str | None:
    """What remora.toml says of a base model that was named; None for a folder that is not in the project."""
    if settings.model.hub_id is not None:
        return f"{HUB}{settings.model.hub_id}"
    path = settings.model.base
    if path is None or not path.is_relative_to(settings.root):
        return None
    return path.relative_to(settings.root).as_posix()


def _written(root: Path) -> str | None:
    return base_text(load_settings(root, {}))


def _parsed(text: str, root: Path) -> tuple[Path | None, str | None]:
    """A folder, from here or from the project, else an id on the hub."""
    if not text.startswith(HUB):
        for place in (Path(), root):
            path = Path(os.path.abspath(place / Path(text).expanduser()))  # noqa: PTH100 - keeps links
            if path.is_dir():
                return path, None
    hub_id = text.removeprefix(HUB)
    if not is_hub_id(hub_id):
        raise InvalidInput(
            f"{text!r} is neither a folder here or in {root}, nor an id on the Hugging Face hub",
            hint=f"name the folder of the base model, or ORGANISATION/NAME, with {FLAG}",
            param=FLAG,
        )
    return None, hub_id


def _with_base(settings: Settings, path: Path | None, hub_id: str | None) -> Settings:
    model = replace(settings.model, base=path, hub_id=hub_id)
    return replace(settings, model=model, origins={**settings.origins, _KEY: FLAG})


def _kept() -> dict[str, str]:
    """The base models of projects; none where the file is damaged: naming a base again writes a new one."""
    try:
        kept = read_object(remora_home() / "bases.json")
    except (ProjectIncomplete, InvalidFile):
        return {}
    return {project: folder for project, folder in kept.items() if isinstance(folder, str)}
