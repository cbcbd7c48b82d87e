"""The value and origin of every parameter of a deployment: AI Toolkit's rules for null. Asks no cloud.

A null name means the fine-tuning step's name in the same resource group, else the template's default. The
resources that the step created (its config) take precedence over its parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from remora.errors import InvalidFile, ProjectIncomplete
from remora.project.toolkit.config import FINETUNING_FILE, FinetuningConfig
from remora.project.toolkit.parameters import Parameters, load_parameters

LOCATION = "location"
SHARED_NAMES = (
    "storageAccountName",
    "fileShareName",
    "acaEnvironmentName",
    "acaEnvironmentStorageName",
    "acaLogAnalyticsName",
)
"""The parameters that name the same resource in both steps; only the container app differs."""
_MADE = {"storageAccountName": "STORAGE_ACCOUNT_NAME", "fileShareName": "FILE_SHARE_NAME"}


@dataclass(frozen=True, slots=True)
class Resolved:
    """A parameter: its value (None for the template's default), and the file or rule that sets it."""

    name: str
    value: object
    origin: str


def resolve_parameters(
    root: Path,
    parameters: Parameters,
    finetuning: FinetuningConfig,
    *,
    resource_group: str,
    declared: Iterable[str],
) -> tuple[Resolved, ...]:
    """Every parameter of the file, and every inherited one that the template declares, in that order.

    Raises InvalidFile if a file of the fine-tuning step is malformed.
    """
    declared = frozenset(declared)
    inherited = inherited_names(root, finetuning, resource_group=resource_group)
    names = [*parameters.names, *(name for name in inherited if name not in parameters.names)]
    known = [name for name in names if name in parameters.values or name in declared]
    return tuple(_resolve(root, name, parameters, inherited) for name in known)


def given_values(resolved: Iterable[Resolved]) -> dict[str, object]:
    """The values to pass to the template: those that are not its defaults."""
    return {item.name: item.value for item in resolved if item.value is not None}


def inherited_names(root: Path, config: FinetuningConfig, *, resource_group: str) -> dict[str, Resolved]:
    """The names of the fine-tuning step's resources.

    Empty for a different resource group, because names apply to one group only.
    """
    if config.resource_group is None or config.resource_group.lower() != resource_group.lower():
        return {}
    made = _made_by(config)
    found: dict[str, Resolved] = {}
    asked = _asked(root)
    for name in SHARED_NAMES:
        if made.get(name) is not None:
            found[name] = Resolved(name, made[name], f"{FINETUNING_FILE.as_posix()} ({_MADE[name]})")
        elif asked is not None and name in asked.values:
            found[name] = Resolved(name, asked.values[name], _spelt(root, asked.path))
    return found


def check_group_known(root: Path, config: FinetuningConfig) -> None:
    """Refuse a config that is half filled in: names without their resource group."""
    named = [_MADE[name] for name, value in _made_by(config).items() if value is not None]
    if named and config.resource_group is None:
        raise InvalidFile(
            f"{root / FINETUNING_FILE}: RESOURCE_GROUP_NAME is null, but {named[0]} is set",
            hint="fill it in, or run: remora provision --resource-group NAME",
            param="RESOURCE_GROUP_NAME",
        )


def _made_by(config: FinetuningConfig) -> Mapping[str, str | None]:
    return {"storageAccountName": config.storage_account, "fileShareName": config.file_share}


def _asked(root: Path) -> Parameters | None:
    try:
        return load_parameters(root, "finetuning")
    except ProjectIncomplete:
        return None


def _resolve(root: Path, name: str, parameters: Parameters, inherited: Mapping[str, Resolved]) -> Resolved:
    if name in parameters.values:
        return Resolved(name, parameters.values[name], _spelt(root, parameters.path))
    if name in inherited:
        return inherited[name]
    return Resolved(name, None, "the resource group" if name == LOCATION else "the template's default")


def _spelt(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()
