"""An AI Toolkit project as Remora reads it. Reads its files, and its share if the folder has no models.

Changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remora.azure.profile import remora_home
from remora.azure.provisioning.template import profile_types
from remora.azure.share.outline import outlined
from remora.cli.models.base_option import read_settings
from remora.cli.models.found_models import FoundModels, find_models
from remora.cli.models.named_share import named_share, open_named
from remora.cli.output.console import Output
from remora.cli.output.next_command import command_line, in_folder
from remora.cli.target import read_template
from remora.errors import ProjectIncomplete, RemoraError
from remora.project.alias import alias_from
from remora.project.scaffold import BICEP_FILE
from remora.project.toolkit.commands import Program, program_of
from remora.project.toolkit.config import (
    FINETUNING_FILE,
    INFERENCE_FILE,
    FinetuningConfig,
    InferenceConfig,
    load_finetuning_config,
    load_inference_config,
)
from remora.project.toolkit.parameter_rules import check_parameters
from remora.project.toolkit.parameters import Parameters, load_parameters, shadowed_parameters
from remora.project.toolkit.resolved import Resolved, check_group_known, resolve_parameters
from remora.project.toolkit.stock_scripts import StockScripts, read_stock_scripts
from remora.project.toolkit.switch import FileChange, Served, planned_switch

_CPU_PROFILE = "Consumption"


@dataclass(frozen=True, slots=True)
class ImportedProject:
    """What was read. `models` is None if neither the folder nor the share has any; `why` gives the reason.

    `resolved` has the cloud, subscription, resource group, and every parameter.
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
        """The prompt template of one adapter: from `remora.toml`, else from the scripts."""
        if self.models is None:
            return None
        known = self.models.settings.prompt_templates
        return known.get(alias) or self.models.new_prompt_templates().get(alias)

    def switch(self) -> tuple[FileChange, ...]:
        """The changes for a switch to Remora's program. Raises ProjectIncomplete without models."""
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
    """Read everything. Raises InvalidFile or ProjectIncomplete if a file is malformed or missing."""
    parameters = load_parameters(folder)
    template = read_template(folder, out)
    config, finetuning = load_inference_config(folder), load_finetuning_config(folder)
    scripts = read_stock_scripts(folder)
    declared = template.get("parameters", {})
    place = _place(folder, config, finetuning)
    group = str(place[-1].value or "")
    resolved = resolve_parameters(folder, parameters, finetuning, resource_group=group, declared=declared)
    models, why, unseen = _models(folder, out)
    warnings = (
        *scripts.warnings,
        *_checked(folder, lambda: check_group_known(folder, finetuning)),
        *_checked(folder, lambda: check_parameters(folder, resolved, declared, BICEP_FILE.as_posix())),
        *_half_filled(folder, config),
        *_shadowed(folder, parameters),
        *(_strays(models, scripts) if models else ()),
        *unseen,
    )
    return ImportedProject(
        folder, config, finetuning, parameters, template, scripts, (*place, *resolved), models, why, warnings
    )


def _models(
    folder: Path, out: Output
) -> tuple[FoundModels | None, ProjectIncomplete | None, tuple[str, ...]]:
    """The models, else why there are none, and why the share could not be searched."""
    try:
        return find_models(folder), None, ()
    except ProjectIncomplete as error:
        why = error
    named = named_share(folder)
    if named is None:
        return None, why, ()
    try:
        # A local cloud that never ran has no share, so do not start one just to look.
        share = open_named(named, folder, out, start=(remora_home() / "cloud").exists())
        with out.step(f"looking for models on share {named.name!r}") as say, outlined(share) as outline:
            models = find_models(folder, outline=outline)
            say(f"base model and {len(models.adapters)} adapters are on share {named.name!r}")
        return models, None, ()
    except ProjectIncomplete:
        return None, why, ()
    except RemoraError as error:
        return None, why, (f"share {named.name!r} cannot be read: {error.message} → {error.hint}",)


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


def _checked(folder: Path, check: Callable[[], None]) -> Iterator[str]:
    """Turns what a check would refuse into a warning, because `import` shows everything."""
    try:
        check()
    except RemoraError as error:
        yield f"{error.message} → {in_folder(error.hint, folder)}"


def _half_filled(folder: Path, config: InferenceConfig) -> Sequence[str]:
    known = any((config.subscription_id, config.resource_group, config.storage_account, config.app))
    if not known or not config.missing:
        return ()
    path = folder / INFERENCE_FILE
    again = command_line("provision", folder)
    return [f"{path}: {', '.join(config.missing)} is null → fill it in, or run: {again}"]


def _shadowed(folder: Path, parameters: Parameters) -> Sequence[str]:
    shadowed = shadowed_parameters(folder)
    return [f"{shadowed} is not read, because {parameters.path} exists"] if shadowed else ()


def _strays(models: FoundModels, scripts: StockScripts) -> Iterator[str]:
    """Warns if the scripts name a different folder than the one here. Azure Files ignores case."""
    adapters = [models.relative(adapter.path) for adapter in models.adapters]
    for what, found, here in (
        ("base model", scripts.base, [models.relative(models.base.path)]),
        ("adapter", scripts.adapter, adapters),
    ):
        if found is not None and found.value.lower() not in map(str.lower, here):
            yield f"{found.origin} names the {what} {found.value}; Remora uses {', '.join(here)}"
