"""Resources against Microsoft's typed schemas, those that Bicep checks templates with.

They know newer versions than the OpenAPI documents that we have, and say what is required or write-only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from tests.conformance.recordings import EVIDENCE

TYPES: Final = EVIDENCE / "types"
REQUIRED, READ_ONLY, WRITE_ONLY = 1, 2, 4
Json = Any
PYTHON: Final[dict[str, Any]] = {
    "StringType": str,
    "BooleanType": bool,
    "IntegerType": (int, float),
    "ObjectType": dict,
}


def resource_violations(full_type: str, version: str, body: Json) -> Iterator[str]:
    """What the type's schema does not allow in an answer. Nothing where there is no schema of the version."""
    found = _resource_types().get((full_type.lower(), version))
    if found is None:
        return
    types, index = found
    yield from _violations(types, index, {**body, "apiVersion": version}, "body")


def versions_of(full_type: str) -> list[str]:
    """The versions of a type that there are schemas of."""
    return sorted(version for name, version in _resource_types() if name == full_type.lower())


def read_only_texts(full_type: str, version: str) -> list[str]:
    """Those of a resource's properties that only the service sets, and that are free texts."""
    types, index = _resource_types()[full_type.lower(), version]
    properties = types[_index(types[index]["properties"]["properties"]["type"])]["properties"]
    return [
        name
        for name, item in properties.items()
        if item["flags"] & READ_ONLY and types[_index(item["type"])]["$type"] == "StringType"
    ]


@cache
def _resource_types() -> dict[tuple[str, str], tuple[list[Json], int]]:
    found: dict[tuple[str, str], tuple[list[Json], int]] = {}
    for file in sorted(TYPES.rglob("*types.json")):
        types = json.loads(file.read_text())
        for item in types:
            if item["$type"] == "ResourceType":
                name, _, version = item["name"].partition("@")
                found[name.lower(), version] = (types, _index(item["body"]))
    return found


def _index(reference: Json) -> int:
    return int(reference["$ref"].removeprefix("#/"))


def _violations(types: list[Json], index: int, value: Json, where: str) -> Iterator[str]:
    declared = types[index]
    if value is None:
        return
    kind = declared["$type"]
    if kind == "ObjectType":
        yield from _object_violations(types, declared, value, where)
    elif kind == "ArrayType":
        for item in value if isinstance(value, list) else ():
            yield from _violations(types, _index(declared["itemType"]), item, f"{where}[]")
        if not isinstance(value, list):
            yield f"{where}: {value!r} is no array"
    elif not _fits(types, declared, value):
        yield f"{where}: {value!r} is not {_described(types, declared)}"


def _object_violations(types: list[Json], declared: Json, value: Json, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: {value!r} is no object"
        return
    properties = declared["properties"]
    for name, item in properties.items():
        if item["flags"] & REQUIRED and name not in value:
            yield f"{where}.{name}: required, missing"
    for name, item in value.items():
        known = properties.get(name)
        if known is None:
            extra = declared.get("additionalProperties")
            if extra is None:
                yield f"{where}.{name}: unknown"
            else:
                yield from _violations(types, _index(extra), item, f"{where}.*")
        elif known["flags"] & WRITE_ONLY and item is not None:
            yield f"{where}.{name}: write-only, answered"
        else:
            yield from _violations(types, _index(known["type"]), item, f"{where}.{name}")


def _fits(types: list[Json], declared: Json, value: Json) -> bool:
    kind = declared["$type"]
    if kind == "UnionType":
        return any(_fits(types, types[_index(item)], value) for item in declared["elements"])
    if kind == "StringLiteralType":
        return isinstance(value, str) and value.lower() == declared["value"].lower()
    if kind == "IntegerType" and isinstance(value, bool):
        return False
    return isinstance(value, PYTHON.get(kind, object))


def _described(types: list[Json], declared: Json) -> str:
    elements = [types[_index(item)] for item in declared.get("elements", ())] or [declared]
    return " | ".join(str(item.get("value", item["$type"])) for item in elements)
