"""Translates Bicep's types to a template's declarations. Parses none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.translation.decorators import LIMITS, decorations, described
from remora.azure.bicep.translation.symbols import Program
from remora.azure.bicep.translation.terms import Json

PLAIN = ("string", "int", "bool", "array", "object")
SECURE = {"string": "securestring", "object": "secureObject"}
DECORATORS = ("secure", "sealed", "description", "metadata", *LIMITS)


def is_plain(kind: nodes.Type) -> bool:
    """Whether every language version has this type; other types need languageVersion 2.0."""
    return isinstance(kind, nodes.NamedType) and kind.name in PLAIN


def declared(program: Program, kind: nodes.Type, decorated: dict[str, Json], at: int) -> dict[str, Json]:
    """The document of a type with its decorators, except for metadata. Raises InvalidFile."""
    document = _type(program, kind)
    if "secure" in decorated:
        if document.get("type") not in SECURE:
            raise program.source.refuse(at, f"@secure() is not for {document.get('type', 'this type')}")
        document["type"] = SECURE[str(document["type"])]
    if "sealed" in decorated:
        document["additionalProperties"] = False
    return document | {name: decorated[name] for name in LIMITS if name in decorated}


def definition(program: Program, node: nodes.Alias) -> dict[str, Json]:
    """The document of a `type` declaration."""
    decorated = decorations(program, node.decorators, allowed=DECORATORS)
    return described(declared(program, node.type, decorated, node.at), decorated)


def _type(program: Program, kind: nodes.Type) -> dict[str, Json]:
    return TYPES[type(kind)](program, kind)


def _named(program: Program, kind: nodes.NamedType) -> dict[str, Json]:
    if kind.name in program.types:
        return {"$ref": f"#/definitions/{kind.name}"}
    if kind.name not in PLAIN:
        raise program.source.refuse(kind.at, f"the type {kind.name!r} is not supported")
    return {"type": kind.name}


def _nullable(program: Program, kind: nodes.NullableType) -> dict[str, Json]:
    return {**_type(program, kind.type), "nullable": True}


def _literal(program: Program, kind: nodes.LiteralType) -> dict[str, Json]:
    return _union(program, nodes.UnionType(kind.at, (kind,)))


def _union(program: Program, kind: nodes.UnionType) -> dict[str, Json]:
    """A choice of texts or numbers; it is nullable if null is among them."""
    values: list[Json] = []
    for member in kind.members:
        if not isinstance(member, nodes.LiteralType):
            raise program.source.refuse(
                member.at, "a union of other types than texts and numbers is not supported"
            )
        values.append(member.value)
    given = [value for value in values if value is not None]
    names = {_kind(value) for value in given}
    if len(names) != 1:
        raise program.source.refuse(kind.at, "a union of different types is not supported")
    ordered = sorted(given, key=str)
    document: dict[str, Json] = {"type": names.pop(), "allowedValues": list(ordered)}
    return document | ({"nullable": True} if len(given) < len(values) else {})


def _kind(value: Json) -> str:
    return "string" if isinstance(value, str) else "bool" if isinstance(value, bool) else "int"


def _array(program: Program, kind: nodes.ArrayType) -> dict[str, Json]:
    return {"type": "array", "items": dict(_type(program, kind.item))}


def _tuple(program: Program, kind: nodes.TupleType) -> dict[str, Json]:
    return {"type": "array", "prefixItems": [_member(program, item) for item in kind.items], "items": False}


def _object(program: Program, kind: nodes.ObjectType) -> dict[str, Json]:
    members: dict[str, Json] = {
        member.name: _member(program, member) for member in kind.members if member.name != "*"
    }
    document: dict[str, Json] = {"type": "object", "properties": members}
    for member in kind.members:
        if member.name == "*":
            document["additionalProperties"] = _member(program, member)
    return document


def _member(program: Program, member: nodes.TypeMember) -> dict[str, Json]:
    decorated = decorations(program, member.decorators, allowed=DECORATORS)
    return described(declared(program, member.type, decorated, member.at), decorated)


TYPES: Mapping[type, Callable[[Program, Any], dict[str, Json]]] = {
    nodes.NamedType: _named,
    nodes.NullableType: _nullable,
    nodes.LiteralType: _literal,
    nodes.UnionType: _union,
    nodes.ArrayType: _array,
    nodes.TupleType: _tuple,
    nodes.ObjectType: _object,
}
