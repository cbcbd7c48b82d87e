"""A TOML file of the project: read with errors that name file and line; changed without losing a comment.

Sections are one level deep, so a dotted key is `section.name`, and the name itself may contain dots. Does not
know what the values mean.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remora.errors import InvalidFile
from remora.project.files.regular_file import read_text


@dataclass(frozen=True, slots=True)
class TomlFile:
    """A parsed file, kept with its text to find the line of a key."""

    path: Path
    text: str
    document: Mapping[str, object]

    def refuse(self, key: str, what: str, hint: str) -> InvalidFile:
        """The error for a wrong key, to be raised by the caller."""
        return InvalidFile(f"{self.path}:{_line_of(self.text, key)}: {what}", hint=hint, param=key)


def read_toml(path: Path, unwritten: str = "") -> TomlFile:
    """A file's content; for a missing file, the content of `unwritten`. Raises InvalidFile."""
    try:
        text = read_text(path)
    except FileNotFoundError:
        text = unwritten
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(f"{path} cannot be read: {error}", hint="save it as a UTF-8 text file") from None
    try:
        return TomlFile(path, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InvalidFile(f"{path}: not valid TOML: {error}", hint=f"correct {path.name}") from None


def changed_text(file: TomlFile, changes: Mapping[str, str | int | None]) -> str:
    """The text with dotted keys set, or removed if None; comments, order and spacing stay."""
    import tomlkit

    document = tomlkit.parse(file.text)
    for key, value in changes.items():
        section, dot, name = key.partition(".")
        if dot and section not in document:
            document[section] = tomlkit.table()
        table = document[section] if dot else document
        if not isinstance(table, dict):
            raise file.refuse(section, f"{section} is not a section", f"write it as [{section}]")
        if value is None:
            table.pop(name or section, None)
        else:
            table[name or section] = value
    return tomlkit.dumps(document)


def _line_of(text: str, key: str) -> int:
    """The line that sets a dotted key, found by a text search; 1 if it is not found."""
    wanted = tuple(key.split(".", 1)) if "." in key else ("", key)
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped.startswith("["):
            section = stripped.partition("#")[0].strip("[] ")
            if section == key:
                return number
        written = stripped.split("=", 1)[0].strip().strip("\"'")
        if (section, written) == wanted or (not section and written == key):
            return number
    return 1
