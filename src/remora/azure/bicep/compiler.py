"""A Bicep file as an ARM template: its declarations collected, then written out section by section."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from remora.azure.bicep import nodes
from remora.azure.bicep.decorators import LIMITS, decorations, described
from remora.azure.bicep.dependencies import check_order
from remora.azure.bicep.files import Files, Unreadable
from remora.azure.bicep.parser import parse
from remora.azure.bicep.resources import document
from remora.azure.bicep.source import Source
from remora.azure.bicep.symbols import Module, Program, Resource
from remora.azure.bicep.terms import Copy, Json, copy_document, to_json
from remora.azure.bicep.translator import Translator
from remora.azure.bicep.naming import is_runtime
from remora.azure.bicep.types import declared, definition, is_plain
from remora.errors import InvalidFile

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
RESOURCE_TYPE = re.compile(
    r"(?P<type>[A-Za-z0-9.]+(?:/[A-Za-z0-9]+)+)@(?P<version>\d{4}-\d\d-\d\d(?:-[a-z]+)?)"
)
NESTED_TYPE = re.compile(r"(?P<type>[A-Za-z0-9]+)(?:@(?P<version>\d{4}-\d\d-\d\d(?:-[a-z]+)?))?")
VALUE_DECORATORS = ("description", "metadata", "secure", *LIMITS)


def compile_bicep(source: str, path: Path, root: Path | None = None) -> dict[str, Json]:
    """The ARM template of a Bicep source; `path` is where it lies, for modules and messages.

    Modules and loaded files are read from within `root`, by default the file's own folder.
    Raises InvalidFile, with file, line and column, for anything that it does not compile.
    """
    try:
        return _compile(Source(path, source), Files(root or path.parent, path.parent, (path.resolve(),)))
    except RecursionError:
        raise InvalidFile(f"{path}: nested too deeply", hint="simplify the file") from None


def template_text(template: Mapping[str, Json]) -> str:
    """A template as it is kept beside its Bicep source."""
    return json.dumps(template, indent=2, ensure_ascii=False) + "\n"


def _compile(source: Source, files: Files) -> dict[str, Json]:
    program = Program(source, files)
    outputs: dict[str, nodes.Value] = {}
    metadata: dict[str, nodes.Value] = {}
    for node in parse(source):
        _declare(program, node, outputs, metadata)
    program.symbolic = _needs_symbols(program, outputs)
    template: dict[str, Json] = {"$schema": SCHEMA}
    if program.symbolic:
        template["languageVersion"] = "2.0"
    template["contentVersion"] = "1.0.0.0"
    if metadata:
        template["metadata"] = {name: _literal_value(program, node) for name, node in metadata.items()}
    if program.types:
        template["definitions"] = {name: definition(program, node) for name, node in program.types.items()}
    template["parameters"] = {name: _parameter(program, node) for name, node in program.parameters.items()}
    # Written after the others, which say what it has to hold.
    template["variables"] = {}
    template["resources"] = _resources(program)
    template["outputs"] = {name: _output(program, node) for name, node in outputs.items()}
    template["variables"] = _variables(program)
    return template


def _declare(
    program: Program,
    node: nodes.Declaration,
    outputs: dict[str, nodes.Value],
    metadata: dict[str, nodes.Value],
) -> None:
    """Put one declaration where it can be found, so that expressions may name it wherever it stands."""
    if isinstance(node, nodes.Value) and node.kind in ("output", "metadata", "targetScope", "type"):
        _declare_apart(program, node, {"output": outputs, "metadata": metadata, "type": program.types})
        return
    if node.name in program.parameters or node.name in program.variables or node.name in program.deployed:
        raise program.source.refuse(node.at, f"{node.name!r} is declared twice")
    if isinstance(node, nodes.Resource):
        program.deployed[node.name] = _resource(program, node, None)
    elif isinstance(node, nodes.Module):
        program.deployed[node.name] = _module(program, node)
    elif node.kind == "param":
        program.parameters[node.name] = node
    else:
        decorations(program, node.decorators, allowed=("description",))
        program.variables[node.name] = node


def _declare_apart(program: Program, node: nodes.Value, homes: dict[str, dict[str, nodes.Value]]) -> None:
    """Outputs, metadata and types: no expression names them, so they may be called as others are."""
    if node.kind == "targetScope":
        if not isinstance(node.value, nodes.String) or node.value.literal != "resourceGroup":
            raise program.source.refuse(
                node.at, "Remora provisions into a resource group; targetScope is another"
            )
        return
    if node.name in homes[node.kind]:
        raise program.source.refuse(node.at, f"{node.name!r} is declared twice")
    homes[node.kind][node.name] = node


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
        raise program.source.refuse(node.type.at, f"{text!r} is no resource type with an API version")
    if outer is None:
        return match["type"], match["version"]
    return f"{outer.type}/{match['type']}", match["version"] or outer.api_version


def _unwrapped(
    program: Program, body: nodes.Expression
) -> tuple[nodes.Object, nodes.Expression | None, nodes.For | None]:
    """A body without the loop and the condition around it."""
    loop = body if isinstance(body, nodes.For) else None
    inner = loop.body if loop is not None else body
    condition = inner if isinstance(inner, nodes.If) else None
    inner = condition.body if condition is not None else inner
    if not isinstance(inner, nodes.Object):
        raise program.source.refuse(inner.at, "the body is no object")
    return inner, condition.condition if condition is not None else None, loop


def _module(program: Program, node: nodes.Module) -> Module:
    body, condition, loop = _unwrapped(program, node.body)
    return Module(
        symbol=node.name,
        at=node.at,
        body=body,
        condition=condition,
        loop=loop,
        decorators=node.decorators,
        template=_module_template(program, node.path),
    )


def _module_template(program: Program, name: nodes.String) -> dict[str, Json]:
    """The template of a module: another Bicep file, or one that is compiled already."""
    text = name.literal
    if text is None or text.partition(":")[0] in ("br", "br/public", "ts") or text.startswith(("br/", "ts/")):
        raise program.source.refuse(name.at, "only modules in local files are supported")
    try:
        path = program.files.find(text)
        content = program.files.content(text).decode("utf-8-sig")
        files = program.files.beside(path)
        template = json.loads(content) if path.suffix == ".json" else None
    except (Unreadable, ValueError) as error:
        raise program.source.refuse(name.at, f"the module {text!r}: {error}") from None
    if path.suffix != ".json":
        return _compile(Source(program.source.path.parent / text, content), files)
    if not isinstance(template, dict) or "resources" not in template:
        raise program.source.refuse(name.at, f"the module {text!r} is no ARM template")
    return template


def _needs_symbols(program: Program, outputs: Mapping[str, nodes.Value]) -> bool:
    """Whether the file uses what only a template of languageVersion 2.0 has."""
    values = [*program.parameters.values(), *outputs.values()]
    return (
        bool(program.types)
        or any(value.type is not None and not is_plain(value.type) for value in values)
        or any(variable.type is not None for variable in program.variables.values())
        or any(decorator.name == "secure" for output in outputs.values() for decorator in output.decorators)
        or any(_has_no_name(found) for found in program.all_deployed())
    )


def _has_no_name(found: Resource | Module) -> bool:
    if isinstance(found, Module):
        return "name" not in found.body.properties
    return found.existing and "dependsOn" in found.body.properties


def _resources(program: Program) -> Json:
    documents = {
        found.symbol: document(program, found) for found in program.all_deployed() if _is_kept(program, found)
    }
    if program.symbolic:
        return dict(documents)
    return list(documents.values())


def _is_kept(program: Program, found: Resource | Module) -> bool:
    if isinstance(found, Module) or not found.existing:
        return True
    return Translator(program).is_named(found)


def _parameter(program: Program, node: nodes.Value) -> Json:
    decorated = decorations(program, node.decorators, allowed=("allowed", *VALUE_DECORATORS))
    assert node.type is not None
    found = declared(program, node.type, decorated, node.at)
    if node.value is not None:
        translator = Translator(program)
        found["defaultValue"] = to_json(translator.term(node.value))
        if translator.mentions:
            raise program.source.refuse(node.value.at, "a default value cannot be taken from a resource")
    if "allowed" in decorated:
        found["allowedValues"] = decorated["allowed"]
    return described(found, decorated)


def _output(program: Program, node: nodes.Value) -> Json:
    decorated = decorations(program, node.decorators, allowed=VALUE_DECORATORS)
    assert node.type is not None and node.value is not None
    found = declared(program, node.type, decorated, node.at)
    translator = Translator(program)
    if isinstance(node.value, nodes.For):
        found["copy"] = copy_document(translator.loop(node.value, None))
    else:
        found["value"] = to_json(translator.term(node.value))
    return described(found, decorated)


def _variables(program: Program) -> dict[str, Json]:
    """The variables that read no resource; the others are written out where they are used."""
    plain: dict[str, Json] = {}
    copies: list[Json] = []
    for name, node in program.variables.items():
        resolved = Translator(program).resolve(name, node.at)
        if is_runtime(resolved.value):
            continue
        if isinstance(resolved.value, Copy):
            copies.append(copy_document(resolved.value, name))
        else:
            plain[name] = to_json(resolved.value)
    loops: dict[str, Json] = {"copy": copies} if copies else {}
    return {**loops, **program.loaded, **plain}


def _literal_value(program: Program, node: nodes.Value) -> Json:
    assert node.value is not None
    return to_json(Translator(program).term(node.value))
