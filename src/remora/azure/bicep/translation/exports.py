"""A Bicep file's own functions and variables, and what it offers to import. Reads no file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.translation.decorators import decorations, described
from remora.azure.bicep.translation.functions import function_reference
from remora.azure.bicep.translation.libraries import EXPORT, Library, Symbol
from remora.azure.bicep.translation.naming import is_runtime
from remora.azure.bicep.translation.symbols import Program
from remora.azure.bicep.translation.terms import Copy, Json, Term, call, calls, copy_document, to_json
from remora.azure.bicep.translation.translator import Translator
from remora.azure.bicep.translation.types import Types, declared


def function(program: Program, node: nodes.Function) -> dict[str, Json]:
    """A function of the file. It can use its parameters, and functions and variables of the file."""
    decorated = decorations(program, node.decorators, allowed=("description", "export"))
    known = {name: call("parameters", name) for name, _ in node.parameters}
    translator = Translator(program, known)
    body = translator.term(node.body)
    foreign = (found for found in calls(body) if found.name == "parameters" and found not in known.values())
    if translator.mentions or any(foreign):
        raise program.source.refuse(node.body.at, "a function can only use its own parameters, and variables")
    parameters: list[Json] = [
        {**declared(program, kind, {}, node.at), "name": name} for name, kind in node.parameters
    ]
    output = {**declared(program, node.returns, {}, node.at), "value": to_json(body)}
    return described({"parameters": parameters, "output": output}, decorated)


def known_variables(program: Program) -> Iterator[tuple[str, Term | Copy]]:
    """The values of the variables that read no resource."""
    for name, node in program.variables.items():
        resolved = Translator(program).resolve(name, node.at)
        if not is_runtime(resolved.value):
            yield name, resolved.value


def exported_variables(program: Program) -> list[Json]:
    """How a template lists the variables that others can import, with their declared types."""
    found: list[Json] = []
    for name, node in sorted(program.variables.items()):
        decorated = decorations(program, node.decorators, allowed=("description", "export"))
        if "export" in decorated:
            text = {"description": decorated["description"]} if "description" in decorated else {}
            kind = {"type": declared(program, node.type, {}, node.at)} if node.type is not None else {}
            found.append({"name": name, **text, **kind})
    return found


def exports(program: Program, origin: Path) -> Library:
    """What a Bicep file offers to import, with everything that this refers to."""
    found = Library(origin)
    for name, symbol in program.linked.items():
        reference = function_reference(name) if symbol.kind == "function" else name
        found.symbols[symbol.kind, reference] = symbol
    for name in program.types:
        found.symbols["type", name] = Symbol(
            "type", name, _not_exported(Types(program).definition(name)), found
        )
    for name, node in program.functions.items():
        document = _not_exported(function(program, node))
        found.symbols["function", function_reference(name)] = Symbol("function", name, document, found)
    _add_variables(program, found)
    for home in (program.types, program.functions, program.variables):
        for name, declaration in home.items():
            if any(mark.name == "export" for mark in declaration.decorators):
                found.exported[name] = _symbol(program, found, declaration)
    return found


def _symbol(program: Program, found: Library, node: nodes.Alias | nodes.Function | nodes.Variable) -> Symbol:
    if isinstance(node, nodes.Alias):
        return found.symbols["type", node.name]
    if isinstance(node, nodes.Function):
        return found.symbols["function", function_reference(node.name)]
    symbol = found.symbols.get(("variable", node.name))
    if symbol is None:
        raise program.source.refuse(node.at, f"{node.name!r} reads a resource, and is exported")
    return symbol


def _add_variables(program: Program, found: Library) -> None:
    for name, value in known_variables(program):
        is_loop = isinstance(value, Copy)
        document = copy_document(value, name) if isinstance(value, Copy) else to_json(value)
        node = program.variables[name]
        kind = dict(declared(program, node.type, {}, node.at)) if node.type is not None else None
        found.symbols["variable", name] = Symbol("variable", name, document, found, is_loop, kind)
    for name, loaded in program.loaded.items():
        found.symbols["variable", name] = Symbol("variable", name, loaded, found)


def _not_exported(document: dict[str, Json]) -> dict[str, Json]:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return document
    kept = {name: value for name, value in metadata.items() if name != EXPORT}
    bare = {name: value for name, value in document.items() if name != "metadata"}
    return {**bare, "metadata": kept} if kept else bare
