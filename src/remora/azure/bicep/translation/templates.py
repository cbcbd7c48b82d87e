"""Takes the types, variables and functions of an ARM template as a library. Resolves and renames nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from remora.azure.bicep.pointers import decoded
from remora.azure.bicep.translation.functions import NAMESPACE
from remora.azure.bicep.translation.libraries import (
    DEFINITIONS,
    EXPORT,
    EXPORTED_VARIABLES,
    Library,
    Symbol,
    Unusable,
    function_name,
    is_identifier,
)
from remora.azure.bicep.translation.reading import read
from remora.azure.bicep.translation.terms import Json, call, to_json

TYPES = {"securestring": "string", "secureobject": "object"}
SECURE = {"string": "securestring", "object": "secureObject"}
PLAIN = ("string", "int", "bool", "array", "object")
LIMITS = ("minLength", "maxLength", "minValue", "maxValue")
KEPT = ("nullable", "allowedValues", "$ref")


def library(template: dict[str, Json], origin: Path | str) -> Library:
    """The declarations of a template; those that Bicep marks are exported. Raises Unusable."""
    found = Library(origin)
    found.pointed = lambda pointer: Symbol("type", pointer, _type(_at(template, pointer)), found)
    for name, document in _section(template, "definitions").items():
        shown = name if is_identifier(name) else DEFINITIONS + name
        _add(found, Symbol("type", shown, _type(document), found), name, document)
    for reference, document in _functions(template):
        shown = function_name(reference)
        shown = shown if is_identifier(shown) else reference
        _add(found, Symbol("function", shown, _function(document), found), reference, document)
    for symbol in _variables(template, found):
        found.symbols["variable", symbol.name] = symbol
    metadata = _section(template, "metadata").get(EXPORTED_VARIABLES, [])
    for entry in metadata if isinstance(metadata, list) else []:
        exported = str(entry.get("name")) if isinstance(entry, dict) else ""
        found.exported[exported] = found.find("variable", exported)[0]
    return found


def _add(found: Library, symbol: Symbol, reference: str, document: Json) -> None:
    found.symbols[symbol.kind, reference] = symbol
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if isinstance(metadata, dict) and metadata.get(EXPORT) is True:
        found.exported[symbol.name] = symbol


def _section(template: dict[str, Json], name: str) -> dict[str, Json]:
    section = template.get(name, {})
    if not isinstance(section, dict):
        raise Unusable(f"its {name} are not an object")
    return section


def _functions(template: dict[str, Json]) -> Iterator[tuple[str, dict[str, Json]]]:
    spaces = template.get("functions", [])
    for space in spaces if isinstance(spaces, list) else []:
        members = space.get("members") if isinstance(space, dict) else None
        for name, document in members.items() if isinstance(members, dict) else ():
            if not isinstance(document, dict) or not isinstance(document.get("output"), dict):
                raise Unusable(f"its function {name!r} has no output")
            yield f"{space.get('namespace', NAMESPACE) if isinstance(space, dict) else ''}.{name}", document


def _function(document: dict[str, Json]) -> dict[str, Json]:
    """A function without what Bicep does not keep: everything about its types but the types themselves."""
    given = document.get("parameters", [])
    parameters: list[Json] = [
        {**_bare(item), "name": item.get("name")}
        for item in (given if isinstance(given, list) else [])
        if isinstance(item, dict)
    ]
    output = document["output"]
    value = output.get("value") if isinstance(output, dict) else None
    metadata = document.get("metadata")
    text = metadata.get("description") if isinstance(metadata, dict) else None
    described: dict[str, Json] = {"metadata": {"description": text}} if text is not None else {}
    return {"parameters": parameters, "output": {**_bare(output), "value": value}, **described}


def _variables(template: dict[str, Json], found: Library) -> Iterator[Symbol]:
    for name, value in _section(template, "variables").items():
        if name.lower() != "copy":
            yield Symbol("variable", name, value, found)
            continue
        for copy in value if isinstance(value, list) else []:
            if not isinstance(copy, dict) or not {"name", "count", "input"} <= copy.keys():
                raise Unusable("a loop of its variables has no name, count or input")
            count = to_json(call("length", call("range", 0, read(copy["count"]))))
            yield Symbol("variable", str(copy["name"]), {**copy, "count": count}, found, is_loop=True)


def _at(template: dict[str, Json], pointer: str) -> Json:
    """What a pointer in the template shows. Raises Unusable."""
    found: Json = template
    for part in pointer.removeprefix("#/").split("/"):
        key = decoded(part)
        if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, dict) and key in found:
            found = found[key]
        else:
            raise Unusable(f"its {pointer!r} is nowhere")
    return found


def _type(node: Json) -> dict[str, Json]:
    """A type as Bicep writes it again, with the decorators that belong to it."""
    found = _bare(node)
    if not isinstance(node, dict):
        return found
    if str(node.get("type", "")).lower() in TYPES:
        found["type"] = SECURE[str(found["type"])]
    if node.get("additionalProperties") is False and "$ref" not in node:
        found["additionalProperties"] = False
    metadata = node.get("metadata")
    kept = (
        {name: value for name, value in metadata.items() if name != EXPORT}
        if isinstance(metadata, dict)
        else {}
    )
    found |= {"metadata": kept} if kept else {}
    return found | {name: node[name] for name in LIMITS if name in node}


def _bare(node: Json) -> dict[str, Json]:
    """A type without its decorators, which Bicep does not keep for items, variants and parameters."""
    if not isinstance(node, dict):
        raise Unusable("a type in it is not an object")
    found = {name: node[name] for name in KEPT if name in node}
    if "$ref" in node:
        return found
    kind = str(node.get("type", "")).lower()
    kind = TYPES.get(kind, kind)
    if kind not in PLAIN:
        raise Unusable(
            f"one of its types is {node.get('type', 'none')!r}, which is not supported in an import"
        )
    found["type"] = kind
    if "allowedValues" in node:
        return found
    return found | (_array(node) if kind == "array" else _object(node) if kind == "object" else {})


def _array(node: dict[str, Json]) -> dict[str, Json]:
    if isinstance(prefix := node.get("prefixItems"), list):
        return {"prefixItems": [_type(item) for item in prefix], "items": False}
    return {"items": _bare(node["items"])} if isinstance(node.get("items"), dict) else {}


def _object(node: dict[str, Json]) -> dict[str, Json]:
    rest, members = node.get("additionalProperties"), node.get("properties")
    discriminator = node.get("discriminator")
    if isinstance(discriminator, dict):
        mapping = discriminator.get("mapping")
        variants = mapping.items() if isinstance(mapping, dict) else ()
        return {"discriminator": {**discriminator, "mapping": {name: _bare(kind) for name, kind in variants}}}
    if members is None and rest is None:
        return {}
    kinds = members.items() if isinstance(members, dict) else ()
    found: dict[str, Json] = {"properties": {name: _type(kind) for name, kind in kinds}}
    return found | ({"additionalProperties": _type(rest)} if isinstance(rest, dict) else {})
