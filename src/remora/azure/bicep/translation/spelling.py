"""The letter case of resource types, as the Bicep CLI writes it whatever the file has.

`resource_types.txt` has the spellings of Bicep's own library of types; `scripts/resource_types.py` writes it.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

LIST: Final = Path(__file__).with_name("resource_types.txt")
RESOURCE_TYPE: Final = re.compile(
    r"(?P<type>[A-Za-z0-9.]+(?:/[A-Za-z0-9]+)+)@(?P<version>\d{4}-\d\d-\d\d(?:-[a-z]+)?)"
)


def typed(text: str) -> tuple[str, str] | None:
    """The type, in Bicep's letter case, and the version in a text; None if these are not in it."""
    match = RESOURCE_TYPE.fullmatch(text)
    return (spelled(match["type"], match["version"]), match["version"]) if match is not None else None


def spelled(kind: str, version: str) -> str:
    """The type in Bicep's letter case, or as it is if Bicep does not know it."""
    others, newest = _spellings()
    key = kind.lower()
    return others.get((key, version)) or newest.get(key, kind)


def is_known(kind: str) -> bool:
    """Whether Bicep's library has a type of resources, in some version."""
    return kind.lower() in _spellings()[1]


@cache
def _spellings() -> tuple[dict[tuple[str, str], str], dict[str, str]]:
    """By type and version where that version differs from the newest; else by type."""
    others: dict[tuple[str, str], str] = {}
    newest: dict[str, str] = {}
    for line in LIST.read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        kind, *versions = line.split()
        if not versions:
            newest[kind.lower()] = kind
        others |= {(kind.lower(), version): kind for version in versions}
    return others, newest
