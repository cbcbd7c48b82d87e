"""From a required format to a constraint. Owns which formats exclude each other, and their grammars."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from remora.engine.base import Constraint, Tokenizer
from remora.engine.text.grammar import json_grammar
from remora.engine.text.patterns import choice_grammar, regex_grammar, written_grammar
from remora.errors import InvalidInput, listed
from remora.server.api.schema.structured import Format, StructuredFields
from remora.server.generation.constraints import Constraints

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


async def structured_constraint(
    body: StructuredFields, constraints: Constraints, tokenizer: Tokenizer, other: str | None = None
) -> Constraint | None:
    """The constraint that `structured_outputs` or a `guided_…` field asks for; None where neither does.

    `other` names a field that requires a format too. Raises InvalidInput, naming the field at fault.
    """
    formats = body.required_formats
    if not formats:
        return None
    names = [each.param for each in formats] + ([other] if other else [])
    if len(names) > 1:
        raise InvalidInput(
            f"{listed(map(repr, names), separator=' and ')} require two formats of one answer",
            hint="leave one of them out",
            param=names[0],
        )
    wanted = formats[0]
    schemas: list[Mapping[str, Any]] = []
    match wanted.kind:
        case "json":
            schemas = [_schema(wanted)]
            write = partial(json_grammar, schemas[0])
        case "json_object":
            write = partial(json_grammar, ANY_OBJECT)
        case "regex":
            write = partial(regex_grammar, wanted.value)
        case "choice":
            write = partial(choice_grammar, wanted.value)
        case _:
            write = partial(written_grammar, wanted.value)
    return await constraints.compile(tokenizer, write, schemas, wanted.param)


def _schema(wanted: Format) -> Mapping[str, Any]:
    if not isinstance(wanted.value, str):
        schema: Mapping[str, Any] = wanted.value
        return schema
    try:
        schema = json.loads(wanted.value)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{wanted.param!r} is not JSON: {error}", param=wanted.param) from error
    if not isinstance(schema, dict):
        raise InvalidInput(f"{wanted.param!r} is not a JSON schema: it must be an object", param=wanted.param)
    return schema
