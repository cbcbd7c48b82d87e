"""Compares the templates that two compilers write for one Bicep file. Compiles nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from remora.azure.bicep.pointers import encoded

_NOTHING: Final = object()
_GENERATOR: Final = "_generator"


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where two templates differ: a JSON pointer, and both values as JSON, or "nothing"."""

    path: str
    ours: str
    theirs: str


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Difference]:
    """All differences, except who wrote the template and the order of dependencies, which mean nothing."""
    return list(_differ(_plain(ours), _plain(theirs), ""))


def _plain(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        members = {name: _plain(item, name) for name, item in value.items() if name != _GENERATOR}
        return {name: item for name, item in members.items() if (name, item) != ("metadata", {})}
    if isinstance(value, list | tuple):
        items = [_plain(item) for item in value]
        return sorted(items, key=str) if key == "dependsOn" else items
    return value


def _differ(ours: Any, theirs: Any, path: str) -> Iterator[Difference]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in [*ours, *(name for name in theirs if name not in ours)]:
            step = f"{path}/{encoded(name)}"
            yield from _differ(ours.get(name, _NOTHING), theirs.get(name, _NOTHING), step)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _differ(mine, other, f"{path}/{number}")
    elif (type(ours), ours) != (type(theirs), theirs):
        yield Difference(path, _text(ours), _text(theirs))


def _text(value: Any) -> str:
    return "nothing" if value is _NOTHING else json.dumps(value, ensure_ascii=False)
