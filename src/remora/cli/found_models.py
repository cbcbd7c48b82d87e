"""The models of a folder: its base and its adapters, each looked at; what was rejected, and why.

Says what is there; writes nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from remora.adapters.adapter import Adapter
from remora.adapters.inspect import inspect_adapter, read_base
from remora.errors import AdapterRejected, ProjectIncomplete
from remora.project.alias import alias_from, is_alias
from remora.project.model_name import last_name, same_name
from remora.project.settings import SETTINGS_FILE, Settings, load_settings
from remora.project.stock_scripts import StockScripts, read_stock_scripts
from remora.project.workspace import (
    AdapterFolder,
    BaseModel,
    Rejected,
    Workspace,
    find_workspace,
    read_base_model,
)


@dataclass(frozen=True, slots=True)
class FoundModels:
    """A base and at least one adapter. `chosen`: `remora.toml` says which; `lying_there` are all there are.

    `scripts` is what AI Toolkit's scripts say.
    """

    root: Path
    settings: Settings
    base: BaseModel
    base_name: str
    adapters: tuple[Adapter, ...]
    rejected: tuple[Rejected, ...]
    scripts: StockScripts
    chosen: bool
    lying_there: tuple[AdapterFolder, ...]

    def relative(self, path: Path) -> str:
        """A path as people see it: from the project's folder where it lies inside."""
        inside = path.is_relative_to(self.root)
        return path.relative_to(self.root).as_posix() or "." if inside else path.as_posix()

    def new_prompt_templates(self) -> dict[str, str]:
        """What `remora.toml` should say and does not: the template of AI Toolkit's scripts, by alias.

        Of adapters that `remora.toml` lists, it is only for the one that the scripts use.
        """
        if self.scripts.prompt_template is None:
            return {}
        trained = self.scripts.adapter.value if self.scripts.adapter else None
        known = self.settings.prompt_templates if self.chosen else {}
        return {
            adapter.name: self.scripts.prompt_template.value
            for adapter in self.adapters
            if adapter.name not in known and (not self.chosen or self.relative(adapter.path) == trained)
        }


def find_models(folder: Path, *, ignore_settings: bool = False) -> FoundModels:
    """Look through a folder. What `remora.toml` lists is what is meant, unless its list is to be ignored.

    Raises ProjectIncomplete where there is no base model or no usable adapter.
    """
    workspace = find_workspace(folder)
    root = workspace.root
    settings = load_settings(root, os.environ)
    chosen = bool(settings.adapters) and not ignore_settings
    found = _listed(settings) if chosen else workspace.adapters
    base = _choose_base(workspace, settings)
    name = settings.model.name or _served_name(base.name or _common_base_name(found) or "base-model")
    adapters, refused = _inspect(root, base, (name, *settings.model.also_known_as), found)
    rejected = (*workspace.rejected, *refused)
    if not adapters:
        raise ProjectIncomplete(
            f"no usable adapter below {root}{_because(root, rejected)}",
            hint="put the folder that PEFT saved (adapter_config.json, adapter_model.safetensors) below it",
        )
    return FoundModels(
        root=root,
        settings=settings,
        base=base,
        base_name=name,
        adapters=adapters,
        rejected=rejected,
        scripts=read_stock_scripts(root),
        chosen=chosen,
        lying_there=workspace.adapters,
    )


def _listed(settings: Settings) -> tuple[AdapterFolder, ...]:
    return tuple(AdapterFolder(alias, path, None) for alias, path in settings.adapters.items())


def _served_name(name: str) -> str:
    return name if is_alias(name) else alias_from(name)


def _choose_base(workspace: Workspace, settings: Settings) -> BaseModel:
    """The base that is set, else the only one, else the one that the adapters name."""
    if settings.model.base is not None:
        return read_base_model(settings.model.base, within=workspace.root)
    bases = workspace.bases
    if not bases:
        raise ProjectIncomplete(
            f"no base model below {workspace.root}{_because(workspace.root, workspace.rejected)}",
            hint="put its folder (config.json, *.safetensors, tokenizer files) below it",
        )
    if len(bases) == 1:
        return bases[0]
    wanted = _common_base_name(workspace.adapters)
    named = [base for base in bases if wanted and base.name and same_name(base.name, wanted)]
    if len(named) == 1:
        return named[0]
    paths = ", ".join(base.path.relative_to(workspace.root).as_posix() for base in bases)
    raise ProjectIncomplete(
        f"{len(bases)} base models below {workspace.root}: {paths}",
        hint=f'choose one: write base = "…" under [model] in {SETTINGS_FILE}, or set REMORA_MODEL_BASE',
    )


def _common_base_name(found: tuple[AdapterFolder, ...]) -> str | None:
    """What most adapters say they were trained on."""
    names = Counter(name for folder in found if (name := last_name(folder.base_model_name or "")))
    return names.most_common(1)[0][0] if names else None


def _inspect(
    root: Path, base: BaseModel, names: tuple[str, ...], found: tuple[AdapterFolder, ...]
) -> tuple[tuple[Adapter, ...], list[Rejected]]:
    shape = read_base(base.path, names=names)
    adapters: list[Adapter] = []
    rejected: list[Rejected] = []
    for folder in found:
        alias = f"{folder.name[:55]}-adapter" if folder.name == names[0] else folder.name
        try:
            adapters.append(inspect_adapter(alias, folder.path, shape))
        except AdapterRejected as error:
            reason = error.message.replace(f"{folder.path} ", "").replace(f"{root}{os.sep}", "")
            rejected.append(Rejected(folder.path, f"{reason} ({error.hint})" if error.hint else reason))
    return tuple(adapters), rejected


def _because(root: Path, rejected: tuple[Rejected, ...]) -> str:
    if not rejected:
        return ""
    reasons = (f"{item.path.relative_to(root).as_posix()}: {item.reason}" for item in rejected)
    return "; rejected: " + "; ".join(reasons)
