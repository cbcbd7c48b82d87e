"""Anthropic's Messages API as it is on the wire: what is asked for, told, refused and counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from tests.api.endpoint_builder import (
    ADMIN_KEYS,
    BASE,
    KEY,
    KEYS,
    TONE_DIGEST,
    DyingEngine,
    RunningEndpoint,
    WatchedEngine,
    build_app,
    echo_engine,
)

from remora.engine.base import ThoughtMarks
from remora.engine.echo import EchoEngine
from remora.server.access.admission import Admission
from remora.server.settings import ServerSettings

PATH = "/v1/messages"
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {"n": {"type": "integer"}}}}
CALL = '<tool_call>\n{"name": "f", "arguments": {"n": 1}}\n</tool_call>'


async def post(
    engine: EchoEngine,
    text: str | None = "hi",
    *,
    path: str = PATH,
    key: str | None = KEY,
    settings: ServerSettings | None = None,
    admission: Admission | None = None,
    **fields: Any,
) -> httpx.Response:
    chosen = settings or ServerSettings(api_keys=KEYS, admin_keys=ADMIN_KEYS, chat_page=False)
    body = {"model": BASE, "max_tokens": 200, "messages": [{"role": "user", "content": text}], **fields}
    if path != PATH:
        body.pop("max_tokens", None)
    headers = {} if key is None else {"x-api-key": key}
    transport = httpx.ASGITransport(build_app(engine, chosen, admission))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        return await http.post(path, json=body, headers=headers)


def events_of(answer: httpx.Response) -> list[dict[str, Any]]:
    events = []
    for part in answer.text.strip().split("\n\n"):
        name, data = part.split("\n", 1)
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


def thinking_engine() -> WatchedEngine:
    engine = echo_engine()
    engine.tokenizer.thought_marks = ThoughtMarks("<think>", "</think>")
    engine.script = {
        "think": f"<think>\nMaybe {CALL}?\n</think>\n\nDone.",
        "call": f"<think>No.</think>{CALL}",
    }
    return engine


async def test_a_message_is_answered_in_anthropics_shape() -> None:
    answer = await post(echo_engine(), model="tone", system="Be kind.")
    assert answer.status_code == 200
    assert answer.headers["x-remora-adapter-digest"] == TONE_DIGEST
    assert answer.headers["request-id"] == answer.headers["x-request-id"]
    message = answer.json()
    assert message["type"] == "message"
    assert message["role"] == "assistant"
    assert message["content"] == [{"type": "text", "text": f"{TONE_DIGEST[:12]}:hi"}]
    assert (message["stop_reason"], message["stop_sequence"]) == ("end_turn", None)
    assert message["usage"] == {
        "input_tokens": len("system: Be kind.\nuser: hi"),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": len(f"{TONE_DIGEST[:12]}:hi") + 1,
    }
    assert message["remora"]["adapter"] == "tone"


async def test_the_events_of_a_stream_have_anthropics_names_and_order() -> None:
    answer = await post(echo_engine(), "abc", stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = events_of(answer)
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert "".join(event["delta"]["text"] for event in events[2:-3]) == "abc"
    assert events[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert events[-2]["usage"]["output_tokens"] == len("abc") + 1
    assert "[DONE]" not in answer.text


async def test_why_an_answer_ended() -> None:
    stopped = (await post(echo_engine(), "one two three", stop_sequences=["xx", " two"])).json()
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", " two")
    assert stopped["content"][0]["text"] == "one"
    cut = (await post(echo_engine(), "one two", max_tokens=3)).json()
    assert (cut["stop_reason"], cut["content"][0]["text"]) == ("max_tokens", "one")


async def test_calls_are_blocks() -> None:
    engine = echo_engine()
    engine.script = {"call": f"I call.\n{CALL}\n{CALL}"}
    message = (await post(engine, "call", tools=[TOOL])).json()
    text, *calls = message["content"]
    assert text["text"].strip() == "I call."
    assert [(call["type"], call["name"], call["input"]) for call in calls] == [
        ("tool_use", "f", {"n": 1})
    ] * 2
    assert message["stop_reason"] == "tool_use"
    one = {"type": "auto", "disable_parallel_tool_use": True}
    assert len((await post(engine, "call", tools=[TOOL], tool_choice=one)).json()["content"]) == 2
    none = (await post(engine, "call", tools=[TOOL], tool_choice={"type": "none"})).json()
    assert none["stop_reason"] == "end_turn"
    for choice in ({"type": "any"}, {"type": "tool", "name": "f"}):
        forced = (await post(engine, "forced", tools=[TOOL], tool_choice=choice)).json()
        assert forced["content"][0]["type"] == "tool_use"
    events = events_of(await post(engine, "call", tools=[TOOL], stream=True))
    parts = [event["delta"].get("partial_json") for event in events if event["type"] == "content_block_delta"]
    assert "".join(part for part in parts if part) == '{"n": 1}' * 2


async def test_a_call_that_was_cut_off_is_no_call() -> None:
    engine = echo_engine()
    engine.script = {"half": '<tool_call>\n{"name": "f", "arguments": {"n": 1, "m": 22}}\n</tool_call>'}
    message = (await post(engine, "half", tools=[TOOL], max_tokens=48)).json()
    assert message["stop_reason"] == "max_tokens"
    assert [block["type"] for block in message["content"]] == ["text"]


@pytest.mark.parametrize("value", ["NaN", r'"\ud800"'])
async def test_a_call_with_what_is_no_json_is_no_call(value: str) -> None:
    engine = echo_engine()
    engine.script = {"odd": f'<tool_call>\n{{"name": "f", "arguments": {{"n": {value}}}}}\n</tool_call>'}
    answer = await post(engine, "odd", tools=[TOOL])
    assert answer.status_code == 200
    assert [block["type"] for block in answer.json()["content"]] == ["text"]


async def test_what_a_call_gave_and_what_was_thought_go_back_to_the_model() -> None:
    engine = echo_engine()
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"n": 1}}
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "x"}
    failed = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "no such n", "is_error": True}
    messages = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "call", "cache_control": {"type": "ephemeral"}}],
        },
        {"role": "assistant", "content": [thought, {"type": "text", "text": "I call."}, call]},
        {"role": "user", "content": [failed, {"type": "text", "text": "and now?"}]},
    ]
    answer = await post(engine, messages=messages, tools=[TOOL])
    assert answer.status_code == 200, answer.text
    assert engine.prompts == [
        "user: call\nassistant: I call.\ntool: Error: no such n\nuser: and now?",
    ]


async def test_an_answer_goes_on_from_the_assistants_last_message() -> None:
    engine = echo_engine()
    messages: list[Any] = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Yes, and"}]
    answer = await post(engine, messages=messages)
    assert answer.json()["content"][0]["text"] == "assistant: Yes, and"
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [call]}]
    refused = await post(engine, messages=messages)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "messages")


async def test_thoughts_are_shown_where_thinking_is_asked_for() -> None:
    hidden = (await post(thinking_engine(), "think")).json()
    assert hidden["content"] == [{"type": "text", "text": "Done."}]
    shown = (await post(thinking_engine(), "think", thinking={"type": "adaptive"}, tools=[TOOL])).json()
    assert [block["type"] for block in shown["content"]] == ["thinking", "text"]
    assert shown["content"][0]["thinking"] == f"Maybe {CALL}?"
    events = events_of(
        await post(thinking_engine(), "call", thinking={"type": "adaptive"}, tools=[TOOL], stream=True)
    )
    starts = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert starts == ["thinking", "tool_use"]
    omitted = {"type": "adaptive", "display": "omitted"}
    assert len((await post(thinking_engine(), "think", thinking=omitted)).json()["content"]) == 1


async def test_thinking_is_switched_where_the_template_can_be_told() -> None:
    engine = echo_engine()
    enabled = {"type": "enabled", "budget_tokens": 1024}
    refused = await post(engine, thinking=enabled, max_tokens=2000)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "thinking")
    assert (await post(engine, thinking={"type": "disabled"})).status_code == 200
    assert (await post(thinking_engine(), thinking=enabled, max_tokens=2000)).status_code == 200
    over = await post(thinking_engine(), thinking=enabled, max_tokens=1024)
    assert (over.status_code, over.json()["error"]["param"]) == (400, "thinking")


async def test_an_answer_keeps_to_a_schema() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    config = {"format": {"type": "json_schema", "schema": schema}}
    message = (await post(echo_engine(), "no JSON", output_config=config)).json()
    assert isinstance(json.loads(message["content"][0]["text"])["n"], int)


async def test_tokens_are_counted_without_an_answer() -> None:
    engine = echo_engine()
    answer = await post(engine, "hello", path=f"{PATH}/count_tokens", system="x")
    assert answer.json() == {"input_tokens": len("system: x\nuser: hello")}
    assert engine.prompts == []


REFUSED: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "no limit": ({"max_tokens": None}, "max_tokens"),
    "an image": (
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
        "messages[0].content[0]",
    ),
    "a tool of Anthropic's": ({"tools": [{"type": "web_search_20250305", "name": "w"}]}, "tools[0]"),
    "an unknown tool": ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice"),
    "a call of the user's": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]}
            ]
        },
        "messages[0].content",
    ),
    "a block without its text": (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "messages[0].content[0]",
    ),
    "an unknown field": ({"logprobs": True}, "logprobs"),
    "servers": ({"mcp_servers": [{"url": "http://x"}]}, "mcp_servers"),
    "an effort": ({"output_config": {"effort": "low"}}, "output_config.effort"),
    "a role": ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    "no messages": ({"messages": []}, "messages"),
    "an empty stop": ({"stop_sequences": [""]}, "stop_sequences[0]"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_refused_is_named(case: str) -> None:
    fields, param = REFUSED[case]
    answer = await post(echo_engine(), **fields)
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["param"] == param


async def test_errors_have_anthropics_shape_wherever_they_come_from() -> None:
    async def told(**fields: Any) -> tuple[int, str]:
        body = (answer := await post(echo_engine(), **fields)).json()
        assert body["type"] == "error"
        return answer.status_code, body["error"]["type"]

    assert await told(key=None) == (401, "authentication_error")
    assert await told(key="wrong") == (401, "authentication_error")
    assert await told(model="nobody") == (404, "not_found_error")
    assert await told(path=f"{PATH}/batches") == (404, "not_found_error")
    full = Admission(0)
    assert await told(admission=full) == (429, "rate_limit_error")
    full.drain()
    assert await told(admission=full) == (503, "overloaded_error")
    small = ServerSettings(api_keys=KEYS, chat_page=False, max_body_bytes=10)
    assert await told(settings=small) == (413, "request_too_large")
    long = (await post(echo_engine(), "x" * 5000)).json()["error"]
    assert long["message"].startswith("prompt is too long: ")
    dying = await post(DyingEngine(), stream=True)
    last = events_of(dying)[-1]
    assert (last["type"], last["error"]["type"]) == ("error", "overloaded_error")


def test_a_client_that_goes_away_stops_the_engine() -> None:
    settings = ServerSettings(api_keys=KEYS, chat_page=False)
    with RunningEndpoint(settings) as running:
        running.hold_after(3)
        body = {
            "model": BASE,
            "max_tokens": 1000,
            "stream": True,
            "messages": [{"role": "user", "content": "x" * 500}],
        }
        with httpx.stream(
            "POST", f"{running.url}{PATH}", json=body, headers={"x-api-key": KEY}, timeout=300
        ) as answer:
            lines = answer.iter_lines()
            assert next(lines) == "event: message_start"
            running.until(lambda stats: stats.running_requests == 1)
        running.release()
        assert running.until(lambda stats: stats.running_requests == 0).cancelled_requests == 1
