"""Every answer and every streamed chunk of the endpoint against OpenAI's own document, over real HTTP.

Departures from the documents are allowed for where OpenAI's own service departs too: a streamed text
completion has no reason before its last chunk, and null for usage. Open Responses knows only null as the
schema of a text format.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.api.endpoint_builder import BASE, RunningEndpoint
from tests.api.events import chunks_of
from tests.conformance.openai_document import CHAT, RESPONSES, component_of_event, faults

from remora.server.settings import ServerSettings

TOOL = {
    "name": "get_weather",
    "description": "The weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Bern"}}</tool_call>'
CHAT_REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "adapter": {"model": "tone"},
    "cut short": {"max_completion_tokens": 2},
    "logprobs": {"logprobs": True, "top_logprobs": 3},
    "choices": {"n": 3},
    "usage": {"stream_options": {"include_usage": True}},
    "call": {
        "tools": [{"type": "function", "function": TOOL}],
        "messages": [{"role": "user", "content": f"so {CALL}"}],
    },
    "forced call": {"tools": [{"type": "function", "function": TOOL}], "tool_choice": "required"},
    "format": {"response_format": {"type": "json_object"}},
}
TEXT_REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "cut short": {"max_tokens": 2},
    "logprobs": {"logprobs": 3},
    "several": {"prompt": ["a", "b"], "n": 2, "echo": True},
    "best": {"n": 1, "best_of": 3},
    "usage": {"stream_options": {"include_usage": True}},
}
RESPONSE_REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "adapter": {"model": "tone", "instructions": "be kind", "metadata": {"a": "b"}},
    "cut short": {"max_output_tokens": 2},
    "logprobs": {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
    "call": {"tools": [{"type": "function", **TOOL}], "input": f"so {CALL}"},
    "forced call": {"tools": [{"type": "function", **TOOL}], "tool_choice": "required"},
    "format": {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}}},
}


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    settings = ServerSettings(api_keys=(), chat_page=False)
    with (
        RunningEndpoint(settings) as endpoint,
        httpx.Client(base_url=f"{endpoint.url}/v1", timeout=400) as client,
    ):
        yield client


def asked(http: httpx.Client, path: str, fields: dict[str, Any], *, stream: bool = False) -> httpx.Response:
    body = {"model": BASE, **fields, "stream": stream}
    if not stream:
        body.pop("stream_options", None)
    answer = http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer


def assert_matches(document: str, component: str, value: object) -> None:
    assert faults(document, component, value) == []


@pytest.mark.parametrize("name", CHAT_REQUESTS)
def test_chat_answers(http: httpx.Client, name: str) -> None:
    fields = {"messages": [{"role": "user", "content": "hello"}], **CHAT_REQUESTS[name]}
    assert_matches(CHAT, "CreateChatCompletionResponse", asked(http, "/chat/completions", fields).json())
    for chunk in chunks_of(asked(http, "/chat/completions", fields, stream=True)):
        assert_matches(CHAT, "CreateChatCompletionStreamResponse", chunk)


@pytest.mark.parametrize("name", TEXT_REQUESTS)
def test_text_answers(http: httpx.Client, name: str) -> None:
    fields = {"prompt": "hello", **TEXT_REQUESTS[name]}
    assert_matches(CHAT, "CreateCompletionResponse", asked(http, "/completions", fields).json())
    if "best_of" in fields:
        return
    for chunk in chunks_of(asked(http, "/completions", fields, stream=True)):
        for choice in chunk["choices"]:
            choice["finish_reason"] = choice["finish_reason"] or "stop"
        assert_matches(CHAT, "CreateCompletionResponse", without_null_usage(chunk))


@pytest.mark.parametrize("name", RESPONSE_REQUESTS)
def test_responses(http: httpx.Client, name: str) -> None:
    fields = {"input": "hello", **RESPONSE_REQUESTS[name]}
    response = asked(http, "/responses", fields).json()
    assert_matches(CHAT, "Response", response)
    assert_matches(RESPONSES, "ResponseResource", without_format_schema(response))
    for event in chunks_of(asked(http, "/responses", fields, stream=True)):
        if "response" in event:
            event["response"] = without_format_schema(event["response"])
        assert_matches(RESPONSES, component_of_event(event), event)


def test_models_and_errors(http: httpx.Client) -> None:
    assert_matches(CHAT, "ListModelsResponse", http.get("/models").json())
    assert_matches(CHAT, "Model", http.get("/models/tone").json())
    for answer in (http.get("/models/nobody"), http.post("/chat/completions", json={}), http.get("/x")):
        assert answer.status_code in {400, 404}
        assert_matches(CHAT, "ErrorResponse", answer.json())


def test_the_check_sees_what_is_wrong(http: httpx.Client) -> None:
    fields = {"messages": [{"role": "user", "content": "hello"}]}
    answer = asked(http, "/chat/completions", fields).json()
    wrong = copy.deepcopy(answer)
    wrong["choices"][0]["finish_reason"] = "abort"
    assert faults(CHAT, "CreateChatCompletionResponse", wrong)
    del answer["choices"][0]["logprobs"]
    assert faults(CHAT, "CreateChatCompletionResponse", answer)
    response = asked(http, "/responses", {"input": "x"}).json()
    response["output"][0]["status"] = "done"
    assert faults(RESPONSES, "ResponseResource", response)


def without_null_usage(chunk: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in chunk.items() if name != "usage" or value is not None}


def without_format_schema(response: dict[str, Any]) -> dict[str, Any]:
    form = response["text"]["format"]
    return {**response, "text": {"format": {**form, "schema": None} if "schema" in form else form}}
