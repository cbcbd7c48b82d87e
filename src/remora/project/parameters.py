"""AI Toolkit's `*.parameters.json`: the values that a deployment template is given.

Owns the file's form and the rule that null means "not given". Does not know the template's parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remora.errors import InvalidFile, ProjectIncomplete
from remora.project.config import FinetuningConfig
from remora.project.json_file import read_object, replace_object, type_name

FOLDERS = (Path("infra/provision"), Path("infra"))  # the second spelling is that of the docs
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#"
SHARED_WITH_FINETUNING = (
    "location",
    "storageAccountName",
    "fileShareName",
    "acaEnvironmentName",
    "acaEnvironmentStorageName",
    "acaLogAnalyticsName",
)
"""The parameters that name the same thing in both steps."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The values of a file, without the nulls; `names` has every parameter, the null ones too."""

    path: Path
    values: Mapping[str, object]
    names: tuple[str, ...]


def load_parameters(root: Path, step: str = "inference") -> Parameters:
    """The parameters for a step ("inference" or "finetuning").

    Raises ProjectIncomplete (no file) or InvalidFile (malformed, with line and column where it is JSON's
    form that is wrong, else the parameter's name).
    """
    path = find_parameters(root, step)
    document = read_object(path)
    parameters = document.get("parameters")
    if not isinstance(parameters, dict):
        raise InvalidFile(
            f"{path}: 'parameters' is {type_name(parameters)}, expected an object",
            hint='the form is {"parameters": {"name": {"value": …}}}',
            param="parameters",
        )
    values = {name: _value(path, name, entry) for name, entry in parameters.items()}
    given = {name: value for name, value in values.items() if value is not None}
    return Parameters(path, given, tuple(values))


def find_parameters(root: Path, step: str = "inference") -> Path:
    """The file for a step. Raises ProjectIncomplete."""
    candidates = [root / folder / f"{step}.parameters.json" for folder in FOLDERS]
    for path in candidates:
        if path.is_file():
            return path
    raise ProjectIncomplete(f"{candidates[0]} does not exist", hint="run `remora init`")


def save_parameters(path: Path, values: Mapping[str, object]) -> None:
    """Write a parameters file atomically; None is written as null."""
    entries = {name: {"value": value} for name, value in values.items()}
    replace_object(path, {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "parameters": entries})


def inherited_names(root: Path, config: FinetuningConfig, *, resource_group: str) -> dict[str, object]:
    """What null means where the fine-tuning step came first: the names of its resources.

    Empty for another resource group than the fine-tuning step's, since names in one group say nothing
    about another. What really was made wins over what was asked for.
    """
    if config.resource_group is None or config.resource_group.lower() != resource_group.lower():
        return {}
    made = {"storageAccountName": config.storage_account, "fileShareName": config.file_share}
    try:
        asked = load_parameters(root, "finetuning").values
    except ProjectIncomplete:
        asked = {}
    names = {name: asked[name] for name in SHARED_WITH_FINETUNING if name in asked}
    return {**names, **{name: value for name, value in made.items() if value is not None}}


def _value(path: Path, name: str, entry: object) -> object:
    if isinstance(entry, dict) and "reference" in entry:
        raise InvalidFile(
            f"{path}: {name} refers to a key vault, which is not supported",
            hint='write the value itself, as {"value": …}',
            param=name,
        )
    if not isinstance(entry, dict) or "value" not in entry:
        raise InvalidFile(
            f"{path}: {name} is {type_name(entry)} without 'value'",
            hint=f'write it as "{name}": {{"value": …}}',
            param=name,
        )
    return entry["value"]
