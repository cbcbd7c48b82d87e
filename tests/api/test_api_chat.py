"""POST /v1/chat/completions, in process: answers, refusals and what every answer says about itself."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from tests.api.endpoint_builder import BASE, TONE_DIGEST, build_app, echo_engine

from remora.engine.echo import EchoEngine
from remora.server.settings import ServerSettings

PATH = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]


def body(**fields: Any) -> dict[str, Any]:
    return {"model": BASE, "messages": HELLO, **fields}


async def test_the_base_answers(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json=body())
    document = answer.json()
    assert answer.status_code == 200
    assert document["object"] == "chat.completion"
    assert document["model"] == BASE
    assert document["choices"][0]["message"]["content"] == "hello"
    assert document["choices"][0]["finish_reason"] == "stop"
    assert document["usage"] == {
        "prompt_tokens": 11,
        "completion_tokens": 6,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    assert answer.headers["x-remora-adapter"] == "base"
    assert document["remora"]["digest"] is None
    assert answer.headers["x-request-id"].startswith("req-")


@pytest.mark.parametrize("model", ["tone", f"{BASE}:tone", "tone@3f9a12cd", f"{BASE}:tone@3f9a12cd3f9a"])
async def test_an_adapter_answers_by_any_of_its_names(client: httpx.AsyncClient, model: str) -> None:
    answer = await client.post(PATH, json=body(model=model))
    document = answer.json()
    assert document["choices"][0]["message"]["content"] == "3f9a12cd3f9a:hello"
    assert document["model"] == model
    assert document["system_fingerprint"] == answer.headers["x-remora-adapter"] == "tone@3f9a12cd3f9a"
    assert document["remora"]["adapter"] == "tone"
    assert document["remora"]["digest"] == TONE_DIGEST
    assert document["remora"]["tokens_per_second"] > 0
    assert document["remora"]["time_to_first_token_ms"] > 0


async def test_an_unknown_model_is_named_with_those_that_exist(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json=body(model="tome"))
    error = answer.json()["error"]
    assert answer.status_code == 404
    assert (error["code"], error["param"], error["type"]) == (
        "model_not_found",
        "model",
        "invalid_request_error",
    )
    assert "did you mean 'tone'?" in error["message"]
    assert "tone-base, tone, pirate" in error["message"]


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": -1}, "max_tokens", "invalid_value"),
        ({"max_tokens": "5"}, "max_tokens", "invalid_value"),
        ({"max_tokens": True}, "max_tokens", "invalid_value"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens", "invalid_value"),
        ({"temperature": -0.1}, "temperature", "invalid_value"),
        ({"temperature": 2.1}, "temperature", "invalid_value"),
        ({"top_p": -0.1}, "top_p", "invalid_value"),
        ({"top_k": -2}, "top_k", "invalid_value"),
        ({"seed": 2**63}, "seed", "invalid_value"),
        ({"stop": ["a"] * 65}, "stop", "invalid_value"),
        ({"stop": ""}, "stop[0]", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "invalid_value"),
        (
            {"messages": [{"role": "user", "content": "x", "audio": {}}]},
            "messages[0].audio",
            "unsupported_parameter",
        ),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "invalid_value"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content", "invalid_value"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0]",
            "unsupported_parameter",
        ),
        ({"n": 17}, "n", "invalid_value"),
        ({"top_logprobs": 1}, "top_logprobs", "invalid_value"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "invalid_value"),
        ({"frequency_penalty": 2.1}, "frequency_penalty", "invalid_value"),
        ({"logit_bias": {"5": 101}}, "logit_bias", "invalid_value"),
        ({"logit_bias": {"a": 1}}, "logit_bias.a", "invalid_value"),
        ({"adapter_scale": 1.6}, "adapter_scale", "invalid_value"),
        ({"adapter_without_layer": -1}, "adapter_without_layer", "invalid_value"),
        ({"adapter_without_layer": 1.5}, "adapter_without_layer", "invalid_value"),
        ({"adapter_without_layer": "3"}, "adapter_without_layer", "invalid_value"),
        ({"adapter_without_layer": True}, "adapter_without_layer", "invalid_value"),
        ({"adapter_without_layer": 3}, "adapter_without_layer", "invalid_value"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "invalid_value"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "invalid_value"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "invalid_value"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"verbosity": "high"}, "verbosity", "unsupported_parameter"),
        ({"mirostat": 2}, "mirostat", "unsupported_parameter"),
        ({"best_of": 2}, "best_of", "unsupported_parameter"),
        ({"min_p": 1.1}, "min_p", "invalid_value"),
        ({"repetition_penalty": 0}, "repetition_penalty", "invalid_value"),
        ({"min_tokens": 6, "max_tokens": 5}, "min_tokens", "invalid_value"),
        ({"min_tokens": 4096}, "min_tokens", "invalid_value"),
        ({"stop_token_ids": [2**30]}, "stop_token_ids", "invalid_value"),
        ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens", "invalid_value"),
        ({"prompt_logprobs": 1, "stream": True}, "prompt_logprobs", "invalid_value"),
        ({"guided_regex": "a", "guided_choice": ["b"]}, "guided_regex", "invalid_value"),
        ({"guided_regex": "a", "response_format": {"type": "json_object"}}, "guided_regex", "invalid_value"),
        ({"guided_regex": "a", "min_tokens": 3}, "min_tokens", "invalid_value"),
        ({"guided_regex": "a", "ignore_eos": True}, "ignore_eos", "invalid_value"),
        ({"guided_regex": "(a"}, "guided_regex", "invalid_value"),
        ({"guided_grammar": "start: nowhere"}, "guided_grammar", "invalid_value"),
        ({"guided_json": "{"}, "guided_json", "invalid_value"),
        ({"guided_regex": "(a{1000}){1000}"}, "guided_regex", "invalid_value"),
        ({"guided_regex": "[^\\s\\S]"}, "guided_regex", "invalid_value"),
        ({"guided_grammar": "start: start"}, "guided_grammar", "invalid_value"),
        ({"guided_json": {"type": "string", "pattern": "(a{999}){999}"}}, "guided_json", "invalid_value"),
        ({"guided_json": {"type": "string", "enum": []}}, "guided_json", "invalid_value"),
        ({"structured_outputs": {}}, "structured_outputs", "invalid_value"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs", "invalid_value"),
        ({"structured_outputs": {"regex": "a", "x": 1}}, "structured_outputs.x", "unsupported_parameter"),
        ({"stream_options": {"include_usage": True, "x": 1}}, "stream_options.x", "unsupported_parameter"),
    ],
)
async def test_a_bad_or_unsupported_parameter_is_named(
    client: httpx.AsyncClient, fields: dict[str, Any], param: str, code: str
) -> None:
    content = json.dumps(body(**fields))
    answer = await client.post(PATH, content=content, headers={"content-type": "application/json"})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, param, code)
    assert param.split("[", maxsplit=1)[0].split(".", maxsplit=1)[0] in error["message"]


@pytest.mark.parametrize("missing", ["model", "messages"])
async def test_a_missing_parameter_is_named(client: httpx.AsyncClient, missing: str) -> None:
    fields = {name: value for name, value in body().items() if name != missing}
    answer = await client.post(PATH, json=fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, missing)


@pytest.mark.parametrize("content", [b"{", b"", b"[]", b"[" * 100_000, b"\xff"])
async def test_a_body_that_is_no_json_object_is_refused(client: httpx.AsyncClient, content: bytes) -> None:
    answer = await client.post(PATH, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_a_body_that_does_not_say_it_is_json_is_refused(client: httpx.AsyncClient) -> None:
    """A web page elsewhere can send text/plain without asking us first, but not JSON."""
    answer = await client.post(PATH, content=json.dumps(body()), headers={"content-type": "text/plain"})
    assert answer.status_code == 400
    assert "application/json" in answer.json()["error"]["message"]


async def test_neutral_values_and_labels_are_accepted(client: httpx.AsyncClient) -> None:
    neutral: dict[str, Any] = {
        "n": 1,
        "logprobs": False,
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "logit_bias": None,
        "response_format": {"type": "text"},
        "tools": [],
        "user": "someone",
        "metadata": {"a": "b"},
        "stop": None,
        "temperature": 1,
    }
    answer = await client.post(PATH, json=body(**neutral))
    assert answer.status_code == 200, answer.text


async def test_parts_and_developer_and_replayed_messages_are_understood(client: httpx.AsyncClient) -> None:
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two", "refusal": None, "tool_calls": None},
        {"role": "user", "content": [{"type": "text", "text": "thr"}, {"type": "text", "text": "ee"}]},
    ]
    answer = await client.post(PATH, json=body(messages=messages))
    document = answer.json()
    assert document["choices"][0]["message"]["content"] == "three"
    rendered = "system: be brief\nuser: one\nassistant: two\nuser: three"
    assert document["usage"]["prompt_tokens"] == len(rendered)


async def test_max_tokens_and_stop_strings_end_the_answer(client: httpx.AsyncClient) -> None:
    short = (await client.post(PATH, json=body(max_completion_tokens=3))).json()
    assert short["choices"][0]["message"]["content"] == "hel"
    assert short["choices"][0]["finish_reason"] == "length"
    assert short["usage"]["completion_tokens"] == 3
    stopped = (await client.post(PATH, json=body(stop=["lo", "zz"]))).json()
    assert stopped["choices"][0]["message"]["content"] == "hel"
    assert stopped["choices"][0]["finish_reason"] == "stop"


async def test_a_prompt_that_does_not_fit_says_both_numbers(client: httpx.AsyncClient) -> None:
    messages = [{"role": "user", "content": "x" * 4090}]
    answer = await client.post(PATH, json=body(messages=messages))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "context_length_exceeded", "messages")
    assert "4096" in error["message"]
    assert error["message"] == (
        "This model's maximum context length is 4096 tokens. However, your messages resulted in 4096 tokens. "
        "Please reduce the length of the messages."
    )


async def test_max_tokens_that_do_not_fit_say_what_would(client: httpx.AsyncClient) -> None:
    error = (await client.post(PATH, json=body(max_tokens=4090))).json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "max_tokens")
    assert error["message"] == (
        "This model's maximum context length is 4096 tokens. However, you requested 4101 tokens (11 in the "
        "messages, 4090 in the completion). Please reduce the length of the messages or completion."
    )


async def test_without_max_tokens_an_answer_gets_what_fits() -> None:
    app = build_app(echo_engine(context_length=2000), ServerSettings(chat_page=False))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        long = [{"role": "user", "content": "x" * 900}]
        whole = (await http.post(PATH, json=body(messages=long))).json()
        assert whole["choices"][0]["message"]["content"] == "x" * 900
        longer = [{"role": "user", "content": "x" * 1500}]
        tight = (await http.post(PATH, json=body(messages=longer))).json()
        assert tight["usage"]["total_tokens"] == 2000
        assert tight["choices"][0]["finish_reason"] == "length"


async def test_an_endpoint_may_bound_every_answer() -> None:
    app = build_app(echo_engine(), ServerSettings(chat_page=False, max_answer_tokens=4))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        limited = (await http.post(PATH, json=body())).json()
        assert limited["usage"]["completion_tokens"] == 4
        error = (await http.post(PATH, json=body(max_tokens=5))).json()["error"]
        assert error["param"] == "max_tokens"
        assert "at most 4 completion tokens" in error["message"]


async def test_an_absurdly_long_prompt_is_refused_before_it_is_tokenized(client: httpx.AsyncClient) -> None:
    messages = [{"role": "user", "content": "x" * 300_000}]
    error = (await client.post(PATH, json=body(messages=messages))).json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert "300000 characters" in error["message"]


async def test_a_body_over_the_limit_is_refused(engine: EchoEngine) -> None:
    app = build_app(engine, ServerSettings(chat_page=False, max_body_bytes=1000))
    transport = httpx.ASGITransport(app)

    async def pieces() -> Any:
        for _ in range(30):
            yield b"x" * 100

    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        announced = await http.post(PATH, content=b"x" * 1001)
        turned_out = await http.post(PATH, content=pieces())
    for answer in (announced, turned_out):
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


async def test_a_stopped_engine_answers_503_and_is_not_ready(
    client: httpx.AsyncClient, engine: EchoEngine
) -> None:
    assert (await client.get("/readyz")).status_code == 200
    engine.close()
    answer = await client.post(PATH, json=body())
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_failed")
    assert answer.headers["retry-after"] == "5"
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/healthz")).status_code == 503


async def test_a_streamed_answer_carries_the_same_facts(client: httpx.AsyncClient) -> None:
    fields = body(model="tone", stream=True, stream_options={"include_usage": True})
    answer = await client.post(PATH, json=fields)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-remora-adapter"] == "tone@3f9a12cd3f9a"
    events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert len({chunk["id"] for chunk in chunks}) == 1
    texts = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]]
    assert "".join(texts) == "3f9a12cd3f9a:hello"
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-2]["remora"]["digest"] == TONE_DIGEST
    assert chunks[-1]["usage"] == {
        "prompt_tokens": 11,
        "completion_tokens": 19,
        "total_tokens": 30,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
