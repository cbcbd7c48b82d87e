"""Compiles a Bicep file: collects declarations, then writes the template's sections. Runs no CLI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.syntax.parser import parse
from remora.azure.bicep.syntax.source import Source
from remora.azure.bicep.translation.declarations import declare
from remora.azure.bicep.translation.decorators import LIMITS, decorations, described
from remora.azure.bicep.translation.dependencies import first_circle
from remora.azure.bicep.translation.exports import (
    exported_variables,
    exports,
    function,
    known_variables,
)
from remora.azure.bicep.translation.files import Files
from remora.azure.bicep.translation.functions import NAMESPACE, function_reference
from remora.azure.bicep.translation.imports import link, taken
from remora.azure.bicep.translation.libraries import EXPORTED_VARIABLES, Library
from remora.azure.bicep.translation.naming import SCHEMAS
from remora.azure.bicep.translation.resources import OPTIONS
from remora.azure.bicep.translation.resources import document as resource_document
from remora.azure.bicep.translation.symbols import Module, Program, Resource
from remora.azure.bicep.translation.terms import Copy, Json, copy_document, to_json
from remora.azure.bicep.translation.translator import Translator
from remora.azure.bicep.translation.types import Types, declared, needs_symbols
from remora.errors import InvalidFile

LEFT_OUT = ("parameters", "variables", "outputs")  # where they are empty
VALUE_DECORATORS = ("description", "metadata", "secure", "sealed", "discriminator", *LIMITS)


def compile_bicep(source: str, path: Path, root: Path | None = None) -> dict[str, Json]:
    """The ARM template of a Bicep source; `path` is its location, for modules and messages.

    Modules and loaded files are read from within `root`, by default the file's own folder.
    Raises InvalidFile, with file, line and column, for anything that it cannot compile.
    """
    files = Files(root or path.parent, path.parent, (path.resolve(),))
    try:
        return _Compiler().template(Source(path, source), files)
    except RecursionError:
        raise InvalidFile(f"{path}: nested too deeply", hint="simplify the file") from None


def template_text(template: Mapping[str, Json]) -> str:
    """A template in the format that is stored beside its Bicep source."""
    return json.dumps(template, indent=2, ensure_ascii=False) + "\n"


class _Compiler:
    """Compiles a file, and the files that it refers to."""

    def template(self, source: Source, files: Files) -> dict[str, Json]:
        program = self._program(source, files)
        program.symbolic = _needs_symbols(program)
        template: dict[str, Json] = {"$schema": SCHEMAS[program.target]}
        if program.symbolic:
            template["languageVersion"] = "2.0"
        template["contentVersion"] = "1.0.0.0"
        if metadata := _metadata(program):
            template["metadata"] = metadata
        if definitions := _definitions(program):
            template["definitions"] = definitions
        if functions := _functions(program):
            template["functions"] = functions
        template["parameters"] = {
            name: _parameter(program, node) for name, node in program.parameters.items()
        }
        template["variables"] = {}  # fixes the order; filled last, from what the other sections use
        template["resources"] = _resources(program)
        template["outputs"] = {name: _output(program, node) for name, node in program.outputs.items()}
        template["variables"] = _variables(program)
        return {name: section for name, section in template.items() if section or name not in LEFT_OUT}

    def library(self, source: Source, files: Files, origin: Path) -> Library:
        return exports(self._program(source, files), origin)

    def _program(self, source: Source, files: Files) -> Program:
        program = Program(source, files, self)
        for node in parse(source):
            declare(program, node)
        link(program)
        return program


def _needs_symbols(program: Program) -> bool:
    """Whether the file uses features that need languageVersion 2.0."""
    kinds = [parameter.type for parameter in program.parameters.values()]
    kinds += [output.type for output in program.outputs.values()]
    marks = [mark.name for output in program.outputs.values() for mark in output.decorators]
    return (
        bool(program.types or program.functions or program.imports)
        or any(needs_symbols(kind) for kind in kinds)
        or any(variable.type is not None for variable in program.variables.values())
        or "secure" in marks
        or any(_uses_symbols(found) for found in program.all_deployed())
    )


def _uses_symbols(found: Resource | Module) -> bool:
    if isinstance(found, Module):
        return "name" not in found.body.properties or bool(found.secrets)
    return (found.existing and "dependsOn" in found.body.properties) or any(
        mark.name in OPTIONS for mark in found.decorators
    )


def _resources(program: Program) -> Json:
    documents = {
        found.symbol: resource_document(program, found)
        for found in program.all_deployed()
        if _is_kept(program, found)
    }
    circle = first_circle(program.waits)
    if circle is not None:
        at = next(found.at for found in program.all_deployed() if found.symbol == circle)
        raise program.source.refuse(at, f"{circle!r} depends on itself, through other resources")
    if program.symbolic:
        return dict(documents)
    return [documents[symbol] for symbol in _in_order(program) if symbol in documents]


def _in_order(program: Program) -> list[str]:
    """The symbols as Bicep orders a list of resources: what is nested, inmost first; the rest; modules."""
    resources = [found for found in program.deployed.values() if isinstance(found, Resource)]
    modules = [found.symbol for found in program.deployed.values() if isinstance(found, Module)]
    inner = [symbol for found in resources for symbol in _inmost_first(found)]
    return [*inner, *(found.symbol for found in resources), *modules]


def _inmost_first(resource: Resource) -> list[str]:
    return [symbol for child in resource.nested.values() for symbol in (*_inmost_first(child), child.symbol)]


def _is_kept(program: Program, found: Resource | Module) -> bool:
    if isinstance(found, Module) or not found.existing:
        return True
    return Translator(program).is_named(found)


def _metadata(program: Program) -> dict[str, Json]:
    exported = exported_variables(program)
    return {
        **({EXPORTED_VARIABLES: exported} if exported else {}),
        **{name: to_json(Translator(program).term(node.value)) for name, node in program.metadata.items()},
    }


def _definitions(program: Program) -> dict[str, Json]:
    names = [*program.types, *(name for name, symbol in program.linked.items() if symbol.kind == "type")]
    return {name: Types(program).definition(name) for name in names}


def _functions(program: Program) -> list[Json]:
    """The functions by namespace, those of this file first."""
    spaces: dict[str, dict[str, Json]] = {}
    for name, node in program.functions.items():
        spaces.setdefault(NAMESPACE, {})[name] = function(program, node)
    for name, _, document in taken(program, "function"):
        space, _, short = function_reference(name).partition(".")
        spaces.setdefault(space, {})[short] = document
    return [{"namespace": space, "members": members} for space, members in spaces.items()]


def _parameter(program: Program, node: nodes.Parameter) -> Json:
    decorated = decorations(program, node.decorators, allowed=("allowed", *VALUE_DECORATORS))
    found = declared(program, node.type, decorated, node.at)
    if node.default is not None:
        translator = Translator(program)
        found["defaultValue"] = to_json(translator.term(node.default))
        if translator.mentions:
            raise program.source.refuse(node.default.at, "a default value cannot refer to a resource")
    if "allowed" in decorated:
        found["allowedValues"] = decorated["allowed"]
    # After the default, as the CLI writes them.
    limits = {name: found.pop(name) for name in LIMITS if name in found}
    return described(found | limits, decorated)


def _output(program: Program, node: nodes.Output) -> Json:
    decorated = decorations(program, node.decorators, allowed=VALUE_DECORATORS)
    found = declared(program, node.type, decorated, node.at)
    translator = Translator(program)
    if isinstance(node.value, nodes.For):
        found["copy"] = copy_document(translator.loop(node.value, None))
    else:
        found["value"] = to_json(translator.term(node.value))
    return described(found, decorated)


def _variables(program: Program) -> dict[str, Json]:
    """The variables that read no resource; the others are inlined where they are used."""
    plain: dict[str, Json] = {}
    copies: list[Json] = []
    for name, resolved in known_variables(program):
        if isinstance(resolved, Copy):
            copies.append(copy_document(resolved, name))
        else:
            plain[name] = to_json(resolved)
    for name, symbol, document in taken(program, "variable"):
        if symbol.is_loop:
            copies.append(document)
        else:
            plain[name] = document
    loops: dict[str, Json] = {"copy": copies} if copies else {}
    return {**loops, **program.loaded, **plain}
