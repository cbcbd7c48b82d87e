"""POST /v1/responses and what is kept of them, in process."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from tests.api.endpoint_builder import BASE, TONE_DIGEST, DyingEngine, build_app, echo_engine
from tests.api.events import chunks_of

from remora.errors import NotFound
from remora.project.api_keys import ApiKey
from remora.server.api.responses import store as response_store
from remora.server.api.responses.store import ResponseStore
from remora.server.settings import ServerSettings

PATH = "/v1/responses"
CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Bern"}}</tool_call>'
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


def text_of(response: dict[str, Any]) -> str:
    parts = [part for item in response["output"] for part in item.get("content", ())]
    return "".join(part["text"] for part in parts)


async def respond(client: httpx.AsyncClient, text: object = "hello", **fields: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json={"model": BASE, "input": text, **fields})
    assert answer.status_code == 200, answer.text
    response: dict[str, Any] = answer.json()
    return response


async def test_a_response(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json={"model": "tone", "input": "hello", "metadata": {"a": "b"}})
    response = answer.json()
    assert response["object"] == "response"
    assert response["id"].startswith("resp_")
    assert response["status"] == "completed"
    assert text_of(response) == "3f9a12cd3f9a:hello"
    assert response["usage"]["total_tokens"] == 11 + 19
    assert response["metadata"] == {"a": "b"}
    assert response["remora"]["digest"] == TONE_DIGEST
    assert answer.headers["x-remora-adapter-digest"] == TONE_DIGEST
    assert float(answer.headers["x-remora-time-to-first-token-ms"]) > 0


async def test_items_are_a_conversation(client: httpx.AsyncClient) -> None:
    items = [
        {"role": "developer", "content": "be brief"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "one"}]},
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "phase": "final_answer",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "two", "annotations": [], "logprobs": []}],
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed"},
        {"type": "function_call_output", "call_id": "c", "output": "warm"},
        {"role": "user", "content": "three"},
    ]
    response = await respond(client, items, instructions="kindly")
    assert text_of(response) == "three"
    rendered = "system: kindly\n\nbe brief\nuser: one\nassistant: two\ntool: warm\n"
    assert response["usage"]["input_tokens"] == len(rendered + "user: three")


async def test_a_response_goes_on_from_another(client: httpx.AsyncClient) -> None:
    first = await respond(client, "one", instructions="only for now")
    second = await respond(client, "two", previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]
    assert second["usage"]["input_tokens"] == len("user: one\nassistant: one\nuser: two")
    shown = (await client.get(f"{PATH}/{second['id']}")).json()
    assert shown == second


async def test_a_call_is_answered_in_the_next_response(client: httpx.AsyncClient) -> None:
    first = await respond(client, f"so: {CALL}", tools=[WEATHER])
    assert [item["type"] for item in first["output"]] == ["message", "function_call"]
    call = first["output"][1]
    assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Bern"})
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "12 degrees"}
    second = await respond(client, [result], previous_response_id=first["id"], tools=[WEATHER])
    assert text_of(second) == "tool: 12 degrees"


async def test_a_call_that_is_no_json_does_no_harm(client: httpx.AsyncClient) -> None:
    broken = '<tool_call>{"name": "get_weather", "arguments": {city: Bern}}</tool_call>'
    first = await respond(client, broken, tools=[WEATHER])
    assert first["output"][0]["arguments"] == "{city: Bern}"
    second = await respond(client, "and now?", previous_response_id=first["id"], tools=[WEATHER])
    assert text_of(second) == "and now?"


async def test_what_is_not_to_be_stored_is_not(client: httpx.AsyncClient) -> None:
    response = await respond(client, store=False)
    assert response["store"] is False
    missing = await client.get(f"{PATH}/{response['id']}")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    after = await client.post(
        PATH, json={"model": BASE, "input": "x", "previous_response_id": response["id"]}
    )
    assert (after.status_code, after.json()["error"]["param"]) == (404, "previous_response_id")


async def test_a_deleted_response_is_gone(client: httpx.AsyncClient) -> None:
    path = f"{PATH}/{(await respond(client))['id']}"
    assert (await client.delete(path)).json()["deleted"] is True
    assert (await client.get(path)).status_code == 404
    assert (await client.delete(path)).status_code == 404


async def test_only_the_key_that_made_a_response_finds_it() -> None:
    # Both have one name, as while a key is exchanged, or where lines of a file moved.
    keys = (ApiKey("key-1", "first-secret"), ApiKey("key-1", "second-secret"))
    app = build_app(echo_engine(), ServerSettings(api_keys=keys, chat_page=False))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        mine, other = ({"authorization": f"Bearer {key.secret}"} for key in keys)
        made = await http.post(PATH, json={"model": BASE, "input": "x"}, headers=mine)
        path = f"{PATH}/{made.json()['id']}"
        assert (await http.get(path, headers=mine)).status_code == 200
        assert (await http.get(path, headers=other)).status_code == 404
        assert (await http.delete(path, headers=other)).status_code == 404
        follow = {"model": BASE, "input": "x", "previous_response_id": made.json()["id"]}
        assert (await http.post(PATH, json=follow, headers=other)).status_code == 404
        assert (await http.post(PATH, json=follow, headers=mine)).status_code == 200


async def test_a_streamed_response_has_its_events_in_order(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json={"model": BASE, "input": "hi", "stream": True})
    events = chunks_of(answer)
    names = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
    assert names == [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]  # fmt: skip
    assert [event["sequence_number"] for event in events] == list(range(10))
    assert events[2]["item"]["content"] == []
    assert events[3]["part"]["text"] == ""
    assert events[0]["response"]["output"] == []
    last = events[-1]["response"]
    assert text_of(last) == "hi"
    assert (await client.get(f"{PATH}/{last['id']}")).json() == last


async def test_a_streamed_call_has_its_events_in_order(client: httpx.AsyncClient) -> None:
    fields = {"model": BASE, "input": "x", "tools": [WEATHER], "tool_choice": "required", "stream": True}
    events = chunks_of(await client.post(PATH, json=fields))
    kinds = [event["type"] for event in events]
    assert kinds[2] == "response.output_item.added"
    assert kinds[-3:] == [
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    deltas = [event["delta"] for event in events if event["type"].endswith("arguments.delta")]
    assert events[-3]["arguments"] == "".join(deltas) == '{"city": ""}'
    assert {event["item_id"] for event in events if "item_id" in event} == {events[2]["item"]["id"]}


async def test_an_answer_cut_short_is_incomplete(client: httpx.AsyncClient) -> None:
    response = await respond(client, "hello", max_output_tokens=3)
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][0]["status"] == "incomplete"
    assert text_of(response) == "hel"


async def test_log_probabilities_come_where_they_are_wanted(client: httpx.AsyncClient) -> None:
    asked: dict[str, Any] = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    response = await respond(client, "hi", **asked)
    entries = response["output"][0]["content"][0]["logprobs"]
    assert [entry["token"] for entry in entries] == ["h", "i"]
    assert [len(entry["top_logprobs"]) for entry in entries] == [2, 2]
    events = chunks_of(await client.post(PATH, json={"model": BASE, "input": "hi", "stream": True, **asked}))
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    assert [event["logprobs"][0]["token"] for event in deltas] == ["h", "i"]


async def test_no_log_probability_is_lost_while_a_call_is_waited_for(client: httpx.AsyncClient) -> None:
    text = "1 <tool is no call"
    tools = [{"type": "function", "name": "get_time"}]
    asked: dict[str, Any] = {"include": ["message.output_text.logprobs"], "tools": tools}
    response = await respond(client, text, **asked)
    entries = response["output"][0]["content"][0]["logprobs"]
    assert "".join(entry["token"] for entry in entries) == text


async def test_a_format_is_kept_to(client: httpx.AsyncClient) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    asked: dict[str, Any] = {"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True}}
    answer = await client.post(PATH, json={"model": BASE, "input": "x", "text": asked})
    response = answer.json()
    assert json.loads(text_of(response)) == {"n": 0}
    assert response["text"]["format"]["schema"] == schema


@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_dies_fails_the_response(stream: bool) -> None:
    app = build_app(DyingEngine(), ServerSettings(chat_page=False))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        answer = await http.post(PATH, json={"model": BASE, "input": "hello", "stream": stream})
    if not stream:
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_failed")
        return
    last = chunks_of(answer)[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["status"] == "failed"
    assert last["response"]["error"] == {"code": "server_error", "message": "the device is gone"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference"}]}, "input"),
        (
            {"input": [{"type": "reasoning", "summary": [], "encrypted_content": "x"}]},
            "input[0].encrypted_content",
        ),
        ({"input": [{"role": "user"}]}, "input"),
        ({"input": [{"role": "user", "content": "x", "call_id": "y"}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "["}]}, "input"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "x"}}, "prompt"),
        ({"reasoning": {"effort": "low"}}, "reasoning.effort"),
        ({"reasoning": {"summary": "detailed"}}, "reasoning.summary"),
        ({"truncation": "auto"}, "truncation"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"max_output_tokens": 5000}, "max_output_tokens"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"input": "x" * 5000}, "input"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [{"type": "file_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "namespace", "name": "n"}]}, "tools"),
        ({"n": 2}, "n"),
    ],
)
async def test_what_is_wrong_or_unsupported_is_named(
    client: httpx.AsyncClient, fields: dict[str, Any], param: str
) -> None:
    answer = await client.post(PATH, json={"model": BASE, "input": "x", **fields})
    assert answer.status_code == 400, answer.text
    named = answer.json()["error"]["param"]
    assert named == param or (param == "input" and named.startswith("input"))


def test_old_and_many_and_large_responses_are_forgotten() -> None:
    times = [0.0]
    store = ResponseStore(lambda: times[0])

    def put(number: int, text: str = "x") -> None:
        store.put("me", {"id": f"resp_{number}"}, [], [{"role": "user", "content": text}])

    put(1)
    times[0] = response_store.KEPT_SECONDS + 1
    with pytest.raises(NotFound):
        store.get("me", "resp_1")
    put(2, "x" * (response_store.MOST_CHARACTERS // 2))
    put(3, "x" * (response_store.MOST_CHARACTERS // 2))
    put(4)
    with pytest.raises(NotFound):
        store.get("me", "resp_2")
    assert store.get("me", "resp_3").character_count > 0
    for number in range(5, 5 + response_store.MOST_RESPONSES):
        put(number)
    with pytest.raises(NotFound):
        store.get("me", "resp_4")
    assert store.get("me", "resp_5").turns
