"""A JSON value against a schema of an OpenAPI 2.0 document, strictly: what is not declared is a violation.

Resolves references between files. Reads what Microsoft's documents use: properties, required, allOf, enum,
formats, additionalProperties, and what may never be answered (x-ms-secret, x-ms-mutability).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

Json = Any
PRIMITIVES: Final = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
}


@dataclass(frozen=True, slots=True)
class Node:
    """A schema and the file that it stands in, which its references start from."""

    file: Path
    schema: Json

    def at(self, schema: Json) -> Node:
        """Another schema of the same file, or what it refers to."""
        node = Node(self.file, schema)
        while "$ref" in node.schema:
            node = _referred(node.file, node.schema["$ref"])
        return node

    def properties(self) -> dict[str, Node]:
        """Its own and those of what it extends."""
        found: dict[str, Node] = {}
        for part in self.schema.get("allOf", ()):
            found |= self.at(part).properties()
        own = self.schema.get("properties", {})
        return found | {name: Node(self.file, value) for name, value in own.items()}

    def required(self) -> set[str]:
        names = set(self.schema.get("required", ()))
        return names.union(*(self.at(part).required() for part in self.schema.get("allOf", ())))

    def is_open(self) -> bool:
        """Whether it takes any property: it declares none, or says so."""
        if self.schema.get("additionalProperties"):
            return True
        parts = [self.at(part) for part in self.schema.get("allOf", ())]
        return any(part.schema.get("additionalProperties") for part in parts) or not self.properties()


def violations(node: Node, value: Json, where: str = "body") -> Iterator[str]:
    """One line for each. Null stands for "not given": Azure answers it for what is not there."""
    node = node.at(node.schema)
    schema = node.schema
    if value is None:
        return
    kind = schema.get("type") or ("object" if node.properties() else None)
    if kind == "object" and not isinstance(value, dict):
        yield f"{where}: {value!r} is no object"
    elif kind == "object":
        yield from _object_violations(node, value, where)
    elif kind in PRIMITIVES and (
        not isinstance(value, PRIMITIVES[kind]) or (kind != "boolean" and isinstance(value, bool))
    ):
        yield f"{where}: {value!r} is no {kind}"
    elif kind == "array":
        for item in value:
            yield from violations(node.at(schema["items"]), item, f"{where}[]")
    elif kind == "string":
        yield from _text_violations(schema, value, where)


def _object_violations(node: Node, value: dict[str, Json], where: str) -> Iterator[str]:
    known = node.properties()
    for name in sorted(node.required()):
        if name not in value:
            yield f"{where}.{name}: required, missing"
    extra = node.schema.get("additionalProperties")
    for name, item in value.items():
        if name in known:
            yield from _property_violations(known[name], item, f"{where}.{name}")
        elif isinstance(extra, dict):
            yield from violations(node.at(extra), item, f"{where}.*")
        elif not node.is_open():
            yield f"{where}.{name}: unknown"


def _property_violations(declared: Node, value: Json, where: str) -> Iterator[str]:
    resolved = declared.at(declared.schema)
    for schema in (declared.schema, resolved.schema):
        never = schema.get("x-ms-secret") or "read" not in schema.get("x-ms-mutability", ("read",))
        if never and value is not None:
            yield f"{where}: write-only, answered"
            return
    yield from violations(resolved, value, where)


def _text_violations(schema: Json, value: str, where: str) -> Iterator[str]:
    allowed = schema.get("enum")
    if allowed and value.lower() not in [str(item).lower() for item in allowed]:
        yield f"{where}: {value!r} is not one of {', '.join(map(str, allowed))}"
    if schema.get("format") == "date-time" and not _is_time(value):
        yield f"{where}: {value!r} is no date-time"


def _is_time(value: str) -> bool:
    """Azure writes up to seven digits of a second, with or without a zone."""
    head, _, tail = value.partition(".")
    digits = tail.rstrip("Z").partition("+")[0]
    try:
        datetime.fromisoformat(head.rstrip("Z"))
    except ValueError:
        return False
    return not tail or (digits.isdecimal() and len(digits) <= 7)


def _referred(file: Path, reference: str) -> Node:
    path, _, pointer = reference.partition("#")
    target = (file.parent / path).resolve() if path else file
    schema = document(target)
    for part in pointer.strip("/").split("/"):
        schema = schema[part]
    return Node(target, schema)


@cache
def document(file: Path) -> Json:
    """A file of the specifications."""
    return json.loads(file.read_text())
