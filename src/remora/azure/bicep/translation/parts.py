"""Finds what a type refers to: a declaration, a part of one, a part of a resource. Translates no type."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from remora.azure.bicep.pointers import decoded, encoded
from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.translation.libraries import DEFINITIONS
from remora.azure.bicep.translation.property_kinds import kind_of
from remora.azure.bicep.translation.spelling import typed
from remora.azure.bicep.translation.symbols import Program
from remora.azure.bicep.translation.terms import Json

DERIVED = "__bicep_resource_derived_type!"


class Documents(ABC):
    """The documents of a file's types; `types.py` translates them."""

    program: Program

    @abstractmethod
    def of(self, kind: nodes.Type) -> dict[str, Json]:
        """The document of a type. Raises InvalidFile."""

    @abstractmethod
    def definition(self, name: str) -> dict[str, Json]:
        """The document of a declaration, by its name in the template."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A declaration, or a part of one: `pointer` leads to its document in the definitions."""

    pointer: tuple[str, ...]
    document: Json

    def reference(self) -> dict[str, Json]:
        """The document of a type that refers to it."""
        return {"$ref": DEFINITIONS + "/".join(encoded(part) for part in self.pointer)}


@dataclass(frozen=True, slots=True)
class Derived:
    """A part of a resource's type, which only the deployment knows. `type` has the version."""

    type: str
    is_output: bool
    pointer: tuple[str, ...] = ()

    def reference(self) -> dict[str, Json] | None:
        """The document of a type that refers to it, with its kind; None if that is not known."""
        kind = kind_of(self.type, self.pointer)
        if kind is None:
            return None
        source: dict[str, Json] = {
            "source": f"{self.type}#{'/'.join(encoded(part) for part in self.pointer)}"
        }
        source |= {"output": True} if self.is_output else {}
        return {**({"type": kind} if kind != "any" else {}), "metadata": {DERIVED: source}}


def resolved(documents: Documents, kind: nodes.Type) -> Declared | Derived | None:
    """What a type refers to; None if it is no reference. Raises InvalidFile for a part that is not there."""
    if isinstance(kind, nodes.ResourceType):
        found = typed((kind.type.literal or "").removeprefix("az:"))
        if found is None:
            raise documents.program.source.refuse(
                kind.type.at, f"{kind.type.literal!r} is not a resource type with an API version"
            )
        return Derived("@".join(found), kind.function == "resourceOutput")
    name = _name(documents.program, kind)
    if name is not None:
        return Declared((name,), documents.definition(name))
    if not isinstance(kind, nodes.PartType):
        return None
    whole = resolved(documents, kind.type)
    if whole is None and isinstance(kind.type, nodes.NamedType):
        return None
    if whole is None:
        raise documents.program.source.refuse(kind.at, "only a declared type has parts")
    return _part(documents, kind, whole)


def followed(documents: Documents, found: Declared | Derived | None) -> Declared | Derived | None:
    """Where a chain of references ends; None if that is not known."""
    while isinstance(found, Declared) and isinstance(found.document, dict):
        document = found.document
        if "nullable" in document:
            return None
        metadata = document.get("metadata")
        origin = metadata.get(DERIVED) if isinstance(metadata, dict) else None
        if isinstance(origin, dict):
            return _derived(documents.program, found, origin)
        if "$ref" not in document:
            return found
        found = _at(documents, str(document["$ref"]))
    return found


def _derived(program: Program, found: Declared, origin: dict[str, Json]) -> Derived | None:
    if found.pointer[0] not in program.types:
        return None  # the Bicep CLI does not see where a type in another template comes from
    kind, _, pointer = str(origin["source"]).partition("#")
    parts = tuple(decoded(part) for part in pointer.split("/"))
    return Derived(kind, "output" in origin, parts)


def _at(documents: Documents, pointer: str) -> Declared:
    first, *parts = [decoded(part) for part in pointer.removeprefix(DEFINITIONS).split("/")]
    document: Json = documents.definition(first)
    for part in parts:
        if isinstance(document, list):
            document = document[int(part)]
        else:
            document = document.get(part) if isinstance(document, dict) else None
    return Declared((first, *parts), document)


def _name(program: Program, kind: nodes.Type) -> str | None:
    """The template's name of a declared or imported type."""
    if isinstance(kind, nodes.NamedType):
        return kind.name if kind.name in program.types else program.found("type", kind.name)
    if not isinstance(kind, nodes.PartType) or not isinstance(kind.type, nodes.NamedType):
        return None
    space = kind.type.name
    if space not in program.spaces or kind.of_array:
        return None
    name = program.found("type", str(kind.key), space)
    if name is None:
        raise program.source.refuse(kind.at, f"{space!r} has no type {kind.key!r}")
    return name


def _part(documents: Documents, kind: nodes.PartType, whole: Declared | Derived) -> Declared | Derived:
    steps = _steps(kind)
    end = followed(documents, whole)
    if isinstance(end, Derived):
        return Derived(end.type, end.is_output, (*end.pointer, *steps))
    document: Json = end.document if end is not None else None
    for step in steps:
        if isinstance(document, list):
            document = document[int(step)] if int(step) < len(document) else None
        else:
            document = document.get(step) if isinstance(document, dict) else None
    if end is None or not isinstance(document, dict):
        raise documents.program.source.refuse(
            kind.at, f"this part of the type is not known: {'/'.join(steps)}"
        )
    return Declared((*end.pointer, *steps), document)


def _steps(kind: nodes.PartType) -> tuple[str, ...]:
    if kind.of_array:
        return ("items",) if kind.key == "*" else ("prefixItems", str(kind.key))
    return ("additionalProperties",) if kind.key == "*" else ("properties", str(kind.key))
