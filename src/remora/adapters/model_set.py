"""What an endpoint serves: one base model and the adapters on it, from a project's folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from remora.adapters.adapter import Adapter
from remora.adapters.base_shape import BaseShape, read_base
from remora.adapters.inspect import inspect_adapter
from remora.errors import ProjectIncomplete
from remora.project.settings import Settings
from remora.project.stock_scripts import read_stock_scripts
from remora.project.workspace import Workspace, find_workspace

_INIT_HINT = "run: remora init"


@dataclass(frozen=True, slots=True)
class ModelSet:
    """A base model, the name clients call it by, and its adapters by alias.

    `prompt_templates` maps aliases to the prompt of their training, where it is not the base's chat template.
    """

    base_name: str
    base: BaseShape
    adapters: tuple[Adapter, ...]
    prompt_templates: Mapping[str, str] = field(default_factory=dict)

    @property
    def base_path(self) -> Path:
        return self.base.path


def models_of_project(settings: Settings) -> ModelSet:
    """What `remora.toml` names, else what lies in the folder; every adapter inspected.

    Raises ProjectIncomplete (no base model, several to choose from, no adapter) or AdapterRejected.
    """
    name, shape = base_of_project(settings)
    folders = settings.adapters or _found_adapters(find_workspace(settings.root), settings.root)
    adapters = [inspect_adapter(alias, path, shape) for alias, path in sorted(folders.items())]
    templates = settings.prompt_templates if settings.adapters else _found_templates(settings.root, folders)
    return ModelSet(name, shape, tuple(adapters), templates)


def base_of_project(settings: Settings) -> tuple[str, BaseShape]:
    """The base model's name for clients, and its shape. Raises ProjectIncomplete."""
    base = settings.model.base or _only_base(find_workspace(settings.root), settings.root)
    name = settings.model.name or base.name
    return name, read_base(base, names=(name, *settings.model.also_known_as))


def _found_templates(root: Path, folders: Iterable[str]) -> dict[str, str]:
    """AI Toolkit's scripts hold one template, for whatever was trained in that folder."""
    found = read_stock_scripts(root).prompt_template
    return dict.fromkeys(folders, found.value) if found else {}


def _only_base(found: Workspace, root: Path) -> Path:
    bases = found.bases
    if len(bases) == 1:
        return bases[0].path
    if not bases:
        raise ProjectIncomplete(f"no base model was found in {root}", hint=_INIT_HINT)
    names = ", ".join(str(base.path.relative_to(root)) for base in bases)
    raise ProjectIncomplete(
        f"{root} has several base models: {names}", hint="set `base` under [model] in remora.toml"
    )


def _found_adapters(found: Workspace, root: Path) -> dict[str, Path]:
    adapters = {adapter.name: adapter.path for adapter in found.adapters}
    if not adapters:
        raise ProjectIncomplete(
            f"no LoRA adapter was found in {root}",
            hint="copy one into the folder: adapter_config.json and adapter_model.safetensors",
        )
    return adapters
