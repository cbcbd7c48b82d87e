"""AI Toolkit's `*.parameters.json`: the values for a deployment template.

Owns the file's format and the rule that null means "not given". Does not know the template's parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remora.errors import InvalidFile, ProjectIncomplete
from remora.project.files.json_file import parse_object, read_object, type_name
from remora.project.files.json_text import changed_text

FOLDERS = (Path("infra/provision"), Path("infra"))  # the docs use the second path


@dataclass(frozen=True, slots=True)
class Parameters:
    """The values of a file, without nulls; `names` has every parameter, including those that are null."""

    path: Path
    values: Mapping[str, object]
    names: tuple[str, ...]


def load_parameters(root: Path, step: str = "inference", unwritten: str | None = None) -> Parameters:
    """The parameters for a step ("inference" or "finetuning"); `unwritten` is the text of a future file.

    Raises ProjectIncomplete (no file) or InvalidFile (malformed; with line and column for invalid JSON,
    else with the parameter's name).
    """
    if unwritten is not None:
        path = root / FOLDERS[0] / f"{step}.parameters.json"
        document = parse_object(unwritten, path)
    else:
        path = find_parameters(root, step)
        document = read_object(path, comments=True)
    parameters = document.get("parameters")
    if not isinstance(parameters, dict):
        raise InvalidFile(
            f"{path}: 'parameters' is {type_name(parameters)}, expected an object",
            hint='write it as {"parameters": {"name": {"value": …}}}',
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
    """The file at the docs' path if both paths have one: it is not read."""
    first, second = (root / folder / f"{step}.parameters.json" for folder in FOLDERS)
    return second if first.is_file() and second.is_file() else None


def changed_parameters(path: Path, values: Mapping[str, object]) -> str:
    """The file's text with these values; comments, order and other parameters stay."""
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
