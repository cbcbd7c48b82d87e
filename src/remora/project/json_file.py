"""A JSON file of the project: read with errors that name file, line and column; replaced atomically."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from remora.errors import InvalidFile, ProjectIncomplete
from remora.project.json_text import JsonPath, changed_text, without_comments

TYPE_NAMES = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}


def read_object(
    path: Path, *, missing_hint: str = "run `remora init`", comments: bool = False
) -> dict[str, object]:
    """The object in a file, which may hold `comments` where people write it.

    Raises ProjectIncomplete (no file) or InvalidFile (no JSON object).
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ProjectIncomplete(f"{path} does not exist", hint=missing_hint) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(f"{path} cannot be read: {error}", hint="save it as a UTF-8 text file") from None
    return parse_object(without_comments(text) if comments else text, path)


def parse_object(text: str, path: Path) -> dict[str, object]:
    """The object in a text; `path` is for messages only."""
    try:
        value = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise InvalidFile(
            f"{path}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}",
            hint=f"correct line {error.lineno} of {path.name}",
        ) from None
    except (ValueError, RecursionError) as error:
        raise InvalidFile(f"{path}: not valid JSON: {error}", hint=f"correct {path.name}") from None
    if not isinstance(value, dict):
        raise InvalidFile(
            f"{path}: expected an object, found {type_name(value)}", hint=f"correct {path.name}"
        )
    return value


def type_name(value: object) -> str:
    """A JSON value's type in words for people."""
    return TYPE_NAMES.get(type(value), "a number")


def replace_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(_mode_for(path))
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def change_object(path: Path, changes: Mapping[JsonPath, object]) -> None:
    """Set values in a JSON file that people write too, atomically; all else stays byte by byte.

    The file is made where it is missing. One that is there has been read before: it holds an object.
    """
    text = path.read_bytes().decode("utf-8") if path.exists() else "{}\n"
    replace_text(path, changed_text(text, changes))


def replace_object(path: Path, value: object) -> None:
    """Write a JSON file of ours atomically."""
    replace_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _mode_for(path: Path) -> int:
    return path.stat().st_mode & 0o777 if path.exists() else 0o644


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result: dict[str, object] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} occurs twice")
        result[key] = value
    return result


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
