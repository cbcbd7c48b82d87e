"""Fields that clients of vLLM and other servers send, over the echo engine: what each does to an answer."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.api.endpoint_builder import BASE, build_app, echo_engine
from tests.api.events import chunks_of

from remora.engine.echo import CHOSEN_LOGPROB, END_OF_TEXT
from remora.server.api.schema.neutral import ANY, ANYBODYS
from remora.server.settings import ServerSettings

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


async def choice_of(client: httpx.AsyncClient, said: str = "hello", **fields: Any) -> dict[str, Any]:
    body = {"model": BASE, "messages": [{"role": "user", "content": said}], **fields}
    answer = await client.post(CHAT, json=body)
    assert answer.status_code == 200, answer.text
    choice: dict[str, Any] = answer.json()["choices"][0]
    return choice


async def text_of(client: httpx.AsyncClient, prompt: object = "hello", **fields: Any) -> dict[str, Any]:
    answer = await client.post(TEXT, json={"model": BASE, "prompt": prompt, **fields})
    assert answer.status_code == 200, answer.text
    choice: dict[str, Any] = answer.json()["choices"][0]
    return choice


@pytest.mark.parametrize(
    ("fields", "text", "reason"),
    [
        ({}, "hello", "stop"),
        ({"stop": "l"}, "he", "stop"),
        ({"stop": "l", "include_stop_str_in_output": True}, "hel", "stop"),
        ({"stop": "l", "min_tokens": 3}, "hel", "stop"),
        ({"stop_token_ids": [ord("l")]}, "he", "stop"),
        ({"stop_token_ids": [ord("l")], "include_stop_str_in_output": True}, "hel", "stop"),
        ({"include_stop_str_in_output": True, "skip_special_tokens": False}, "hello<|end|>", "stop"),
        ({"min_tokens": 7}, "hello  ", "stop"),
        ({"ignore_eos": True, "max_tokens": 8}, "hello   ", "length"),
        ({"min_p": 0.1, "repetition_penalty": 1.2, "top_p": 0}, "hello", "stop"),
        ({"max_tokens": 3, "max_completion_tokens": 3}, "hel", "length"),
        ({"n": 1, "best_of": 1}, "hello", "stop"),
        ({"stop": [*"abcdfgijk", "lo"]}, "hel", "stop"),
    ],
)
async def test_a_field_does_what_it_does_elsewhere(
    client: httpx.AsyncClient, fields: dict[str, Any], text: str, reason: str
) -> None:
    choice = await choice_of(client, **fields)
    assert (choice["message"]["content"], choice["finish_reason"]) == (text, reason)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "hello"}]}),
        (TEXT, {"prompt": "hello", "max_tokens": 64}),
        ("/v1/responses", {"input": "hello"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 64}),
    ],
)
async def test_a_layer_of_an_adapter_can_be_switched_off_on_every_route(
    client: httpx.AsyncClient, path: str, fields: dict[str, Any]
) -> None:
    for more, text in (
        ({"adapter_without_layer": 3}, "3f9a12cd3f9a-layer3:hello"),
        ({"adapter_without_layer": 0, "adapter_scale": 0.5}, "3f9a12cd3f9a*0.5-layer0:hello"),
        ({"adapter_without_layer": None}, "3f9a12cd3f9a:hello"),
    ):
        answer = await client.post(path, json={"model": "tone", **fields, **more})
        assert answer.status_code == 200, answer.text
        assert f'"{text}"' in answer.text
    for model, layer in (("tone", -1), ("tone", True), ("tone", 1.5), (BASE, 3)):
        answer = await client.post(path, json={"model": model, **fields, "adapter_without_layer": layer})
        assert answer.status_code == 400, answer.text
        assert "adapter_without_layer" in answer.text


TINY = ("5e-324", "1e-46", "1e-45", "1e-38", "1.1754943508222875e-38", "1e-30")
BEYOND = ("1e38", "3.4028234663852886e38", "1.7976931348623157e308", "1e400", "NaN", "Infinity")
MAY_BE_NEGATIVE = ("frequency_penalty", "presence_penalty", "logit_bias")


@pytest.mark.parametrize(
    "name", ["temperature", "top_p", "min_p", "repetition_penalty", "adapter_scale", *MAY_BE_NEGATIVE]
)
async def test_numbers_at_the_edges_of_float32_are_answered_or_refused_by_name(
    client: httpx.AsyncClient, name: str
) -> None:
    signs = ("", "-") if name in MAY_BE_NEGATIVE else ("",)
    for number in (sign + number for sign in signs for number in (*TINY, *BEYOND)):
        value = f'{{"104": {number}}}' if name == "logit_bias" else number
        body = f'{{"model": "{BASE}", "messages": [{{"role": "user", "content": "hi"}}], "{name}": {value}}}'
        answer = await client.post(CHAT, content=body, headers={"content-type": "application/json"})
        if number.lstrip("-") in TINY:
            assert answer.status_code == 200, (number, answer.text)
        else:
            assert answer.status_code == 400, (number, answer.text)
            assert name in answer.text or "JSON" in answer.text, (number, answer.text)


@pytest.mark.parametrize(
    "fields",
    [
        {"guided_regex": "(yes|no/never)\n?"},
        {"guided_choice": ["yes", "no/never"]},
        {"guided_grammar": 'start: "yes" | "no/never"'},
        {"guided_grammar": 'root ::= "yes" | "no/never"'},
        {"structured_outputs": {"choice": ["yes", "no/never"], "disable_fallback": True}},
        {"structured_outputs": {"regex": "yes|no/never"}},
    ],
)
@pytest.mark.parametrize("said", ["yes", "no/never", "perhaps"])
async def test_a_required_format_is_kept_to(
    client: httpx.AsyncClient, fields: dict[str, Any], said: str
) -> None:
    text = (await choice_of(client, said, **fields))["message"]["content"]
    assert text == said if said != "perhaps" else text.strip() in ("yes", "no/never")
    assert (await text_of(client, said, **fields))["text"].strip() == text.strip()


@pytest.mark.parametrize("schema", [{"type": "integer"}, '{"type": "integer"}'])
async def test_a_schema_may_come_as_an_object_or_as_text(client: httpx.AsyncClient, schema: object) -> None:
    for fields in ({"guided_json": schema}, {"structured_outputs": {"json": schema}}):
        assert (await choice_of(client, "12", **fields))["message"]["content"] == "12"
        assert (await choice_of(client, "x", **fields))["message"]["content"] == "0"


async def test_fields_that_change_nothing_are_accepted_whoever_sends_them(client: httpx.AsyncClient) -> None:
    for name, values in ANYBODYS.items():
        for value in ("anything",) if values is ANY else (None, *values):
            field: dict[str, Any] = {name: value}
            assert (await choice_of(client, **field))["message"]["content"] == "hello", name
            assert (await text_of(client, **field))["text"] == "hello", name


async def test_what_clients_keep_in_messages_and_parts_is_no_matter(client: httpx.AsyncClient) -> None:
    part = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}, "annotations": []}
    body = {"model": BASE, "messages": [{"role": "user", "content": [part], "cache_control": {}}]}
    answer = await client.post(CHAT, json=body)
    assert answer.json()["choices"][0]["message"]["content"] == "hi"


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file"])
async def test_other_media_are_refused_in_words(client: httpx.AsyncClient, kind: str) -> None:
    parts = [{"type": "text", "text": "what is it?"}, {"type": kind, kind: {}}]
    body = {"model": BASE, "messages": [{"role": "user", "content": parts}]}
    error = (await client.post(CHAT, json=body)).json()["error"]
    assert (error["param"], error["code"]) == ("messages[0].content[1]", "unsupported_parameter")
    assert "not supported" in error["message"]
    assert "text only" in error["message"]


async def test_a_long_prompt_keeps_its_end(client: httpx.AsyncClient) -> None:
    assert (await text_of(client, "abcdef", truncate_prompt_tokens=2))["text"] == "ef"
    long = "x" * 5000
    fitting = await text_of(client, long, truncate_prompt_tokens=-1, max_tokens=96)
    assert fitting["text"] == "x" * 96


@pytest.mark.parametrize("stream", [False, True])
async def test_token_ids_are_shown_where_they_are_wanted(client: httpx.AsyncClient, stream: bool) -> None:
    wanted = {"model": BASE, "return_token_ids": True, "stream": stream}
    for path, fields in ((CHAT, {"messages": [{"role": "user", "content": "hi"}]}), (TEXT, {"prompt": "hi"})):
        answer = await client.post(path, json={**wanted, **fields})
        documents = chunks_of(answer) if stream else [answer.json()]
        choices = [choice for document in documents for choice in document["choices"]]
        ids = [token_id for choice in choices for token_id in choice.get("token_ids", [])]
        assert ids == [ord("h"), ord("i"), END_OF_TEXT]
        holder = documents[0] if path == CHAT else choices[0]
        assert holder["prompt_token_ids"] == list(map(ord, "user: hi" if path == CHAT else "hi"))


async def test_usage_comes_with_every_chunk_where_it_is_wanted(client: httpx.AsyncClient) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    for path, fields in ((CHAT, {"messages": [{"role": "user", "content": "hi"}]}), (TEXT, {"prompt": "hi"})):
        body = {"model": BASE, "stream": True, "stream_options": options, **fields}
        counts = [
            chunk["usage"]["completion_tokens"] for chunk in chunks_of(await client.post(path, json=body))
        ]
        assert counts == sorted(counts)
        assert {1, 2, 3} <= set(counts)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("max_tokens", [0, 1, 16])
async def test_an_echo_brings_the_log_probabilities_of_the_prompt(
    client: httpx.AsyncClient, stream: bool, max_tokens: int
) -> None:
    fields = {"prompt": [[97, 98, 99], "de"][0], "echo": True, "logprobs": 1, "max_tokens": max_tokens}
    answer = await client.post(TEXT, json={"model": BASE, "stream": stream, **fields})
    documents = chunks_of(answer) if stream else [answer.json()]
    choices = [choice for document in documents for choice in document["choices"]]
    shown = [choice["logprobs"] for choice in choices if choice["logprobs"]]
    tokens = [token for each in shown for token in each["tokens"]]
    said = {0: [], 1: ["a"], 16: ["a", "b", "c", "\ufffd"]}[max_tokens]
    assert tokens[:3] == ["a", "b", "c"]
    assert len(tokens) == 3 + len(said)
    values = [value for each in shown for value in each["token_logprobs"]]
    assert values == [None, *[CHOSEN_LOGPROB] * (len(tokens) - 1)]
    assert [top for each in shown for top in each["top_logprobs"]][:2] == [None, {"b": CHOSEN_LOGPROB}]
    assert [offset for each in shown for offset in each["text_offset"]] == list(range(len(tokens)))
    assert "".join(choice["text"] for choice in choices) == "abc" + "abc"[:max_tokens]
    assert choices[-1]["finish_reason"] == ("stop" if max_tokens == 16 else "length")


async def test_lm_evaluation_harness_counts_from_the_end(client: httpx.AsyncClient) -> None:
    """It drops the last entry, that of the one token it asks for: also where that token ends the answer."""
    ends = {"stop_token_ids": [97], "prompt": [[97, 98, 99], [97, 98]], "max_tokens": 1, "temperature": 0}
    answer = await client.post(TEXT, json={"model": BASE, **ends, "logprobs": 1, "echo": True, "seed": 1234})
    scored = [choice["logprobs"]["token_logprobs"][1:-1] for choice in answer.json()["choices"]]
    assert scored == [[CHOSEN_LOGPROB] * 2, [CHOSEN_LOGPROB]]


async def test_prompt_logprobs_are_vllms(client: httpx.AsyncClient) -> None:
    expected = [
        None,
        {
            "98": {"logprob": CHOSEN_LOGPROB, "rank": 1, "decoded_token": "b"},
            "99": {"logprob": -2.0, "rank": 2, "decoded_token": "c"},
        },
    ]
    assert (await text_of(client, "ab", prompt_logprobs=2))["prompt_logprobs"] == expected
    body = {"model": BASE, "messages": [{"role": "user", "content": "ab"}], "prompt_logprobs": 2}
    assert (await client.post(CHAT, json=body)).json()["prompt_logprobs"][-1] == expected[1]


async def test_an_endpoint_that_is_not_strict_ignores_and_says_so() -> None:
    app = build_app(echo_engine(), ServerSettings(chat_page=False, strict=False))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        messages = [{"role": "user", "content": "hello", "mood": "good"}]
        body = {"model": BASE, "messages": messages, "mirostat": 2, "nonsense": [1], "top_p": 1}
        answer = await http.post(CHAT, json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["message"]["content"] == "hello"
        assert answer.headers["x-remora-warning"] == "ignored, not supported: mirostat, mood, nonsense"
        plain = await http.post(CHAT, json={"model": BASE, "messages": messages[:0] or messages[:1]})
        assert plain.headers["x-remora-warning"] == "ignored, not supported: mood"
        wrong = await http.post(CHAT, json={**body, "temperature": 7})
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "temperature")
