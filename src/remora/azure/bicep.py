"""Bicep to an ARM template, for the subset that AI Toolkit's templates and ours use.

Whatever lies outside the subset is refused with its line; a wrong template is never produced. Owns the
declarations; expressions are in `bicep_expressions.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from tree_sitter import Node

from remora.azure.bicep_expressions import Json, Resource, Scope, quoted
from remora.azure.bicep_syntax import SourceFile, named, only, parse, part, text_of
from remora.errors import InvalidFile

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
TYPES = ("string", "int", "bool", "array", "object")
SECURE_TYPES = {"string": "securestring", "object": "secureObject"}
LIMITS = {
    "allowed": "allowedValues",
    "minValue": "minValue",
    "maxValue": "maxValue",
    "minLength": "minLength",
    "maxLength": "maxLength",
}
RESOURCE_TYPE = re.compile(
    r"(?P<type>[A-Za-z0-9.]+(?:/[A-Za-z0-9]+)+)@(?P<version>\d{4}-\d\d-\d\d(?:-[a-z]+)?)"
)


def compile_bicep(source: str, path: Path) -> dict[str, Json]:
    """The ARM template of a Bicep source; `path` is for messages.

    Raises InvalidFile, with file and line, for anything outside the subset.
    """
    try:
        return _compile(parse(source, path))
    except RecursionError:
        raise InvalidFile(f"{path}: nested too deeply", hint="simplify the file") from None


def template_text(template: dict[str, Json]) -> str:
    """A template as it is kept beside its Bicep source."""
    return json.dumps(template, indent=2, ensure_ascii=False) + "\n"


def _compile(file: SourceFile) -> dict[str, Json]:
    scope = Scope(file)
    parameters: list[tuple[str, Node, Sequence[Node]]] = []
    outputs: list[tuple[str, Node, Sequence[Node]]] = []
    for node, decorators in file.declarations():
        _declare(scope, node, decorators, parameters, outputs)
    template: dict[str, Json] = {
        "$schema": SCHEMA,
        "contentVersion": "1.0.0.0",
        "parameters": {name: _parameter(scope, node, marks) for name, node, marks in parameters},
        "variables": _variables(scope),
        "resources": [_resource(scope, resource) for resource in scope.resources.values()],
        "outputs": {name: _output(scope, node, marks) for name, node, marks in outputs},
    }
    return template


def _declare(
    scope: Scope,
    node: Node,
    decorators: Sequence[Node],
    parameters: list[tuple[str, Node, Sequence[Node]]],
    outputs: list[tuple[str, Node, Sequence[Node]]],
) -> None:
    """Put one declaration into the scope, so that expressions may name it wherever it stands."""
    if node.type not in (
        "parameter_declaration",
        "variable_declaration",
        "resource_declaration",
        "output_declaration",
    ):
        raise scope.file.refuse(node, f"{node.type.replace('_', ' ')} is not supported")
    symbol_node = named(node)[0]
    symbol = text_of(symbol_node)
    if node.type == "output_declaration":
        outputs.append((symbol, node, decorators))
        return
    if symbol in scope.parameters or symbol in scope.variables or symbol in scope.resources:
        raise scope.file.refuse(symbol_node, f"{symbol!r} is declared twice")
    if node.type == "parameter_declaration":
        scope.parameters[symbol] = node
        parameters.append((symbol, node, decorators))
    elif node.type == "variable_declaration":
        _decorations(scope, decorators, allowed=("description",))
        scope.variables[symbol] = named(node)[-1]
    else:
        scope.resources[symbol] = _resource_of(scope, node, decorators)


def _resource_of(scope: Scope, node: Node, decorators: Sequence[Node]) -> Resource:
    symbol, kind, *rest = named(node)
    match = RESOURCE_TYPE.fullmatch(scope.file.literal_string(kind) or "")
    if match is None:
        raise scope.file.refuse(kind, f"{text_of(kind)} is no resource type with an API version")
    if len(rest) != 1 or any(child.type == "existing" for child in node.children):
        raise scope.file.refuse(node, "existing resources are not supported")
    body, condition = rest[0], None
    if body.type == "if_statement":
        wrapped, body = named(body)
        condition = only(wrapped)
    if body.type != "object":
        raise scope.file.refuse(body, f"{body.type.replace('_', ' ')} is not supported as a resource's body")
    properties = dict(scope.file.properties(body))
    if "name" not in properties:
        raise scope.file.refuse(node, f"the resource {text_of(symbol)!r} has no name")
    decorations = _decorations(scope, decorators, allowed=("description",))
    description = decorations.get("description")
    return Resource(
        symbol=text_of(symbol),
        type=match["type"],
        api_version=match["version"],
        declaration=node,
        body=properties,
        condition=condition,
        description=description if isinstance(description, str) else None,
        parent=text_of(properties["parent"]) if "parent" in properties else None,
    )


def _parameter(scope: Scope, node: Node, decorators: Sequence[Node]) -> Json:
    decorations = _decorations(scope, decorators, allowed=("secure", "description", "metadata", *LIMITS))
    kind = _type(scope, node)
    if "secure" in decorations:
        if kind not in SECURE_TYPES:
            raise scope.file.refuse(node, f"@secure() is not for {kind}")
        kind = SECURE_TYPES[kind]
    parameter: dict[str, Json] = {"type": kind}
    children = named(node)
    if len(children) == 3:
        parameter["defaultValue"] = scope.value(children[2])
    parameter.update({LIMITS[name]: value for name, value in decorations.items() if name in LIMITS})
    return _with_metadata(parameter, decorations)


def _variables(scope: Scope) -> dict[str, Json]:
    """The variables that name no resource; the others are written out where they are used."""
    variables: dict[str, Json] = {}
    for name, node in scope.variables.items():
        scope.mentioned = set()
        value = scope.value(node)
        if not scope.mentioned:
            variables[name] = value
    return variables


def _resource(scope: Scope, resource: Resource) -> Json:
    _check_parent(scope, resource)
    scope.mentioned = set()
    names = scope.names(resource)
    document: dict[str, Json] = {}
    if resource.condition is not None:
        document["condition"] = scope.value(resource.condition)
    document |= {
        "type": resource.type,
        "apiVersion": resource.api_version,
        "name": _name(scope, resource, names),
    }
    rest = {key: node for key, node in resource.body.items() if key not in ("name", "parent", "dependsOn")}
    document.update({key: scope.value(node) for key, node in rest.items()})
    depends_on = _depends_on(scope, resource)
    if depends_on:
        document["dependsOn"] = list(depends_on)
    if resource.description is not None:
        document["metadata"] = {"description": resource.description}
    return document


def _check_parent(scope: Scope, resource: Resource) -> None:
    """A type's segments must be those of its parent and one more."""
    expected = resource.type.rpartition("/")[0]
    if resource.parent is None:
        if "/" in expected:
            raise scope.file.refuse(resource.declaration, f"{resource.symbol!r} needs a parent")
        return
    parent = scope.resources.get(resource.parent)
    if parent is None:
        raise scope.file.refuse(resource.body["parent"], f"{resource.parent!r} is no resource of this file")
    if parent.type.lower() != expected.lower() or parent.declaration == resource.declaration:
        raise scope.file.refuse(resource.body["parent"], f"{parent.type} is no parent of {resource.type}")


