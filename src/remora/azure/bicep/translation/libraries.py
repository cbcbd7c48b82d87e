"""What a file offers to `import`: its types, variables and functions, as its template has them.

Owns how these refer to each other, and their form under other names. Reads no file; knows no Bicep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal as OneOf

from remora.azure.bicep.translation.functions import NAMESPACE
from remora.azure.bicep.translation.reading import read
from remora.azure.bicep.translation.terms import IDENTIFIER, Call, Json, Literal, call, rewritten, to_json

Kind = OneOf["type", "variable", "function"]
Key = tuple[str, Kind, str]
DEFINITIONS = "#/definitions/"
EXPORT = "__bicep_export!"
EXPORTED_VARIABLES = "__bicep_exported_variables!"
IMPORTED_FROM = "__bicep_imported_from!"

Rename = Callable[[Kind, str], str]


class Unusable(ValueError):
    """The reason why a template's declaration cannot be imported; the caller adds the position."""


@dataclass(frozen=True, slots=True, eq=False)
class Symbol:
    """A declaration. `is_loop`: the document is the `copy` of a variable; `type` is a variable's type."""

    kind: Kind
    name: str
    document: Json
    library: Library
    is_loop: bool = False
    type: Json = None

    @property
    def key(self) -> Key:
        return (str(self.library.origin), self.kind, self.name)


@dataclass(slots=True, eq=False)
class Library:
    """The declarations of one file by kind and reference, also those it imports itself, and its exports.

    A reference is the name in the file's template: of a type, of a variable, `namespace.name` of a function.
    `origin` is the path of a file, or the reference of a module in a registry.
    """

    origin: Path | str
    symbols: dict[tuple[Kind, str], Symbol] = field(default_factory=dict)
    exported: dict[str, Symbol] = field(default_factory=dict)
    pointed: Callable[[str], Symbol] | None = None

    def find(self, kind: Kind, reference: str) -> tuple[Symbol, str]:
        """The symbol of a reference, and the rest of a pointer into its type. Raises Unusable."""
        if kind != "type":
            name, rest = reference, ""
        elif reference.startswith(DEFINITIONS):
            name, slash, rest = reference.removeprefix(DEFINITIONS).partition("/")
            rest = slash + rest
        else:
            raise Unusable(f"it refers to {reference!r}")
        if rest and self.pointed is not None:
            return self.pointed(reference), ""
        if (kind, name) not in self.symbols:
            raise Unusable(f"its {kind} {name!r} is not declared")
        return self.symbols[kind, name], rest


def used(symbol: Symbol) -> Iterator[Symbol]:
    """The symbols that a symbol refers to. Raises Unusable."""
    found: list[tuple[Kind, str]] = []

    def record(kind: Kind, reference: str) -> str:
        found.append((kind, reference))
        return reference

    renamed(symbol, symbol.name, record)
    if isinstance(symbol.type, dict):
        _schema(symbol.type, record)
    for kind, reference in found:
        yield symbol.library.find(kind, reference)[0]


def renamed(symbol: Symbol, name: str, rename: Rename) -> Json:
    """A symbol's document, with its own new name and those of what it refers to. Raises Unusable."""
    document = symbol.document
    if symbol.kind == "type" and isinstance(document, dict):
        return _schema(document, rename)
    if symbol.kind == "function" and isinstance(document, dict):
        return _function(document, rename)
    if not symbol.is_loop or not isinstance(document, dict):
        return _value(document, rename)
    own = str(document["name"])

    def change(found: Call) -> Call:
        if found.name.lower() != "copyindex" or found.arguments[:1] != (Literal(own),):
            return found
        index = call("copyIndex", name)
        return call("add", index, *found.arguments[1:]) if len(found.arguments) > 1 else index

    inside = _value(document["input"], rename, change)
    return {"name": name, "count": _value(document["count"], rename), "input": inside}


def _function(document: Mapping[str, Json], rename: Rename) -> Json:
    parameters, output = document["parameters"], document["output"]
    if not isinstance(parameters, list) or not isinstance(output, dict):
        raise Unusable("a function has no parameters or no output")
    found: dict[str, Json] = {"parameters": [_schema(item, rename) for item in parameters]}
    found["output"] = {**_schema(output, rename), "value": _value(output.get("value"), rename)}
    return found | ({"metadata": document["metadata"]} if "metadata" in document else {})


def _value(value: Json, rename: Rename, more: Callable[[Call], Call] = lambda found: found) -> Json:
    """A value with other names of the variables and functions in it."""

    def change(found: Call) -> Call:
        if "." in found.name:
            return Call(rename("function", found.name), found.arguments)
        if found.name.lower() != "variables":
            return more(found)
        name = found.arguments[0] if len(found.arguments) == 1 else None
        if not isinstance(name, Literal) or not isinstance(name.value, str):
            raise Unusable("it computes the name of a variable")
        return call("variables", rename("variable", name.value))

    try:
        return to_json(rewritten(read(value), change))
    except ValueError as error:
        raise Unusable(str(error)) from None


def _schema(node: Json, rename: Rename) -> dict[str, Json]:
    """A type's document with other names of the types in it."""
    if not isinstance(node, dict):
        raise Unusable("a type in it is not an object")
    found = dict(node)
    if "$ref" in node:
        found["$ref"] = rename("type", str(node["$ref"]))
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            found[key] = _schema(node[key], rename)
    if isinstance(prefix := node.get("prefixItems"), list):
        found["prefixItems"] = [_schema(item, rename) for item in prefix]
    if isinstance(members := node.get("properties"), dict):
        found["properties"] = {name: _schema(member, rename) for name, member in members.items()}
    discriminator = node.get("discriminator")
    if isinstance(discriminator, dict) and isinstance(mapping := discriminator.get("mapping"), dict):
        variants: Json = {name: _schema(variant, rename) for name, variant in mapping.items()}
        found["discriminator"] = {**discriminator, "mapping": variants}
    return found


def function_name(reference: str) -> str:
    """The name of a function without the namespace that every Bicep file has."""
    return reference.removeprefix(f"{NAMESPACE}.")


def is_identifier(name: str) -> bool:
    return IDENTIFIER.fullmatch(name) is not None
