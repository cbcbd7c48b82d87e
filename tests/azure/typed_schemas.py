"""Azure's typed schemas, and what in a template's resource they do not know; expressions may be anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REQUIRED, READ_ONLY = 1, 2  # flags of a property
OF_THE_TEMPLATE = {"condition", "copy", "dependsOn", "metadata", "scope"}


class TypedSchemas:
    """The type documents under a folder."""

    def __init__(self, folder: Path) -> None:
        self._bodies: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {}
        for path in sorted(folder.glob("*/*/*types.json")):
            types = json.loads(path.read_text())
            for entry in types:
                if entry["$type"] == "ResourceType":
                    self._bodies[entry["name"].lower()] = (types, entry["body"])

    def problems(self, resource: dict[str, Any]) -> Iterator[str]:
        """What is unknown, missing, read-only or of another type in one resource of a template."""
        types, body = self._bodies[f"{resource['type']}@{resource['apiVersion']}".lower()]
        sent = {key: value for key, value in resource.items() if key not in OF_THE_TEMPLATE}
        # These three say which resource it is; their types are literals of the resource's own.
        sent |= {"name": "[…]", "type": "[…]", "apiVersion": "[…]", "id": "[…]"}
        for problem in _problems(types, body, sent, "", of_resource=True):
            yield f"{resource['type']} {problem}"


def _problems(
    types: list[dict[str, Any]],
    reference: dict[str, Any],
    value: Any,
    path: str,
    *,
    of_resource: bool = False,
) -> Iterator[str]:
    kind = _type(types, reference)
    if value is None or (isinstance(value, str) and value.startswith("[") and value.endswith("]")):
        return
    if kind["$type"] == "ObjectType" and isinstance(value, dict):
        yield from _of_object(types, kind, value, path, of_resource=of_resource)
    elif kind["$type"] == "ArrayType" and isinstance(value, list):
        for number, item in enumerate(value):
            yield from _problems(types, kind["itemType"], item, f"{path}[{number}]")
    elif kind["$type"] == "UnionType":
        # Many also take any text, for values to come; what we send should be known today.
        closed = [element for element in kind["elements"] if _type(types, element)["$type"] != "StringType"]
        if all(list(_problems(types, element, value, path)) for element in closed or kind["elements"]):
            yield f"{path}: {value!r} is none of its values"
    elif kind["$type"] == "StringLiteralType":
        if str(value).lower() != kind["value"].lower():  # Azure takes any case
            yield f"{path}: {value!r} is not {kind['value']!r}"
    elif kind["$type"] in PLAIN and type(value) not in PLAIN[kind["$type"]][0]:
        yield f"{path}: {value!r} is no {PLAIN[kind['$type']][1]}"
    elif kind["$type"] in ("ObjectType", "ArrayType"):
        yield f"{path}: {value!r} is no {kind['$type']}"


def _type(types: list[dict[str, Any]], reference: dict[str, Any]) -> dict[str, Any]:
    return types[int(reference["$ref"].removeprefix("#/"))]


PLAIN = {
    "StringType": ((str,), "text"),
    "IntegerType": ((int,), "integer"),
    "BooleanType": ((bool,), "boolean"),
}


def _of_object(
    types: list[dict[str, Any]], kind: dict[str, Any], value: dict[str, Any], path: str, *, of_resource: bool
) -> Iterator[str]:
    prefix = f"{path}." if path else ""
    for key, child in value.items():
        declared = kind["properties"].get(key)
        if declared is not None and declared["flags"] & READ_ONLY and not of_resource:
            yield f"{prefix}{key}: read-only"
        elif declared is not None:
            yield from _problems(types, declared["type"], child, f"{prefix}{key}")
        elif "additionalProperties" in kind:
            yield from _problems(types, kind["additionalProperties"], child, f"{prefix}{key}")
        else:
            yield f"{prefix}{key}: unknown"
    for key, declared in kind["properties"].items():
        if declared["flags"] & REQUIRED and key not in value:
            yield f"{prefix}{key}: required"
