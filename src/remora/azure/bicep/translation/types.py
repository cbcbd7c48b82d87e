"""Translates Bicep's types to declarations of a template. Parses none; unions and parts have own files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.translation.decorators import LIMITS, decorations, described
from remora.azure.bicep.translation.parts import Derived, Documents, resolved
from remora.azure.bicep.translation.symbols import Program
from remora.azure.bicep.translation.terms import Json, key_of
from remora.azure.bicep.translation.unions import NotLiteral, discriminated, literals, union

PLAIN = ("string", "int", "bool", "array", "object")
SECURE = {"string": "securestring", "object": "secureObject"}
ON_ANY = ("secure", "sealed", "discriminator", "description", "metadata", *LIMITS)
SYMBOLIC = (nodes.ObjectType, nodes.ArrayType, nodes.TupleType, nodes.UnionType, nodes.NullableType)
REFERENCES = (nodes.NamedType, nodes.PartType, nodes.ResourceType)


def needs_symbols(kind: nodes.Type) -> bool:
    """Whether a type, or a part of it, needs languageVersion 2.0."""
    return isinstance(kind, SYMBOLIC) or (
        isinstance(kind, nodes.PartType | nodes.NotNullType) and needs_symbols(kind.type)
    )


def declared(program: Program, kind: nodes.Type, decorated: dict[str, Json], at: int) -> dict[str, Json]:
    """The document of a type with its decorators, except for metadata. Raises InvalidFile."""
    return Types(program).declared(kind, decorated, at)


@dataclass(frozen=True, slots=True)
class Types(Documents):
    """Translates the types of one file."""

    program: Program

    def of(self, kind: nodes.Type) -> dict[str, Json]:
        return TYPES[type(kind)](self, kind)

    def definition(self, name: str) -> dict[str, Json]:
        """The document of a `type` declaration of this file or of one that it imports.

        While a declaration is translated, only the texts in it can be found, which is enough for its own use
        as a variant of a union.
        """
        definitions = self.program.definitions
        if name not in definitions:
            node = self.program.types[name]
            definitions[name] = _outline(node.type)
            decorated = decorations(self.program, node.decorators, allowed=("export", *ON_ANY))
            definitions[name] = described(self.declared(node.type, decorated, node.at), decorated)
        return definitions[name]

    def declared(self, kind: nodes.Type, decorated: dict[str, Json], at: int) -> dict[str, Json]:
        by = decorated.get("discriminator")
        document = self.of(kind) if by is None else self._discriminated(kind, str(by))
        if "secure" in decorated:
            if document.get("type") not in SECURE:
                raise self.program.source.refuse(
                    at, f"@secure() is not for {document.get('type', 'this type')}"
                )
            document["type"] = SECURE[str(document["type"])]
        if "sealed" in decorated:
            document["additionalProperties"] = False
        return document | {name: decorated[name] for name in LIMITS if name in decorated}

    def _discriminated(self, kind: nodes.Type, by: str) -> dict[str, Json]:
        if isinstance(kind, nodes.NullableType | nodes.NotNullType):
            return {**self._discriminated(kind.type, by), "nullable": isinstance(kind, nodes.NullableType)}
        if isinstance(kind, nodes.UnionType):
            return discriminated(self, kind, by)
        if isinstance(kind, REFERENCES):
            return self.of(kind)
        raise self.program.source.refuse(kind.at, "@discriminator() is for a union of objects")

    def _reference(self, kind: nodes.NamedType | nodes.PartType | nodes.ResourceType) -> dict[str, Json]:
        found = resolved(self, kind)
        document = found.reference() if found is not None else None
        if document is not None:
            return document
        if isinstance(found, Derived):
            what = f"of {'/'.join(found.pointer)} in" if found.pointer else "of a whole"
            raise self.program.source.refuse(
                kind.at, f"the kind {what} {found.type} is not known to this compiler"
            )
        name = kind.name if isinstance(kind, nodes.NamedType) else None
        if isinstance(kind, nodes.PartType) and kind.type == nodes.NamedType(kind.type.at, "sys"):
            name = str(kind.key)
        if name != "any" and name not in PLAIN:
            raise self.program.source.refuse(kind.at, f"the type {name!r} is not supported")
        return {"type": name} if name != "any" else {}

    def _nullable(self, kind: nodes.NullableType) -> dict[str, Json]:
        return {**self.of(kind.type), "nullable": True}

    def _not_null(self, kind: nodes.NotNullType) -> dict[str, Json]:
        return {**self.of(kind.type), "nullable": False}

    def _array(self, kind: nodes.ArrayType) -> dict[str, Json]:
        """An array of literals lists these; other arrays have a type of items."""
        if isinstance(kind.item, nodes.LiteralType | nodes.UnionType | nodes.ObjectType | nodes.TupleType):
            try:
                return {"type": "array", "allowedValues": literals(self, kind.item)}
            except NotLiteral:
                pass
        return {"type": "array", "items": dict(self.of(kind.item))}

    def _tuple(self, kind: nodes.TupleType) -> dict[str, Json]:
        return {"type": "array", "prefixItems": [self._member(item) for item in kind.items], "items": False}

    def _object(self, kind: nodes.ObjectType) -> dict[str, Json]:
        members: dict[str, Json] = {
            key_of(member.name): self._member(member) for member in kind.members if member.name != "*"
        }
        document: dict[str, Json] = {"type": "object", "properties": members}
        for member in kind.members:
            if member.name == "*":
                document["additionalProperties"] = self._member(member)
        return document

    def _member(self, member: nodes.TypeMember) -> dict[str, Json]:
        # The CLI takes @allowed() here, and writes nothing for it.
        decorated = decorations(self.program, member.decorators, allowed=("allowed", *ON_ANY))
        return described(self.declared(member.type, decorated, member.at), decorated)


def _outline(kind: nodes.Type) -> dict[str, Json]:
    if not isinstance(kind, nodes.ObjectType):
        return {}
    members: dict[str, Json] = {
        member.name: {"type": "string", "allowedValues": [member.type.value]}
        if isinstance(member.type, nodes.LiteralType) and isinstance(member.type.value, str)
        else {}
        for member in kind.members
        if member.name != "*"
    }
    return {"type": "object", "properties": members}


TYPES: Mapping[type, Callable[[Types, Any], dict[str, Json]]] = {
    nodes.NamedType: Types._reference,
    nodes.PartType: Types._reference,
    nodes.ResourceType: Types._reference,
    nodes.NullableType: Types._nullable,
    nodes.NotNullType: Types._not_null,
    nodes.LiteralType: union,
    nodes.UnionType: union,
    nodes.ArrayType: Types._array,
    nodes.TupleType: Types._tuple,
    nodes.ObjectType: Types._object,
}
