"""What an endpoint serves: one base model and the adapters on it, from a project's folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from remora.adapters.adapter import Adapter
from remora.adapters.peft.base_shape import BaseShape, read_base
from remora.adapters.peft.inspect import inspect_adapter
from remora.adapters.text.text_files import generation_defaults, sampling_note
from remora.errors import ProjectIncomplete, listed
from remora.project.base_search import adapter_paths, check_folder, locate_base
from remora.project.model_name import last_name
from remora.project.settings import Settings
from remora.project.toolkit.stock_scripts import read_stock_scripts
from remora.project.workspace import claimed_base_name, find_workspace


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


def models_of_project(settings: Settings, *, base_alone: bool = False) -> ModelSet:
    """What `remora.toml` names, else what lies in the folder; every adapter inspected.

    Raises ProjectIncomplete (no base model, several to choose from, no adapter unless `base_alone` will do)
    or AdapterRejected.
    """
    name, shape = base_of_project(settings)
    folders = settings.adapters or _found_adapters(settings.root, none_will_do=base_alone)
    adapters = [inspect_adapter(alias, path, shape) for alias, path in sorted(folders.items())]
    templates = settings.prompt_templates if settings.adapters else _found_templates(settings.root, folders)
    return ModelSet(name, shape, tuple(adapters), templates)


def remark_notes(adapters: Iterable[Adapter]) -> list[str]:
    """Each remark once, with the adapters that it is about."""
    about: dict[str, list[str]] = {}
    for adapter in adapters:
        for remark in adapter.remarks:
            about.setdefault(remark, []).append(adapter.name)
    return [f"{listed(names)}: {remark}" for remark, names in about.items()]


def sampling_notes(models: ModelSet) -> list[str]:
    """`sampling_note` of base and adapters, where there is one."""
    notes = [sampling_note(models.base_name, generation_defaults(models.base_path))]
    notes += [sampling_note(adapter.name, adapter.generation_defaults) for adapter in models.adapters]
    return [note for note in notes if note]


def base_of_project(settings: Settings) -> tuple[str, BaseShape]:
    """The base model's name for clients, and its shape. Raises ProjectIncomplete."""
    base, claimed = settings.model.base, None
    if base is not None and settings.adapters:
        check_folder(base)
    else:
        found = find_workspace(settings.root)
        claimed = None if settings.adapters else claimed_base_name(found.adapters)
        base = locate_base(settings, found, adapter_paths(settings, found)).model.path
    name = settings.model.name or last_name(base.as_posix()) or base.name
    names = (name, *settings.model.also_known_as)
    return name, read_base(base, names=names, claimed=claimed, engine=settings.serve.engine)


def _found_templates(root: Path, folders: Iterable[str]) -> dict[str, str]:
    """AI Toolkit's scripts hold one template, for whatever was trained in that folder."""
    found = read_stock_scripts(root).prompt_template
    return dict.fromkeys(folders, found.value) if found else {}


def _found_adapters(root: Path, *, none_will_do: bool) -> dict[str, Path]:
    adapters = {adapter.name: adapter.path for adapter in find_workspace(root).adapters}
    if not adapters and not none_will_do:
        raise ProjectIncomplete(
            f"no LoRA adapter was found in {root}",
            hint="copy one into the folder: adapter_config.json and adapter_model.safetensors",
        )
    return adapters
