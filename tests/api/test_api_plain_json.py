"""What is no plain JSON is refused at the border of every route, by its path: it could not be shown again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.api.endpoint_builder import ADAPTERS, ADMIN_KEY, ADMIN_KEYS, BASE, KEYS, build_app, echo_engine

from remora.adapters.registry import AdapterRegistry
from remora.server.access.admitted import PAGE_COLOURS_PATH
from remora.server.api.schema.body import RequestBody
from remora.server.generation.answering import Answerer
from remora.server.settings import ServerSettings
from remora.server.ui.token_colours import token_colour_routes
from remora.server.wire.problems import install_problem_handlers

HALF = "\ud800"
SCHEMA = {"type": "object", "properties": {"a b": {"type": "number", "minimum": 1.5, "enum": [1, 2]}}}
WITH_OLLAMA = ServerSettings(api_keys=KEYS, admin_keys=ADMIN_KEYS, chat_page=False, ollama=True)
LABELS = {
    "user": "u",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "metadata": {"team": "red"},
    "temperature": 0.5,
    "top_p": 0.9,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.1,
    "seed": 1,
}
CALL = {"name": "look", "arguments": "{}"}
FUNCTION = {"name": "look", "description": "d", "parameters": SCHEMA}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        **LABELS,
        "model": BASE,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": CALL}]},
            {"role": "tool", "tool_call_id": "c", "content": "x"},
        ],
        "tools": [{"type": "function", "function": FUNCTION}],
        "logit_bias": {"5": 1.0},
        "stop": ["end"],
    },
    "/v1/completions": {**LABELS, "model": BASE, "prompt": ["hi"], "stop": "end"},
    "/v1/responses": {
        **LABELS,
        "model": BASE,
        "input": [{"role": "user", "content": "hi"}],
        "instructions": "be short",
        "tools": [{"type": "function", **FUNCTION}],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
        "previous_response_id": "resp_1",
    },
    "/v1/responses/input_tokens": {"model": BASE, "input": [{"role": "user", "content": "hi"}]},
    "/v1/messages": {
        "model": BASE,
        "max_tokens": 5,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "system": "be short",
        "tools": [{"name": "f", "input_schema": SCHEMA}],
        "stop_sequences": ["end"],
    },
    "/v1/messages/count_tokens": {"model": BASE, "messages": [{"role": "user", "content": "hi"}]},
    "/api/chat": {
        "model": BASE,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": FUNCTION}],
        "options": {"stop": ["end"]},
    },
    "/api/generate": {"model": BASE, "prompt": "hi", "system": "be short"},
    "/api/show": {"model": BASE},
    "/tokenize": {"model": BASE, "messages": [{"role": "user", "content": "hi"}]},
    "/detokenize": {"model": BASE, "tokens": [1]},
    "/v1/load_lora_adapter": {"lora_name": "x", "lora_path": "y"},
    "/v1/unload_lora_adapter": {"lora_name": "x"},
}


def places(value: Any, path: str = "") -> Iterator[tuple[str, list[str | int]]]:
    """Every part of a document, as an error names it and as one gets there."""
    if isinstance(value, dict):
        for name, item in value.items():
            shown = f"[{name!r}]" if not name.isidentifier() else f".{name}" if path else name
            yield f"{path}{shown}", [name]
            yield from ((inner, [name, *way]) for inner, way in places(item, f"{path}{shown}"))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield f"{path}[{index}]", [index]
            yield from ((inner, [index, *way]) for inner, way in places(item, f"{path}[{index}]"))


def with_part(body: dict[str, Any], way: list[str | int], part: Any) -> dict[str, Any]:
    changed: Any = json.loads(json.dumps(body))
    place = changed
    for step in way[:-1]:
        place = place[step]
    place[way[-1]] = part
    return changed  # type: ignore[no-any-return]


def named_in(answer: httpx.Response, param: str) -> bool:
    """Ollama's errors are one text."""
    error = answer.json()["error"]
    return repr(param)[1:-1] in error if isinstance(error, str) else bool(error["param"] == param)


