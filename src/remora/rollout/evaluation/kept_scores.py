"""What `remora eval` measured, kept as `evaluation.json` in the project's folder, beside `golden.toml`.

Owns the file: one entry for each model, version of its adapter and source, which is a file of pairs or a
list of tasks. Whoever compares versions later reads what a former version scored, which is served no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from remora.errors import InvalidFile
from remora.project.files.json_file import read_object, replace_object

FILE = "evaluation.json"

Scores = Mapping[str, Any]


def kept_scores(folder: Path) -> list[dict[str, Any]]:
    """All entries, none where there is no file. Raises InvalidFile."""
    path = folder / FILE
    if not path.exists():
        return []
    hint = f"delete {path}, and evaluate again: remora eval"
    try:
        entries = read_object(path).get("evaluations")
    except InvalidFile as error:  # people do not write this file, so they need not correct it
        raise InvalidFile(error.message, hint=hint) from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidFile(f"{path}: 'evaluations' is no list of objects", hint=hint)
    return entries


def keep_scores(folder: Path, source: str, measured: Sequence[Scores]) -> Path:
    """Put what was measured into the file; it takes the place of the same models' former entries.

    Each has `model` and `adapter_digest`. Raises InvalidFile.
    """
    entries = [{**scores, "model": _name(scores), "source": source} for scores in measured]
    new = {_identity(entry) for entry in entries}
    kept = [entry for entry in kept_scores(folder) if _identity(entry) not in new]
    path = folder / FILE
    replace_object(path, {"evaluations": [*kept, *entries]})
    return path


def _name(scores: Scores) -> str:
    """Without the version, which is the digest."""
    return str(scores["model"]).partition("@")[0]


def _identity(entry: Scores) -> tuple[object, ...]:
    return entry.get("source"), entry.get("model"), entry.get("adapter_digest")
