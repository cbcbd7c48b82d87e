"""Tools and response formats over the echo engine: calls that the model makes, and those it must make."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.api.endpoint_builder import BASE, build_app, echo_engine
from tests.api.events import chunks_of

from remora.engine.base import ToolFormat
from remora.engine.echo import EchoEngine, EchoTokenizer
from remora.server.generation.tool_calls import CallArguments, CallBegin, CallEnd, CallReader, Content, Piece
from remora.server.settings import ServerSettings

CHAT = "/v1/chat/completions"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"$ref": "#/$defs/City"}, "days": {"type": "integer"}},
            "required": ["city"],
            "additionalProperties": False,
            "$defs": {"City": {"type": "string", "minLength": 1}},
        },
    },
}
TIME = {"type": "function", "function": {"name": "get_time"}}
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "a \\"}{", "days": 2}}\n</tool_call>'


def body(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": BASE, "messages": [{"role": "user", "content": text.replace("\n", " ")}], **fields}


def called(message: dict[str, Any]) -> list[tuple[str, Any]]:
    calls = message["tool_calls"]
    assert all(call["id"].startswith("call_") and call["type"] == "function" for call in calls)
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]


def gathered(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a client puts together from its deltas."""
    message: dict[str, Any] = {"content": "", "tool_calls": []}
    for chunk in chunks:
        delta = chunk["choices"][0]["delta"]
        message["content"] += delta.get("content") or ""
        for call in delta.get("tool_calls", ()):
            if "id" in call:
                assert call["index"] == len(message["tool_calls"])
                message["tool_calls"].append(call)
            else:
                message["tool_calls"][call["index"]]["function"]["arguments"] += call["function"]["arguments"]
    return message


@pytest.mark.parametrize("stream", [False, True])
async def test_calls_in_the_models_own_format_are_found(client: httpx.AsyncClient, stream: bool) -> None:
    text = f"I look. {CALL}{CALL}"
    answer = await client.post(CHAT, json=body(text, tools=[WEATHER, TIME], stream=stream))
    if stream:
        chunks = chunks_of(answer)
        message, reason = gathered(chunks), chunks[-1]["choices"][0]["finish_reason"]
    else:
        message = answer.json()["choices"][0]["message"]
        reason = answer.json()["choices"][0]["finish_reason"]
    assert message["content"] == "I look. "
    assert called(message) == [("get_weather", {"city": 'a "}{', "days": 2})] * 2
    assert reason == "tool_calls"


async def test_one_call_where_they_may_not_be_parallel(client: httpx.AsyncClient) -> None:
    fields = body(f"{CALL}{CALL}", tools=[WEATHER], parallel_tool_calls=False)
    message = (await client.post(CHAT, json=fields)).json()["choices"][0]["message"]
    assert len(called(message)) == 1
    assert message["content"] is None


async def test_text_without_a_call_is_text(client: httpx.AsyncClient) -> None:
    for text in ("1 < 2", "<tool_call>no</tool_call> yes", '<tool_call> {"name": 3', "<tool_cal"):
        choice = (await client.post(CHAT, json=body(text, tools=[WEATHER]))).json()["choices"][0]
        assert choice["message"]["content"] == text
        assert "tool_calls" not in choice["message"]
        assert choice["finish_reason"] == "stop"


