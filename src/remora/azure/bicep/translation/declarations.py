"""Collects a Bicep file's declarations, so that expressions find them, and opens its modules."""

from __future__ import annotations

import re
from typing import Any

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.translation.artifacts import Stored, opened
from remora.azure.bicep.translation.decorators import decorations
from remora.azure.bicep.translation.imports import declare_import
from remora.azure.bicep.translation.loading import number_loads
from remora.azure.bicep.translation.naming import SCHEMAS, target_of
from remora.azure.bicep.translation.secrets import secret_outputs
from remora.azure.bicep.translation.spelling import RESOURCE_TYPE, spelled
from remora.azure.bicep.translation.symbols import Module, Program, Resource, Target

NESTED_TYPE = re.compile(r"(?P<type>[A-Za-z0-9]+)(?:@(?P<version>\d{4}-\d\d-\d\d(?:-[a-z]+)?))?")


def declare(program: Program, node: nodes.Declaration) -> None:
    """Add one declaration to the program. Raises InvalidFile if its name is taken."""
    number_loads(program, node)
    if isinstance(node, nodes.TargetScope):
        program.target = _target(program, node)
    elif isinstance(node, nodes.Import):
        names = [(name.at, name.alias) for name in node.names]
        for at, name in [*names, *([(node.at, node.space)] if node.space is not None else [])]:
            _require_free(program, at, name)
            if name in program.types or name in program.functions:
                raise program.source.refuse(at, f"{name!r} is declared twice")
        declare_import(program, node)
    elif isinstance(node, nodes.Resource):
        _add(program, program.deployed, node, _resource(program, node, None))
    elif isinstance(node, nodes.Module):
        _add(program, program.deployed, node, _module(program, node))
    elif isinstance(node, nodes.Parameter):
        _add(program, program.parameters, node, node)
    elif isinstance(node, nodes.Variable):
        decorations(program, node.decorators, allowed=("description", "export"))
        if node.name.lower() == "copy":
            raise program.source.refuse(node.at, "a variable cannot be named 'copy'")
        _add(program, program.variables, node, node)
    else:
        _declare_apart(program, node)


def _declare_apart(
    program: Program, node: nodes.Output | nodes.Alias | nodes.Metadata | nodes.Function
) -> None:
    """Add an output, type, metadata or function; a value can have the same name."""
    homes: dict[type, dict[str, Any]] = {
        nodes.Output: program.outputs,
        nodes.Alias: program.types,
        nodes.Metadata: program.metadata,
        nodes.Function: program.functions,
    }
    home = homes[type(node)]
    imported = isinstance(node, nodes.Alias | nodes.Function) and node.name in program.imported
    if node.name in home or imported:
        raise program.source.refuse(node.at, f"{node.name!r} is declared twice")
    home[node.name] = node


def _add(
    program: Program,
    home: dict[str, Any],
    node: nodes.Resource | nodes.Module | nodes.Parameter | nodes.Variable,
    found: object,
) -> None:
    _require_free(program, node.at, node.name)
    home[node.name] = found


def _require_free(program: Program, at: int, name: str) -> None:
    values = (program.parameters, program.variables, program.deployed)
    homes = (*values, program.imported, program.spaces)
    if any(name in home for home in homes):
        raise program.source.refuse(at, f"{name!r} is declared twice")


def _target(program: Program, node: nodes.TargetScope) -> Target:
    text = node.value.literal if isinstance(node.value, nodes.String) else None
    found = next((target for target in SCHEMAS if target == text), None)
    if found is None:
        raise program.source.refuse(node.at, f"the targetScope must be one of {', '.join(SCHEMAS)}")
    return found


def _resource(program: Program, node: nodes.Resource, outer: Resource | None) -> Resource:
    kind, version = _resource_type(program, node, outer)
    body, condition, loop = _unwrapped(program, node.body)
    if outer is not None and outer.loop is not None:
        raise program.source.refuse(
            node.at, "a resource cannot be nested in a loop: give it a parent instead"
        )
    if "name" not in body.properties:
        raise program.source.refuse(node.at, f"the resource {node.name!r} has no name")
    found = Resource(
        symbol=f"{outer.symbol}::{node.name}" if outer is not None else node.name,
        at=node.at,
        body=body,
        condition=condition,
        loop=loop,
        decorators=node.decorators,
        outer=outer,
        type=kind,
        api_version=version,
        existing=node.existing,
    )
    for entry in body.entries:
        if isinstance(entry, nodes.Resource):
            found.nested[entry.name] = _resource(program, entry, found)
    return found


def _resource_type(program: Program, node: nodes.Resource, outer: Resource | None) -> tuple[str, str]:
    text = node.type.literal or ""
    match = (RESOURCE_TYPE if outer is None else NESTED_TYPE).fullmatch(text)
    if match is None:
        raise program.source.refuse(node.type.at, f"{text!r} is not a resource type with an API version")
    if outer is None:
        return spelled(match["type"], match["version"]), match["version"]
    version = match["version"] or outer.api_version
    return spelled(f"{outer.type}/{match['type']}", version), version


def _unwrapped(
    program: Program, body: nodes.Expression
) -> tuple[nodes.Object, nodes.Expression | None, nodes.For | None]:
    """A body, separated from its condition and loop."""
    loop = body if isinstance(body, nodes.For) else None
    inner = loop.body if loop is not None else body
    condition = inner if isinstance(inner, nodes.If) else None
    inner = condition.body if condition is not None else inner
    if not isinstance(inner, nodes.Object):
        raise program.source.refuse(inner.at, "the body is not an object")
    return inner, condition.condition if condition is not None else None, loop


def _module(program: Program, node: nodes.Module) -> Module:
    body, condition, loop = _unwrapped(program, node.body)
    found = opened(program, node.path)
    template = (
        found.template if isinstance(found, Stored) else program.compiler.template(found.source, found.files)
    )
    return Module(
        symbol=node.name,
        at=node.at,
        body=body,
        condition=condition,
        loop=loop,
        decorators=node.decorators,
        template=template,
        target=target_of(template),
        secrets=secret_outputs(template),
    )
