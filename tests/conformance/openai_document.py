"""OpenAI's OpenAPI document and that of Open Responses, as JSON Schemas, from the package llm-comply.

Owns turning OpenAPI 3.0's `nullable` into what JSON Schema understands; knows no endpoint.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema_rs

CHAT, RESPONSES = "openai_chat.json", "openresponses.json"


def faults(document: str, component: str, value: object) -> list[str]:
    """What is wrong with a value that should be this component of this document."""
    errors = _validator(document, component).iter_errors(value)
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in errors]


def component_of_event(event: dict[str, Any]) -> str:
    """The component of Open Responses that an event must match: `ResponseOutputTextDeltaStreamingEvent`."""
    words = event["type"].replace(".", "_").split("_")
    return "".join(word.capitalize() for word in words) + "StreamingEvent"


@cache
def _validator(document: str, component: str) -> jsonschema_rs.Draft202012Validator:
    schema = {"$ref": f"#/components/schemas/{component}", "components": _components(document)}
    return jsonschema_rs.Draft202012Validator(schema)


@cache
def _components(document: str) -> Any:
    text = files("llm_comply.specs").joinpath(document).read_text("utf-8")
    return _without_nullable(json.loads(text)["components"])


def _without_nullable(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nullable(item) for item in value]
    if not isinstance(value, dict):
        return value
    plain = {name: _without_nullable(item) for name, item in value.items() if name != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if value.get("nullable") is True else plain


def properties(document: str, component: str) -> set[str]:
    """The names of all fields of a component, with those that it takes over from others."""
    schema = _components(document)["schemas"][component]
    names = set(schema.get("properties", ()))
    for part in schema.get("allOf", ()):
        names |= set(part.get("properties", ()))
        if "$ref" in part:
            names |= properties(document, part["$ref"].rsplit("/", 1)[-1])
    return names