async def test_tools_that_may_not_be_called_are_left_alone(client: httpx.AsyncClient) -> None:
    fields = body(CALL, tools=[WEATHER], tool_choice="none")
    message = (await client.post(CHAT, json=fields)).json()["choices"][0]["message"]
    assert message["content"] == CALL.replace("\n", " ")


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("required", {"get_weather", "get_time"}),
        ({"type": "function", "function": {"name": "get_weather"}}, {"get_weather"}),
        ({"type": "function", "function": {"name": "get_time"}}, {"get_time"}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_forced_call_keeps_to_the_functions_schema(
    client: httpx.AsyncClient, choice: object, names: set[str], stream: bool
) -> None:
    fields = body("anything", tools=[WEATHER, TIME], tool_choice=choice, stream=stream)
    answer = await client.post(CHAT, json=fields)
    message = gathered(chunks_of(answer)) if stream else answer.json()["choices"][0]["message"]
    ((name, arguments),) = called(message)
    assert name in names
    assert set(arguments) == ({"city"} if name == "get_weather" else set())
    assert not message["content"]


async def test_arguments_are_streamed_as_they_come(client: httpx.AsyncClient) -> None:
    chunks = chunks_of(await client.post(CHAT, json=body(CALL, tools=[WEATHER], stream=True)))
    parts = [chunk for chunk in chunks if "tool_calls" in chunk["choices"][0]["delta"]]
    assert len(parts) > 10


async def test_no_log_probability_is_lost_while_a_call_is_waited_for(client: httpx.AsyncClient) -> None:
    text = "1 <tool is no call"
    fields = body(text, tools=[WEATHER], stream=True, logprobs=True)
    chunks = chunks_of(await client.post(CHAT, json=fields))
    shown = [chunk["choices"][0]["logprobs"] for chunk in chunks if chunk["choices"][0]["logprobs"]]
    assert "".join(entry["token"] for each in shown for entry in each["content"]) == text


async def test_a_conversation_with_calls_is_understood(client: httpx.AsyncClient) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    messages = [
        {"role": "user", "content": "how warm is it?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12 degrees"},
    ]
    answer = await client.post(CHAT, json={"model": BASE, "messages": messages})
    assert answer.json()["choices"][0]["message"]["content"] == "tool: 12 degrees"
    call["function"]["arguments"] = "[1]"  # type: ignore[index]
    refused = await client.post(CHAT, json={"model": BASE, "messages": messages})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "messages")


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def formatted(schema: object) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


@pytest.mark.parametrize(
    ("response_format", "expected"),
    [
        ({"type": "text"}, "anything"),
        ({"type": "json_object"}, "{}"),
        (formatted(SCHEMA | {"additionalProperties": False}), '{"n": 0}'),
        (formatted({"enum": ["yes", "no"]}), '"no"'),
        (formatted({"type": "array", "items": {"type": "boolean"}, "minItems": 2}), "[false, false]"),
    ],
)
async def test_an_answer_has_the_wanted_format(
    client: httpx.AsyncClient, response_format: dict[str, Any], expected: str
) -> None:
    answer = await client.post(CHAT, json=body("anything", response_format=response_format))
    choice = answer.json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (expected, "stop")


async def test_an_answer_that_has_the_format_is_not_changed(client: httpx.AsyncClient) -> None:
    answer = await client.post(CHAT, json=body('{"n": 17}', response_format=formatted(SCHEMA)))
    assert answer.json()["choices"][0]["message"]["content"] == '{"n": 17}'


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "strang"}, "strang"),
        ({"$ref": "https://example.com/schema"}, "example.com"),
        ({"not": {"type": "string"}}, "not"),
        ({"enum": ["x" * 70_000]}, "65536"),
    ],
)
async def test_a_schema_that_cannot_be_kept_to_is_refused(
    client: httpx.AsyncClient, schema: dict[str, Any], says: str
) -> None:
    answer = await client.post(CHAT, json=body("x", response_format=formatted(schema)))
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "response_format")
    assert says in error["message"]
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    refused = await client.post(CHAT, json=body("x", tools=[tool], tool_choice="required"))
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tools")


async def test_a_deep_schema_is_refused(client: httpx.AsyncClient) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(40):
        schema = {"type": "object", "properties": {"a": schema}}
    answer = await client.post(CHAT, json=body("x", response_format=formatted(schema)))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "response_format")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [WEATHER, WEATHER]}, "tools"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        (
            {"tools": [TIME], "tool_choice": "required", "response_format": {"type": "json_object"}},
            "response_format",
        ),
    ],
)
async def test_what_does_not_go_together_is_refused(
    client: httpx.AsyncClient, fields: dict[str, Any], param: str
) -> None:
    answer = await client.post(CHAT, json=body("x", **fields))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("form", [ToolFormat.HERMES, ToolFormat.LLAMA, None])
