"""Which values a parameter may have, checked before any request to a cloud. Changes no values.

Types are those that the template declares; names follow Azure's rules (Microsoft Learn, "Naming rules and
restrictions for Azure resources").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remora.errors import InvalidFile
from remora.project.files.json_file import type_name
from remora.project.toolkit.resolved import Resolved


@dataclass(frozen=True, slots=True)
class _NameRule:
    """The rule for a resource's name."""

    shape: re.Pattern[str]
    words: str


_RULES: Mapping[str, _NameRule] = {
    "storageAccountName": _NameRule(re.compile(r"[a-z0-9]{3,24}"), "3 to 24 lower-case letters and digits"),
    "fileShareName": _NameRule(
        re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"),
        "3 to 63 lower-case letters, digits and single hyphens, no hyphen at either end",
    ),
    "acaAppName": _NameRule(
        re.compile(r"(?!.*--)[a-z][a-z0-9-]{0,30}[a-z0-9]"),
        "2 to 32 lower-case letters, digits and single hyphens, starting with a letter, no hyphen at the end",
    ),
    "acaEnvironmentName": _NameRule(
        re.compile(r"[A-Za-z](?:[A-Za-z0-9-]{0,58}[A-Za-z0-9])?"),
        "at most 60 letters, digits and hyphens, starting with a letter, no hyphen at the end",
    ),
    "acaLogAnalyticsName": _NameRule(
        re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]"),
        "4 to 63 letters, digits and hyphens, no hyphen at either end",
    ),
}
_TYPES: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "string": ("a string", lambda value: isinstance(value, str)),
    "securestring": ("a string", lambda value: isinstance(value, str)),
    "int": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "array": ("an array", lambda value: isinstance(value, list)),
    "object": ("an object", lambda value: isinstance(value, dict)),
    "secureobject": ("an object", lambda value: isinstance(value, dict)),
}


def check_parameters(
    root: Path, resolved: Iterable[Resolved], declared: Mapping[str, Mapping[str, Any]], template: str
) -> None:
    """Refuse a parameter that the template does not declare, and a value that is not allowed.

    `declared` maps names to the template's declarations, `template` is its file. Raises InvalidFile, which
    names the file of the value.
    """
    for item in resolved:
        if item.value is None:
            continue
        if item.name not in declared:
            raise _wrong(
                root,
                item,
                f"{item.name} is not a parameter of {template}",
                f"remove it, or declare it in {template}",
            )
        _check_type(root, item, str(declared[item.name].get("type", "")))
        _check_name(root, item)


def _check_type(root: Path, item: Resolved, declared: str) -> None:
    wanted = _TYPES.get(declared.lower())
    if wanted is not None and not wanted[1](item.value):
        raise _wrong(
            root,
            item,
            f"{item.name} is {type_name(item.value)}, {item.value!r}, but the template takes {wanted[0]}",
            f"write {wanted[0]}, or null for the default",
        )


def _check_name(root: Path, item: Resolved) -> None:
    rule = _RULES.get(item.name)
    if rule is not None and isinstance(item.value, str) and not rule.shape.fullmatch(item.value):
        raise _wrong(
            root,
            item,
            f"{item.name} is {item.value!r} ({len(item.value)} characters), which Azure does not allow",
            f"use {rule.words}, or null for the default",
        )


def _wrong(root: Path, item: Resolved, what: str, hint: str) -> InvalidFile:
    file = root / item.origin.partition(" (")[0]
    return InvalidFile(f"{file}: {what}", hint=f"{hint}; then run: remora plan", param=item.name)
