"""The models of a folder: its base model and its adapters, each inspected; what was rejected, and why.

Reports what is there; writes nothing.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from remora.adapters.adapter import Adapter
from remora.adapters.peft.base_shape import BaseShape
from remora.adapters.peft.inspect import inspect_adapter, inspect_outline, read_base
from remora.azure.share.outline import Outline
from remora.cli.models.adapters_option import named_folders
from remora.cli.models.base_option import read_settings
from remora.cli.models.engine_trial import try_adapter, try_base
from remora.errors import AdapterRejected, ProjectIncomplete, listed
from remora.project.alias import alias_from, is_alias
from remora.project.base_search import adapter_paths, locate_base
from remora.project.files.regular_file import shown
from remora.project.settings import SETTINGS_FILE, Settings
from remora.project.toolkit.stock_scripts import StockScripts, read_stock_scripts
from remora.project.workspace import (
    PICKLED,
    AdapterFolder,
    BaseModel,
    Rejected,
    claimed_base_name,
    find_workspace,
)


@dataclass(frozen=True, slots=True)
class FoundModels:
    """A base and at least one adapter. `chosen`: `remora.toml` lists them; `lying_there`: all that exist.

    `base_origin` says where the base was found; `base_is_below`: it was not named and is in the project.
    `notes` say which checkpoints are used as adapters. `scripts` is what AI Toolkit's scripts say. `skipped`
    are adapters in folders that are not searched. `share` is the name of the share that has them, at the
    same paths as here relative to `root`; "" means that they are in the folder. The digests of adapters on
    a share are not known.
    """

    root: Path
    settings: Settings
    base: BaseModel
    base_origin: str
    base_is_below: bool
    base_name: str
    adapters: tuple[Adapter, ...]
    rejected: tuple[Rejected, ...]
    skipped: tuple[Rejected, ...]
    scripts: StockScripts
    chosen: bool
    lying_there: tuple[AdapterFolder, ...]
    share: str = ""
    notes: tuple[str, ...] = ()

    def relative(self, path: Path) -> str:
        """A path as users see it: relative to the project's folder if it is inside."""
        inside = path.is_relative_to(self.root)
        return shown(path.relative_to(self.root).as_posix() or "." if inside else path)

    @property
    def why_nf4(self) -> str:
        """What says that the adapters were trained on the base in nf4; "" where nothing does."""
        if self.base.is_quantized:
            return ""
        if self.scripts.adapter or self.scripts.base:
            return "AI Toolkit trains with QLoRA"
        named = (adapter.settings.base_model_name or "" for adapter in self.adapters)
        copy = next((name for name in named if name.lower().endswith("-bnb-4bit")), None)
        return f"an adapter names {copy}" if copy else ""

    def new_prompt_templates(self) -> dict[str, str]:
        """The prompt templates that `remora.toml` lacks: those of AI Toolkit's scripts, by alias.

        If `remora.toml` lists adapters, only the one that the scripts use gets a template.
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


def find_models(
    folder: Path,
    *,
    ignore_settings: bool = False,
    outline: Outline | None = None,
    base: str | None = None,
    named: Sequence[Path] = (),
) -> FoundModels:
    """Search a folder. The models that `remora.toml` lists are used, unless its list is to be ignored.

    With an `outline` the models are those of that share. `base` names the base model, `named` are folders
    of adapters: they come on top of what is listed, and without a list they are all. Raises
    ProjectIncomplete if there is no base model or no usable adapter.
    """
    workspace = find_workspace(outline.root if outline else folder)
    root, project = workspace.root, folder.resolve()
    settings = read_settings(project, base=base)
    if outline is not None:
        settings = _moved(settings, root)
    chosen = bool(settings.adapters) and not ignore_settings
    found = _listed(settings) if chosen else () if named else workspace.adapters
    found = (*found, *named_folders(settings, named))
    located = locate_base(
        settings, workspace, [item.path for item in found] or adapter_paths(settings, workspace)
    )
    model = located.model
    claimed = claimed_base_name(found)
    name = settings.model.name or _served_name(model.name or claimed or "base-model")
    known = filter(None, (settings.model.name, model.name, *settings.model.also_known_as))
    shape = read_base(model.path, names=tuple(known), claimed=claimed, engine=settings.serve.engine)
    try_base(shape)
    adapters, refused = _inspect(root, shape, name, found, outline)
    rejected = (*workspace.rejected, *refused)
    if not adapters:
        raise ProjectIncomplete(
            f"no usable adapter below {shown(root)}{_because(root, (*rejected, *workspace.skipped))}",
            hint=_hint_without_adapters(root, rejected, workspace.skipped),
        )
    return FoundModels(
        root=root,
        settings=settings,
        base=model,
        base_origin=located.origin,
        base_is_below=located.is_below,
        base_name=name,
        adapters=adapters,
        rejected=rejected,
        skipped=workspace.skipped,
        scripts=read_stock_scripts(project),
        chosen=chosen,
        lying_there=workspace.adapters,
        share=outline.share_name if outline else "",
        notes=() if chosen or named else workspace.notes,
    )


def _moved(settings: Settings, root: Path) -> Settings:
    """The settings, with every folder of the project at the same path below another root."""

    def moved(path: Path) -> Path:
        return root / path.relative_to(settings.root) if path.is_relative_to(settings.root) else path

    base = settings.model.base
    return replace(
        settings,
        root=root,
        model=replace(settings.model, base=moved(base) if base else None),
        adapters={alias: moved(path) for alias, path in settings.adapters.items()},
    )


def _listed(settings: Settings) -> tuple[AdapterFolder, ...]:
    return tuple(AdapterFolder(alias, path, None) for alias, path in settings.adapters.items())


def _served_name(name: str) -> str:
    return name if is_alias(name) else alias_from(name)


def _inspect(
    root: Path, shape: BaseShape, name: str, found: tuple[AdapterFolder, ...], outline: Outline | None
) -> tuple[tuple[Adapter, ...], list[Rejected]]:
    adapters: list[Adapter] = []
    rejected: list[Rejected] = []
    for folder in found:
        alias = f"{folder.name[:55]}-adapter" if folder.name == name else folder.name
        try:
            if outline is not None and (place := outline.place(folder.path)):
                adapters.append(inspect_outline(alias, folder.path, shape, place.stamp))
                continue
            adapter = inspect_adapter(alias, folder.path, shape)
            try_adapter(shape, adapter)
            adapters.append(adapter)
        except AdapterRejected as error:
            reason = error.message.replace(f"{folder.path} ", "").replace(f"{root}{os.sep}", "")
            rejected.append(Rejected(folder.path, f"{reason} ({error.hint})" if error.hint else reason))
    return tuple(adapters), rejected


def _because(root: Path, passed: tuple[Rejected, ...]) -> str:
    if not passed:
        return ""
    reasons = (f"{shown(_inside(root, item.path))}: {item.reason}" for item in passed)
    return f"; rejected: {listed(reasons, separator='; ')}"


def _hint_without_adapters(root: Path, rejected: tuple[Rejected, ...], skipped: tuple[Rejected, ...]) -> str:
    """If an adapter was found and rejected, "put one there" would be the wrong hint."""
    if skipped:
        path = shown(_inside(root, skipped[0].path))
        return f'write under [adapters] in {SETTINGS_FILE}: name = "{path}"'
    pickled = [item.path for item in rejected if item.reason.startswith(PICKLED)]
    if pickled:
        return f"convert its weights with: remora adapters convert {shlex.quote(shown(pickled[0]))}"
    if rejected:
        return "see the reasons; for the full report on a folder run: remora adapters show FOLDER"
    return "put the folder that PEFT saved (adapter_config.json, adapter_model.safetensors) below it"


def _inside(root: Path, path: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path
