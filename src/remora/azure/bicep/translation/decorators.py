"""Decorators as JSON: the known ones, their arguments, and their place in a template. Parses none."""

from __future__ import annotations

import re
from collections.abc import Sequence

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.translation.libraries import EXPORT
from remora.azure.bicep.translation.symbols import Program
from remora.azure.bicep.translation.terms import Json, to_json
from remora.azure.bicep.translation.translator import Translator

LIMITS = ("minLength", "maxLength", "minValue", "maxValue")
WITH_ARGUMENT = ("description", "metadata", "allowed", "batchSize", "discriminator", *LIMITS)


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
    text = found.get("description")
    return found | ({"description": _without_indent(text)} if isinstance(text, str) else {})


def described(document: dict[str, Json], decorated: dict[str, Json]) -> dict[str, Json]:
    """The document with its description and other metadata."""
    metadata, former = decorated.get("metadata"), document.get("metadata")
    merged: dict[str, Json] = dict(former) if isinstance(former, dict) else {}
    merged |= metadata if isinstance(metadata, dict) else {}
    if "export" in decorated:
        merged[EXPORT] = True
    if "description" in decorated:
        merged["description"] = decorated["description"]
    return {**document, "metadata": merged} if "metadata" in decorated or merged else document


def _without_indent(text: str) -> str:
    """A text without the indent that all lines after the first have in common."""
    first, *lines = re.split("\r\n|\r|\n", text)
    indents = [len(line) - len(line.lstrip(" \t")) for line in lines if line]
    return "\n".join((first, *(line[min(indents, default=0) :] for line in lines)))
