"""AI Toolkit's `*.parameters.json`: the values that a deployment template is given.

Owns the file's form and the rule that null means "not given". Does not know the template's parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remora.errors import InvalidFile, ProjectIncomplete
from remora.project.json_file import read_object, type_name
from remora.project.json_text import changed_text

FOLDERS = (Path("infra/provision"), Path("infra"))  # the second spelling is that of the docs


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
    document = read_object(path, comments=True)
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


def shadowed_parameters(root: Path, step: str = "inference") -> Path | None:
    """The file at the docs' other spelling, where there is one at both: it is not read."""
    first, second = (root / folder / f"{step}.parameters.json" for folder in FOLDERS)
    return second if first.is_file() and second.is_file() else None


def changed_parameters(path: Path, values: Mapping[str, object]) -> str:
    """The file's text with these values; comments, order and parameters of other names stay."""
    text = path.read_bytes().decode("utf-8")
    return changed_text(text, {("parameters", name, "value"): value for name, value in values.items()})


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
