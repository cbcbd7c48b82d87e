"""Decorators as JSON: the known ones, their arguments, and their place in a template. Parses none."""

from __future__ import annotations

from collections.abc import Sequence

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.translation.symbols import Program
from remora.azure.bicep.translation.terms import Json, to_json
from remora.azure.bicep.translation.translator import Translator

LIMITS = ("minLength", "maxLength", "minValue", "maxValue")
WITH_ARGUMENT = ("description", "metadata", "allowed", "batchSize", *LIMITS)


def decorations(
    program: Program, decorators: Sequence[nodes.Decorator], *, allowed: Sequence[str]
) -> dict[str, Json]:
    """Decorators by name, with their argument, or True if they have none. Raises InvalidFile."""
    found: dict[str, Json] = {}
    for decorator in decorators:
        if decorator.name not in allowed:
            raise program.source.refuse(decorator.at, f"@{decorator.name}() is not supported here")
        if len(decorator.arguments) != (decorator.name in WITH_ARGUMENT):
            raise program.source.refuse(decorator.at, f"@{decorator.name}() has a wrong number of arguments")
        if decorator.name in found:
            raise program.source.refuse(decorator.at, f"@{decorator.name}() appears twice")
        values = [to_json(Translator(program).term(argument)) for argument in decorator.arguments]
        found[decorator.name] = values[0] if values else True
    return found


def described(document: dict[str, Json], decorated: dict[str, Json]) -> dict[str, Json]:
    """The document with its description and other metadata."""
    metadata = decorated.get("metadata")
    merged: dict[str, Json] = dict(metadata) if isinstance(metadata, dict) else {}
    if "description" in decorated:
        merged["description"] = decorated["description"]
    return {**document, "metadata": merged} if "metadata" in decorated or merged else document
