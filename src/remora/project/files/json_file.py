"""A JSON file of the project: read with errors that name file, line and column; replaced atomically.

Does not know what the values mean.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from remora.errors import InvalidFile, ProjectIncomplete, writing
from remora.project.files.json_text import JsonPath, changed_text, without_comments
from remora.project.files.regular_file import read_text

TYPE_NAMES = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}


def read_object(
    path: Path, *, missing_hint: str = "run `remora init`", comments: bool = False
) -> dict[str, object]:
    """The object in a file; `comments` allows comments in it.

    Raises ProjectIncomplete (no file) or InvalidFile (no JSON object).
    """
    try:
        text = read_text(path)
    except (FileNotFoundError, NotADirectoryError):
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
    if "\\u" in text and not _is_text(value):
        raise InvalidFile(
            f"{path}: not valid JSON: it has half of a surrogate pair (\\ud800 to \\udfff)",
            hint=f"correct {path.name}",
        )
    if not isinstance(value, dict):
        raise InvalidFile(
            f"{path}: expected an object, found {type_name(value)}", hint=f"correct {path.name}"
        )
    return value


def type_name(value: object) -> str:
    """A JSON value's type in words."""
    return TYPE_NAMES.get(type(value), "a number")


def replace_text(path: Path, text: str) -> None:
    """Write a file atomically: a reader sees the old text or the new one."""
    with writing(path):
        _replace(path, text)


def _replace(path: Path, text: str) -> None:
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
    """Set values in a JSON file that users also edit, atomically; all other bytes stay.

    Creates the file if it is missing. An existing file must hold an object; callers have read it before.
    """
    text = path.read_bytes().decode("utf-8") if path.exists() else "{}\n"
    replace_text(path, changed_text(text, changes))


def replace_object(path: Path, value: object) -> None:
    """Write a whole JSON file atomically."""
    replace_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _is_text(value: object) -> bool:
    """Whether all strings can be encoded: half of a surrogate pair cannot be written anywhere."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


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