async def test_with_tools_and_a_format_the_answer_is_a_call_or_has_the_format(
    form: ToolFormat | None,
) -> None:
    tokenizer = EchoTokenizer()
    tokenizer.tool_format = form
    call = '{"name": "get_weather", "parameters": {"city": "Bern"}}'
    if form is not ToolFormat.LLAMA:
        call = f"<tool_call>\n{call.replace('parameters', 'arguments')}\n</tool_call>"
    fields = {"tools": [WEATHER], "response_format": formatted(SCHEMA)}
    for text, says in (('{"n": 17}', '{"n": 17}'), ("neither", '{"n": 0}')):
        message = (await asked_of(tokenizer, body(text, **fields))).json()["choices"][0]["message"]
        assert (message["content"], "tool_calls" in message) == (says, False)
    engine = echo_engine()
    engine.tokenizer, engine.script = tokenizer, {"call": call}
    choice = (await asked(engine, body("call", **fields))).json()["choices"][0]
    assert (called(choice["message"]), choice["finish_reason"]) == (
        [("get_weather", {"city": "Bern"})],
        "tool_calls",
    )
    broken = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "strang"}}}
    refused = await asked_of(tokenizer, body("x", tools=[WEATHER], response_format=broken))
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "response_format")


async def test_only_allowed_tools_are_told_and_called(client: httpx.AsyncClient) -> None:
    def only(mode: str, name: str) -> dict[str, Any]:
        tools = [{"type": "function", "function": {"name": name}}]
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}

    fields = body("x", tools=[WEATHER, TIME], tool_choice=only("required", "get_time"))
    forced = await client.post(CHAT, json=fields)
    assert called(forced.json()["choices"][0]["message"]) == [("get_time", {})]
    free = await client.post(
        CHAT, json=body("x", tools=[WEATHER, TIME], tool_choice=only("auto", "get_time"))
    )
    assert free.json()["choices"][0]["message"]["content"] == "x"
    refused = await client.post(CHAT, json=body("x", tools=[TIME], tool_choice=only("auto", "f")))
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tool_choice")


async def test_what_no_grammar_can_keep_to_is_named(client: httpx.AsyncClient) -> None:
    schema = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    refused = await client.post(CHAT, json=body("x", response_format=formatted(schema)))
    assert "the schema uses 'uniqueItems'" in refused.json()["error"]["message"]


def strict(tool: dict[str, Any]) -> dict[str, Any]:
    return {**tool, "function": {**tool["function"], "strict": True}}


async def test_strict_functions_are_guarded_where_the_model_may_call(client: httpx.AsyncClient) -> None:
    text = "just text"
    free = await client.post(CHAT, json=body(text, tools=[strict(WEATHER)]))
    assert free.json()["choices"][0]["message"]["content"] == text
    schema = {"type": "object", "not": {}}
    broken = {"type": "function", "function": {"name": "f", "parameters": schema, "strict": True}}
    refused = await client.post(CHAT, json=body(text, tools=[broken]))
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tools")


class LlamaTokenizer(EchoTokenizer):
    tool_format = ToolFormat.LLAMA


class MistralTokenizer(EchoTokenizer):
    tool_format = ToolFormat.MISTRAL


async def asked_of(tokenizer: EchoTokenizer, fields: dict[str, Any]) -> httpx.Response:
    engine = echo_engine()
    engine.tokenizer = tokenizer
    return await asked(engine, fields)


async def asked(engine: EchoEngine, fields: dict[str, Any]) -> httpx.Response:
    app = build_app(engine, ServerSettings(chat_page=False))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        return await http.post(CHAT, json=fields)


async def test_llamas_way_of_calling_is_understood() -> None:
    call = '{"name": "get_weather", "parameters": {"city": "Bern"}}'
    answer = await asked_of(LlamaTokenizer(), body(call, tools=[WEATHER]))
    choice = answer.json()["choices"][0]
    assert called(choice["message"]) == [("get_weather", {"city": "Bern"})]
    assert choice["finish_reason"] == "tool_calls"
    strict_one = await asked_of(LlamaTokenizer(), body(call, tools=[strict(WEATHER)]))
    assert called(strict_one.json()["choices"][0]["message"]) == [("get_weather", {"city": "Bern"})]
    broken = call.replace("city", "town")
    kept = await asked_of(LlamaTokenizer(), body(broken, tools=[strict(WEATHER)]))
    assert broken not in (kept.json()["choices"][0]["message"]["content"] or "")
    text = await asked_of(LlamaTokenizer(), body("just text", tools=[strict(WEATHER)]))
    assert text.json()["choices"][0]["message"]["content"] == "just text"