def _name(scope: Scope, resource: Resource, names: Sequence[str]) -> Json:
    if len(names) == 1:
        return scope.value(resource.body["name"])
    pattern = "/".join(f"{{{number}}}" for number in range(len(names)))
    return f"[format({', '.join([quoted(pattern), *names])})]"


def _depends_on(scope: Scope, resource: Resource) -> Sequence[str]:
    """What the resource mentions, its parent and its own `dependsOn`, in the order of symbols."""
    symbols = scope.mentioned - {resource.symbol}
    if resource.symbol in scope.mentioned:
        raise scope.file.refuse(resource.declaration, f"the resource {resource.symbol!r} refers to itself")
    if resource.parent is not None:
        symbols.add(resource.parent)
    if "dependsOn" in resource.body:
        for node in named(resource.body["dependsOn"]):
            if text_of(node) not in scope.resources:
                raise scope.file.refuse(node, f"{text_of(node)!r} is no resource of this file")
            symbols.add(text_of(node))
    return [f"[{scope.resource_id(scope.resources[symbol])}]" for symbol in sorted(symbols)]


def _output(scope: Scope, node: Node, decorators: Sequence[Node]) -> Json:
    decorations = _decorations(scope, decorators, allowed=("description",))
    output: dict[str, Json] = {"type": _type(scope, node), "value": scope.value(named(node)[-1])}
    return _with_metadata(output, decorations)


def _type(scope: Scope, node: Node) -> str:
    kind = named(node)[1]
    name = text_of(kind)
    if name not in TYPES:
        raise scope.file.refuse(kind, f"the type {name!r} is not supported")
    return name


def _decorations(scope: Scope, decorators: Sequence[Node], *, allowed: Sequence[str]) -> dict[str, Json]:
    """Decorators by name, with their argument (True for one without)."""
    found: dict[str, Json] = {}
    for decorator in decorators:
        call = only(decorator)
        name = text_of(part(call, "function")).removeprefix("sys.") if call.type == "call_expression" else ""
        if name not in allowed:
            raise scope.file.refuse(
                decorator, f"{text_of(decorator).partition('(')[0]} is not supported here"
            )
        arguments = named(part(call, "arguments"))
        found[name] = scope.value(arguments[0]) if arguments else True
    return found


def _with_metadata(document: dict[str, Json], decorations: dict[str, Json]) -> Json:
    metadata = decorations.get("metadata")
    merged: dict[str, Json] = dict(metadata) if isinstance(metadata, dict) else {}
    if "description" in decorations:
        merged["description"] = decorations["description"]
    return {**document, "metadata": merged} if merged else document