def kinds(of: type[RequestBody]) -> Iterator[str]:
    for kind in of.__subclasses__():
        yield kind.__name__
        yield from kinds(kind)


def test_every_route_that_takes_a_body_checks_it_by_this_one_type() -> None:
    paths = build_app(echo_engine(), WITH_OLLAMA).openapi()["paths"]
    bodies = {
        path: operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for path, operations in paths.items()
        for operation in operations.values()
        if "requestBody" in operation
    }
    assert bodies.keys() == BODIES.keys()
    assert set(bodies.values()) <= set(kinds(RequestBody))


COLOURS: dict[str, Any] = {
    "model": "tone",
    "adapter_scale": 0.5,
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "name": "n", "content": [{"type": "text", "text": "t"}]},
        {"role": "assistant", "content": "a"},
    ],
}


def app_with(path: str) -> FastAPI:
    """The endpoint; the route of its page alone, where the page itself would take seconds to start."""
    if path != PAGE_COLOURS_PATH:
        return build_app(echo_engine(), WITH_OLLAMA)
    app = FastAPI()
    app.include_router(token_colour_routes(Answerer(echo_engine(), AdapterRegistry(BASE, ADAPTERS))))
    install_problem_handlers(app)
    return app


async def test_what_the_page_sends_for_colours_is_taken() -> None:
    transport = httpx.ASGITransport(app_with(PAGE_COLOURS_PATH))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post(PAGE_COLOURS_PATH, json=COLOURS)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", [*BODIES, PAGE_COLOURS_PATH])
@pytest.mark.parametrize(
    "part",
    [HALF, f"text {HALF} text", float("nan"), float("inf"), [HALF], {"x": -float("inf")}],
    ids=["half", "half inside", "NaN", "Infinity", "in a list", "in an object"],
)
async def test_what_is_no_plain_json_is_400_by_its_path(path: str, part: Any) -> None:
    transport = httpx.ASGITransport(app_with(path))
    body = {**BODIES, PAGE_COLOURS_PATH: COLOURS}[path]
    headers = {"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/json"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        inner = {"list": "[0]", "dict": ".x"}.get(type(part).__name__, "")
        for named, way in places(body):
            answer = await client.post(path, content=json.dumps(with_part(body, way, part)))
            assert (answer.status_code, named_in(answer, named + inner)) == (400, True), answer.text
            named_half = with_part(body, way, {f"a{HALF}": 1})
            answer = await client.post(path, content=json.dumps(named_half))
            half = f"{named}['a\\ud800']"
            assert (answer.status_code, named_in(answer, half)) == (400, True), answer.text


async def test_a_body_nested_beyond_what_can_be_shown_is_400(client: httpx.AsyncClient) -> None:
    for depth in (100, 500, 900, 950, 990, 2_000, 100_000):
        metadata = '{"a":' * depth + "1" + "}" * depth
        content = f'{{"model": "{BASE}", "input": "x", "metadata": {metadata}}}'
        answer = await client.post(
            "/v1/responses", content=content, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 400, (depth, answer.text)


@pytest.mark.parametrize("arguments", ['{"a": NaN}', '{"a": "\\ud800"}', '{"a": 1e999}'])
async def test_arguments_of_an_earlier_call_are_plain_json_too(
    client: httpx.AsyncClient, arguments: str
) -> None:
    """They are JSON inside of JSON, which a chat template takes apart."""
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": arguments}}
    said = {"role": "assistant", "tool_calls": [call]}
    answer = await client.post("/v1/chat/completions", json={"model": BASE, "messages": [said]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "messages")
    item = {"type": "function_call", "call_id": "c", "name": "look", "arguments": arguments}
    answer = await client.post("/v1/responses", json={"model": BASE, "input": [item]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input")
