"""Translates unions: choices of literals, and objects that one of their properties tells apart."""

from __future__ import annotations

from collections.abc import Iterator

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.translation.parts import Declared, Documents, followed, resolved
from remora.azure.bicep.translation.terms import Json

ESCAPES = {"\\": "\\\\", "'": "\\'", "\r": "\\r", "\n": "\\n", "\t": "\\t"}


class NotLiteral(Exception):
    """A type that has other values than a few known ones; `at` is its position."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


def union(documents: Documents, kind: nodes.UnionType | nodes.LiteralType) -> dict[str, Json]:
    """A choice of literals of one kind; it is nullable if null is among them. Raises InvalidFile."""
    try:
        values = literals(documents, kind)
    except NotLiteral as error:
        raise documents.program.source.refuse(
            error.at, "a union of other types than literals needs a @discriminator()"
        ) from None
    given: list[Json] = [value for value in values if value is not None]
    kinds = {_kind(value) for value in given}
    if len(kinds) != 1:
        raise documents.program.source.refuse(kind.at, "a union of different types is not supported")
    document: dict[str, Json] = {"type": kinds.pop(), "allowedValues": given}
    return document | ({"nullable": True} if len(given) < len(values) else {})


def literals(documents: Documents, kind: nodes.Type) -> list[Json]:
    """The values of a union of literals, each once, in Bicep's order. Raises NotLiteral."""
    named = {_shown(value): value for value in _values(documents, kind)}
    return [named[name] for name in sorted(named, key=lambda name: name.encode("utf-16-be", "surrogatepass"))]


def discriminated(documents: Documents, kind: nodes.UnionType, by: str) -> dict[str, Json]:
    """A union of objects, by the text in one of their properties. Raises InvalidFile."""
    mapping: dict[str, Json] = {}
    for member in _flat(kind):
        for name, document in _variants(documents, member, by):
            if name in mapping:
                raise documents.program.source.refuse(member.at, f"two variants have {by}: {name!r}")
            mapping[name] = document
    return {"type": "object", "discriminator": {"propertyName": by, "mapping": mapping}}


def _flat(kind: nodes.Type) -> Iterator[nodes.Type]:
    if isinstance(kind, nodes.UnionType):
        for member in kind.members:
            yield from _flat(member)
    else:
        yield kind


def _variants(documents: Documents, kind: nodes.Type, by: str) -> Iterator[tuple[str, Json]]:
    """The text and the document of a variant; all of them if it is itself such a union."""
    if isinstance(kind, nodes.ObjectType):
        document = documents.of(kind)
        yield _text(documents, kind, document, by), dict(document)
        return
    found = resolved(documents, kind)
    if (
        not isinstance(found, Declared)
        or not isinstance(found.document, dict)
        or "nullable" in found.document
    ):
        raise documents.program.source.refuse(
            kind.at, "a variant of a union must be an object of this or an imported file"
        )
    inner = found.document.get("discriminator")
    if isinstance(inner, dict):
        if inner["propertyName"] != by or not isinstance(inner["mapping"], dict):
            raise documents.program.source.refuse(
                kind.at, f"this union has another discriminator than {by!r}"
            )
        yield from inner["mapping"].items()
        return
    yield (
        _text(documents, kind, found.document, by),
        dict(found.reference()),
    )


def _text(documents: Documents, kind: nodes.Type, document: Json, by: str) -> str:
    members = document.get("properties") if isinstance(document, dict) else None
    member = members.get(by) if isinstance(members, dict) else None
    if isinstance(member, dict) and "$ref" in member:
        end = followed(documents, Declared((), member))
        member = end.document if isinstance(end, Declared) else None
    values = (
        member.get("allowedValues") if isinstance(member, dict) and member.get("type") == "string" else None
    )
    if not isinstance(values, list) or len(values) != 1 or not isinstance(values[0], str):
        raise documents.program.source.refuse(kind.at, f"this variant has no property {by!r} with one text")
    return values[0]


def _values(documents: Documents, kind: nodes.Type) -> list[Json]:
    """The values that a type stands for. Raises NotLiteral."""
    if isinstance(kind, nodes.LiteralType):
        return [kind.value]
    if isinstance(kind, nodes.UnionType):
        return [value for member in kind.members for value in _values(documents, member)]
    if isinstance(kind, nodes.NullableType):
        return [*_values(documents, kind.type), None]
    if isinstance(kind, nodes.TupleType):
        return [[_one(documents, item.type) for item in kind.items]]
    if isinstance(kind, nodes.ObjectType):
        if any(member.name == "*" for member in kind.members):
            raise NotLiteral(kind.at)
        return [{member.name: _one(documents, member.type) for member in kind.members}]
    if isinstance(kind, nodes.NamedType | nodes.PartType):
        return _documented(documents, kind)
    raise NotLiteral(kind.at)


def _one(documents: Documents, kind: nodes.Type) -> Json:
    if isinstance(kind, nodes.NullableType):
        raise NotLiteral(kind.at)
    values = _values(documents, kind)
    if len(values) != 1:
        raise NotLiteral(kind.at)
    return values[0]


def _documented(documents: Documents, kind: nodes.NamedType | nodes.PartType) -> list[Json]:
    """The values of a declaration's document, which can be in another file."""
    end = followed(documents, resolved(documents, kind))
    if not isinstance(end, Declared):
        raise NotLiteral(kind.at)
    return _of_document(kind, end.document)


def _of_document(kind: nodes.Type, document: Json) -> list[Json]:
    if not isinstance(document, dict) or document.get("nullable"):
        raise NotLiteral(kind.at)
    values, members, items = (document.get(key) for key in ("allowedValues", "properties", "prefixItems"))
    # An array's values are either whole arrays or items: its document does not tell.
    if isinstance(values, list) and document.get("type") != "array":
        return values
    if isinstance(items, list):
        return [[_only(kind, item) for item in items]]
    if isinstance(members, dict) and not document.get("additionalProperties"):
        return [{name: _only(kind, member) for name, member in members.items()}]
    raise NotLiteral(kind.at)


def _only(kind: nodes.Type, document: Json) -> Json:
    values = _of_document(kind, document)
    if len(values) != 1:
        raise NotLiteral(kind.at)
    return values[0]


def _kind(value: Json) -> str:
    return {str: "string", bool: "bool", int: "int", list: "array", dict: "object"}[type(value)]


def _shown(value: Json) -> str:
    """A literal as Bicep shows it, which is what it sorts them by."""
    if isinstance(value, str):
        text = "".join(ESCAPES.get(letter, letter) for letter in value).replace("${", "\\${")
        return f"'{text}'"
    if isinstance(value, list):
        return f"[{', '.join(_shown(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name}: {_shown(item)}' for name, item in value.items())} }}"
    return "null" if value is None else str(value).lower()  # true and false, or a number