async def test_mistrals_list_of_calls_is_understood_and_its_template_takes_their_ids() -> None:
    weather, time = (
        '{"name": "get_weather", "arguments": {"city": "Bern"}}',
        '{"name": "get_time", "arguments": {}}',
    )
    calls = f"[TOOL_CALLS] [{weather}, {time}]"
    for parallel, names in ((True, ["get_weather", "get_time"]), (False, ["get_weather"])):
        fields = body(calls, tools=[WEATHER, TIME], parallel_tool_calls=parallel)
        choice = (await asked_of(MistralTokenizer(), fields)).json()["choices"][0]
        made = choice["message"]["tool_calls"]
        assert [call["function"]["name"] for call in made] == names
        assert all(re.fullmatch("[a-zA-Z0-9]{9}", call["id"]) for call in made)
        assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    forced = await asked_of(MistralTokenizer(), body("x", tools=[WEATHER], tool_choice="required"))
    assert len(forced.json()["choices"][0]["message"]["tool_calls"][0]["id"]) == 9
    for fields in ({"tools": [strict(WEATHER)]}, {"tools": [WEATHER], "response_format": formatted(SCHEMA)}):
        refused = await asked_of(MistralTokenizer(), body("x", **fields))
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_parameter")
        assert 'tools = "generic"' in refused.json()["error"]["message"]
    text = await asked_of(MistralTokenizer(), body("[1] is no call", tools=[WEATHER]))
    assert text.json()["choices"][0]["message"]["content"] == "[1] is no call"


def pieces(text: str, cuts: list[int], form: ToolFormat | None, *, forced: bool = False) -> list[Piece]:
    reader = CallReader(form, forced=forced)
    borders = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    out: list[Piece] = []
    for start, stop in pairwise(borders):
        out += reader.feed(text[start:stop])
    return [*out, *reader.flush()]


def joined(found: list[Piece]) -> tuple[str, list[tuple[str, str]], int]:
    """The text, the calls, and how many of them are whole."""
    text, calls, whole = "", list[tuple[str, str]](), 0
    for piece in found:
        match piece:
            case Content(more):
                text += more
            case CallBegin(_, _, name):
                calls.append((name, ""))
            case CallArguments(index, more):
                calls[index] = (calls[index][0], calls[index][1] + more)
            case CallEnd():
                whole += 1
    return text, calls, whole


ARGUMENTS = '{"city": "a \\"}{", "days": [2, {"x": "<tool_call>"}]}'


@given(st.lists(st.integers(0, 300), max_size=12))
def test_however_an_answer_is_cut_its_calls_are_the_same(cuts: list[int]) -> None:
    call = f'<tool_call>\n{{"name": "f", "arguments": {ARGUMENTS}}}\n</tool_call>'
    text = f"before {call}\n{call} after <tool"
    assert joined(pieces(text, cuts, ToolFormat.HERMES)) == (
        "before after <tool", [("f", ARGUMENTS)] * 2, 2
    )  # fmt: skip
    llama = f'{{"name": "f", "parameters": {ARGUMENTS}}}'
    assert joined(pieces(llama, cuts, ToolFormat.LLAMA)) == ("", [("f", ARGUMENTS)], 1)
    assert joined(pieces(f"so: {llama}", cuts, ToolFormat.LLAMA)) == (f"so: {llama}", [], 0)
    one, mistral = f'{{"name": "f", "arguments": {ARGUMENTS}}}', ToolFormat.MISTRAL
    for lead in ("[TOOL_CALLS]", " [TOOL_CALLS] ", ""):
        assert joined(pieces(f"{lead}[{one}, {one}]", cuts, mistral)) == ("", [("f", ARGUMENTS)] * 2, 2)
    for no_call in ("[TOOL_CALLS", "[1, 2]", '[{"x": 1}]', "[TOOL_CALLS] [ {", f"so: [{one}]", " [ "):
        assert joined(pieces(no_call, cuts, mistral)) == (no_call, [], 0)
    cut_off = f'{{"name": "f", "arguments": {ARGUMENTS[:20]}'
    assert joined(pieces(cut_off, cuts, None, forced=True)) == ("", [("f", ARGUMENTS[:20])], 0)
