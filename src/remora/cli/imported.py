"""An AI Toolkit project as we understand it. Looks at files only, and changes none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remora.azure.template import profile_types
from remora.cli.context import read_settings
from remora.cli.found_models import FoundModels, find_models
from remora.cli.output import Output
from remora.cli.target import TEMPLATE_FILE, read_template
from remora.errors import ProjectIncomplete, RemoraError
from remora.project.alias import alias_from
from remora.project.commands import Program, program_of
from remora.project.config import (
    FINETUNING_FILE,
    INFERENCE_FILE,
    FinetuningConfig,
    InferenceConfig,
    load_finetuning_config,
    load_inference_config,
)
from remora.project.parameter_rules import check_parameters
from remora.project.parameters import Parameters, load_parameters, shadowed_parameters
from remora.project.resolved import Resolved, check_group_known, resolve_parameters
from remora.project.stock_scripts import StockScripts, read_stock_scripts
from remora.project.switch import FileChange, Served, planned_switch

_CPU_PROFILE = "Consumption"


@dataclass(frozen=True, slots=True)
class ImportedProject:
    """What was understood. `models` is None where they do not lie in the folder; `why` says it then.

    `resolved` are cloud, subscription, resource group, and every parameter.
    """

    root: Path
    config: InferenceConfig
    finetuning: FinetuningConfig
    parameters: Parameters
    template: dict[str, Any]
    scripts: StockScripts
    resolved: tuple[Resolved, ...]
    models: FoundModels | None
    why: ProjectIncomplete | None
    warnings: tuple[str, ...]

    @property
    def commands(self) -> list[str]:
        """`defaultCommands`."""
        value = self.parameters.values.get("defaultCommands")
        return [str(command) for command in value] if isinstance(value, list) else []

    @property
    def program(self) -> Program:
        return program_of(self.commands)

    def prompt_of(self, alias: str) -> str | None:
        """The template of one adapter: that of `remora.toml`, else that of the scripts."""
        if self.models is None:
            return None
        known = self.models.settings.prompt_templates
        return known.get(alias) or self.models.new_prompt_templates().get(alias)

    def switch(self) -> tuple[FileChange, ...]:
        """What switching to Remora's program would change. Raises ProjectIncomplete without models."""
        if self.models is None:
            raise self.why or ProjectIncomplete(f"{self.root} has no models", hint="run: remora init")
        models = self.models
        profiles = [
            profile
            for profile in profile_types(self.template, self.parameters.values)
            if profile != _CPU_PROFILE
        ]
        return planned_switch(
            self.root,
            self.parameters,
            declared=tuple(self.template.get("parameters", {})),
            profile=profiles[0] if profiles else None,
            served=Served(
                base=models.relative(models.base.path),
                base_name=alias_from(models.base_name),
                adapters={adapter.name: models.relative(adapter.path) for adapter in models.adapters},
                prompt_templates=models.new_prompt_templates(),
            ),
        )


def import_project(folder: Path, out: Output) -> ImportedProject:
    """Read everything. Raises InvalidFile or ProjectIncomplete where a file is malformed or missing."""
    parameters = load_parameters(folder)
    template = read_template(folder, out)
    config, finetuning = load_inference_config(folder), load_finetuning_config(folder)
    scripts = read_stock_scripts(folder)
    declared = template.get("parameters", {})
    place = _place(folder, config, finetuning)
    group = str(place[-1].value or "")
    resolved = resolve_parameters(folder, parameters, finetuning, resource_group=group, declared=declared)
    models, why = _models(folder)
    warnings = (
        *scripts.warnings,
        *_checked(lambda: check_group_known(folder, finetuning)),
        *_checked(lambda: check_parameters(folder, resolved, declared, TEMPLATE_FILE.as_posix())),
        *_half_filled(folder, config),
        *_shadowed(folder, parameters),
        *(_strays(models, scripts) if models else ()),
    )
    return ImportedProject(
        folder, config, finetuning, parameters, template, scripts, (*place, *resolved), models, why, warnings
    )


def _models(folder: Path) -> tuple[FoundModels | None, ProjectIncomplete | None]:
    try:
        return find_models(folder), None
    except ProjectIncomplete as error:
        return None, error


def _place(folder: Path, config: InferenceConfig, finetuning: FinetuningConfig) -> tuple[Resolved, ...]:
    """Cloud, subscription and resource group."""
    settings = read_settings(folder)
    return (
        Resolved("cloud", settings.cloud, settings.origins["cloud"]),
        _first("subscription", "SUBSCRIPTION_ID", config.subscription_id, finetuning.subscription_id),
        _first("resource_group", "RESOURCE_GROUP_NAME", config.resource_group, finetuning.resource_group),
    )


def _first(name: str, key: str, ours: str | None, theirs: str | None) -> Resolved:
    if ours is not None:
        return Resolved(name, ours, f"{INFERENCE_FILE.as_posix()} ({key})")
    if theirs is not None:
        return Resolved(name, theirs, f"{FINETUNING_FILE.as_posix()} ({key})")
    return Resolved(name, None, "asked by remora provision")


def _checked(check: Callable[[], None]) -> Iterator[str]:
    """What a check would refuse, as a warning: `import` shows all there is."""
    try:
        check()
    except RemoraError as error:
        yield f"{error.message} → {error.hint}"


def _half_filled(folder: Path, config: InferenceConfig) -> Sequence[str]:
    known = any((config.subscription_id, config.resource_group, config.storage_account, config.app))
    if not known or not config.missing:
        return ()
    path = folder / INFERENCE_FILE
    return [f"{path}: {', '.join(config.missing)} is null → fill it in, or run: remora provision {folder}"]


def _shadowed(folder: Path, parameters: Parameters) -> Sequence[str]:
    shadowed = shadowed_parameters(folder)
    return [f"{shadowed} is not read, since there is {parameters.path}"] if shadowed else ()


def _strays(models: FoundModels, scripts: StockScripts) -> Iterator[str]:
    """Where the scripts name another folder than the one here. On Azure Files case does not matter."""
    adapters = [models.relative(adapter.path) for adapter in models.adapters]
    for what, found, here in (
        ("base model", scripts.base, [models.relative(models.base.path)]),
        ("adapter", scripts.adapter, adapters),
    ):
        if found is not None and found.value.lower() not in map(str.lower, here):
            yield f"{found.origin} names the {what} {found.value}; used is what is here: {', '.join(here)}"
