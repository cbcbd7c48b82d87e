"""What an endpoint serves: one base model and the adapters on it; from a project folder or a share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from remora.adapters.adapter import Adapter
from remora.adapters.aliases import read_aliases
from remora.adapters.inspect import inspect_adapter, read_base
from remora.adapters.store import adapter_folder, model_folder, read_release
from remora.errors import ProjectIncomplete
from remora.project.settings import Settings
from remora.project.stock_scripts import read_stock_scripts
from remora.project.workspace import Workspace, find_workspace

_INIT_HINT = "run: remora init"


@dataclass(frozen=True, slots=True)
class ModelSet:
    """A base model folder, the name clients call it by, and its adapters by alias.

    `prompt_templates` maps aliases to the prompt of their training, where it is not the base's chat template.
    """

    base_name: str
    base_path: Path
    adapters: tuple[Adapter, ...]
    prompt_templates: Mapping[str, str] = field(default_factory=dict)


def models_of_project(settings: Settings) -> ModelSet:
    """What `remora.toml` names, else what lies in the folder; every adapter inspected.

    Raises ProjectIncomplete (no base model, several to choose from, no adapter) or AdapterRejected.
    """
    found = None
    if settings.model.base is None or not settings.adapters:
        found = find_workspace(settings.root)
    base = settings.model.base or _only_base(found, settings.root)
    folders = settings.adapters or _found_adapters(found, settings.root)
    name = settings.model.name or base.name
    shape = read_base(base, names=(name, *settings.model.also_known_as))
    adapters = [inspect_adapter(alias, path, shape) for alias, path in sorted(folders.items())]
    templates = settings.prompt_templates if settings.adapters else _found_templates(settings.root, folders)
    return ModelSet(name, base, tuple(adapters), templates)


def models_of_share(
    share: Path, release_id: str, alias_set: str = ""
) -> tuple[ModelSet, Mapping[str, str | int]]:
    """What a release on a mounted share serves, and its serve settings.

    `alias_set` is the id of the aliases that the revision was made with, if it names one.
    """
    release = read_release(share, release_id)
    base = share / model_folder(release.base_digest)
    shape = read_base(base, names=(release.base_name, *release.also_known_as))
    adapters = [
        inspect_adapter(alias, share / adapter_folder(alias, digest), shape)
        for alias, digest in sorted(read_aliases(share, alias_set).digests.items())
    ]
    models = ModelSet(release.base_name, base, tuple(adapters), release.prompt_templates)
    return models, release.serve


def _found_templates(root: Path, folders: Iterable[str]) -> dict[str, str]:
    """AI Toolkit's scripts hold one template, for whatever was trained in that folder."""
    found = read_stock_scripts(root).prompt_template
    return dict.fromkeys(folders, found.value) if found else {}


def _only_base(found: Workspace | None, root: Path) -> Path:
    bases = found.bases if found else ()
    if len(bases) == 1:
        return bases[0].path
    if not bases:
        raise ProjectIncomplete(f"no base model was found in {root}", hint=_INIT_HINT)
    names = ", ".join(str(base.path.relative_to(root)) for base in bases)
    raise ProjectIncomplete(
        f"{root} has several base models: {names}", hint="set `base` under [model] in remora.toml"
    )


def _found_adapters(found: Workspace | None, root: Path) -> dict[str, Path]:
    adapters = {adapter.name: adapter.path for adapter in found.adapters} if found else {}
    if not adapters:
        raise ProjectIncomplete(
            f"no LoRA adapter was found in {root}",
            hint="copy one into the folder: adapter_config.json and adapter_model.safetensors",
        )
    return adapters
