"""`python -m remora.server.api.documents DOCS`: writes openapi.json and the tables of reference/endpoint.md.

Both come from the schemas that requests are checked with, so they say the same. Owns how they look.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from remora import __version__
from remora.adapters.registry import AdapterRegistry
from remora.engine.echo import EchoEngine
from remora.server.api.schema.body import Body
from remora.server.api.schema.chat import ChatMessage, ChatRequest
from remora.server.api.schema.completion import CompletionRequest
from remora.server.api.schema.message_blocks import ContentBlock
from remora.server.api.schema.messages import MessagesRequest
from remora.server.api.schema.neutral import ANY, ANYBODYS
from remora.server.api.schema.response_items import InputItem
from remora.server.api.schema.responses import ResponseRequest
from remora.server.api.schema.tokens import DetokenizeRequest, TokenizeRequest
from remora.server.app import create_app
from remora.server.settings import ServerSettings
from remora.server.wire.dialects import MESSAGES_PATH

OPENAPI_FILE, PAGE_FILE = "openapi.json", "reference/endpoint.md"
BEGIN, END = "<!-- parameters: begin (make docs writes this) -->", "<!-- parameters: end -->"

TABLES: Mapping[str, type[Body]] = {
    "POST /v1/chat/completions": ChatRequest,
    "Each of `messages`": ChatMessage,
    "POST /v1/completions": CompletionRequest,
    "POST /v1/responses": ResponseRequest,
    "Each item of `input`": InputItem,
    "POST /v1/messages": MessagesRequest,
    "Each block of a message of `messages`": ContentBlock,
    "POST /tokenize": TokenizeRequest,
    "POST /detokenize": DetokenizeRequest,
}
STREAMED = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/responses", MESSAGES_PATH})
ERROR_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}

Schema = Mapping[str, Any]


def main() -> int:
    docs = Path(sys.argv[1])
    (docs / OPENAPI_FILE).write_text(openapi_text(), "utf-8")
    page = docs / PAGE_FILE
    page.write_text(with_tables(page.read_text("utf-8")), "utf-8")
    return 0


def openapi_text() -> str:
    """The endpoint's OpenAPI document."""
    settings = ServerSettings(chat_page=False)
    app = create_app(EchoEngine(), AdapterRegistry("base", ()), settings)
    document = app.openapi()
    document["info"]["version"] = __version__
    document["security"] = [{"key": []}]
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Error"] = ERROR_SCHEMA
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["responses"] = _responses(path, operation["responses"])
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def with_tables(page: str) -> str:
    """The page, with a new text between the marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE_FILE} lacks {BEGIN!r} or {END!r}")
    tables = "\n".join([*(_table(title, body) for title, body in TABLES.items()), _anybodys_table()])
    return f"{before}{BEGIN}\n\n{tables}\n{END}{after}"


def _responses(path: str, responses: Mapping[str, Any]) -> dict[str, Any]:
    """What a route may answer: as it says, and an error of ours instead of the framework's."""
    error = {"$ref": "#/components/schemas/Error"}
    success = dict(responses.get("200", {"description": "Done"}))
    if path in STREAMED:
        success["content"] = {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {}}
    failure = {"description": "What went wrong", "content": {"application/json": {"schema": error}}}
    return {"200": success, "default": failure}


def _table(title: str, body: type[Body]) -> str:
    schema = body.model_json_schema()
    lines = [f"### {title}", "", "| Parameter | Accepted |", "|---|---|"]
    required = set(schema.get("required", ()))
    for name, value in sorted(schema["properties"].items()):
        needed = " (required)" if name in required else ""
        lines.append(f"| `{name}`{needed} | {_described(value, schema.get('$defs', {}))} |")
    for name, values in sorted(body.neutral.items()):
        if ANYBODYS.get(name) is not values:
            lines.append(_neutral_row(name, values))
    return "\n".join([*lines, ""])


def _anybodys_table() -> str:
    lines = [
        "### In chat and text completions, from any client",
        "",
        "| Parameter | Accepted |",
        "|---|---|",
    ]
    return "\n".join([*lines, *(_neutral_row(name, values) for name, values in sorted(ANYBODYS.items())), ""])


def _neutral_row(name: str, values: tuple[object, ...]) -> str:
    if values is ANY:
        return f"| `{name}` | any value: it changes nothing |"
    kept = ", ".join(f"`{json.dumps(value)}`" for value in _few(values))
    return f"| `{name}` | refused{f', except {kept}' if kept else ''} |"


def _few(values: tuple[object, ...]) -> tuple[object, ...]:
    """Not all of a long run of numbers."""
    return values if len(values) <= 4 else (values[0], values[-1])


def _described(schema: Schema, known: Schema) -> str:
    options = [option for option in _options(schema, known) if option.get("type") != "null"]
    words = [_word(option, known) for option in options]
    return " or ".join(dict.fromkeys(words))


def _options(schema: Schema, known: Schema) -> Iterator[Schema]:
    if "$ref" in schema:
        yield from _options(known[schema["$ref"].rsplit("/", 1)[-1]], known)
    elif "anyOf" in schema:
        for option in schema["anyOf"]:
            yield from _options({**option, **_limits(schema)}, known)
    else:
        yield schema


def _limits(schema: Schema) -> Schema:
    return {name: schema[name] for name in ("maxItems", "minItems", "maxProperties") if name in schema}


def _word(schema: Schema, known: Schema) -> str:
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "any")
    if kind == "array":
        most = f" (at most {schema['maxItems']})" if "maxItems" in schema else ""
        return f"list of {_described(schema['items'], known)}{most}"
    if kind == "object" and schema.get("properties"):
        return f"object: {', '.join(f'`{name}`' for name in schema['properties'])}"
    low = schema.get("minimum", schema.get("minLength"))
    above = schema.get("exclusiveMinimum")
    low = low if above is None else f"more than {above}"
    high, below = schema.get("maximum", schema.get("maxLength")), schema.get("exclusiveMaximum")
    high = high if below is None else f"less than {below}"
    unit = " characters" if kind == "string" else ""
    if low is not None and high is not None:
        return f"{kind}, {low} … {high}{unit}"
    return f"{kind}, from {low}{unit}" if low is not None else str(kind)


if __name__ == "__main__":
    sys.exit(main())
