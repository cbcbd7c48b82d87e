"""Tools through the openai client, on a chat template that knows tools and on one that knows none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI
from tests.api.endpoint_builder import (
    BASE,
    KEY,
    KEYS,
    RunningEndpoint,
    WatchedEngine,
    build_app,
    echo_engine,
)
from tests.engine.tiny_models import CHAT_TEMPLATE, write_tokenizer

from remora.engine.base import ToolFormat
from remora.engine.text.chat_template import HfTokenizer
from remora.errors import InvalidInput
from remora.server.generation.generic_tools import takes_system, told_in_words
from remora.server.generation.tool_form import Tools
from remora.server.settings import ServerSettings

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
TIME: Any = {"type": "function", "function": {"name": "get_time", "description": "What time it is"}}
ONE = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Bern"}}\n</tool_call>'
TWO = ONE.replace("Bern", "Rome")
SCRIPT = {"one": ONE, "both": f"{ONE}\n{TWO}", "</tool_response>": "It is warm.", "tool: warm": "It is warm."}


def scripted(form: ToolFormat | None) -> WatchedEngine:
    engine = echo_engine()
    engine.tokenizer.tool_format = form
    engine.script = SCRIPT
    return engine


@pytest.fixture(params=[ToolFormat.HERMES, None], ids=["template", "generic"])
def running(request: pytest.FixtureRequest) -> Iterator[RunningEndpoint]:
    settings = ServerSettings(api_keys=KEYS, chat_page=False)
    with RunningEndpoint(settings, lambda: scripted(request.param)) as endpoint:
        yield endpoint


@pytest.fixture
def told(running: RunningEndpoint) -> str:
    """How this endpoint's base is told of tools."""
    return "template" if running.engine.tokenizer.tool_format else "generic"


@pytest.fixture
def client(running: RunningEndpoint) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{running.url}/v1", api_key=KEY, max_retries=0) as openai_client:
        yield openai_client


def calls_of(message: Any) -> list[tuple[str, Any]]:
    return [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()]


def test_a_model_calls_by_itself_and_gets_the_result(client: OpenAI, told: str) -> None:
    messages: list[Any] = [{"role": "user", "content": "one"}]
    raw = client.chat.completions.with_raw_response.create(
        model=BASE, messages=messages, tools=[WEATHER, TIME]
    )
    assert raw.headers["x-remora-tools"] == told
    message = raw.parse().choices[0].message
    assert calls_of(message) == [("get_weather", {"city": "Bern"})]
    assert message.tool_calls is not None
    messages += [
        message,
        {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "warm"},
    ]
    answer = client.chat.completions.create(model=BASE, messages=messages, tools=[WEATHER, TIME])
    assert answer.choices[0].message.content == "It is warm."
    after = client.chat.completions.create(model=BASE, messages=messages)  # without the tools, too
    assert after.choices[0].message.content == "It is warm."


def test_parallel_calls_streamed_and_whole(client: OpenAI) -> None:
    asked: Any = {"model": BASE, "messages": [{"role": "user", "content": "both"}], "tools": [WEATHER]}
    both = [("get_weather", {"city": "Bern"}), ("get_weather", {"city": "Rome"})]
    assert calls_of(client.chat.completions.create(**asked).choices[0].message) == both
    with client.chat.completions.stream(**asked) as stream:
        assert calls_of(stream.get_final_completion().choices[0].message) == both
    single = client.chat.completions.create(**asked, parallel_tool_calls=False)
    assert calls_of(single.choices[0].message) == both[:1]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_forced_call(client: OpenAI, told: str, choice: Any) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=BASE, messages=[{"role": "user", "content": "x"}], tools=[WEATHER], tool_choice=choice
    )
    assert raw.headers["x-remora-tools"] == told
    (call,) = calls_of(raw.parse().choices[0].message)
    assert (call[0], set(call[1])) == ("get_weather", {"city"})


def test_text_is_an_answer_too(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=BASE, messages=[{"role": "user", "content": "just text"}], tools=[WEATHER]
    )
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("just text", "stop")


def test_responses_call_and_get_results(client: OpenAI, told: str) -> None:
    tool: Any = {"type": "function", **WEATHER["function"], "strict": True}
    raw = client.responses.with_raw_response.create(model=BASE, input="both", tools=[tool])
    assert raw.headers["x-remora-tools"] == told
    first = raw.parse()
    outputs: Any = [
        {"type": "function_call_output", "call_id": item.call_id, "output": "warm"}
        for item in first.output
        if item.type == "function_call"
    ]
    assert len(outputs) == 2
    second = client.responses.create(model=BASE, input=outputs, tools=[tool], previous_response_id=first.id)
    assert second.output_text == "It is warm."


def test_models_say_how_they_are_told(client: OpenAI, told: str) -> None:
    assert {model.model_extra["tools"] for model in client.models.list() if model.model_extra} == {told}


async def asked(engine: WatchedEngine, mode: Tools, path: str, fields: dict[str, Any]) -> httpx.Response:
    app = build_app(engine, ServerSettings(chat_page=False, tools=mode))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        return await http.post(path, json={"model": BASE, **fields})


CHAT = "/v1/chat/completions"
HELLO = {"messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "one"}]}


@pytest.mark.parametrize(
    "choice", ["auto", "required", {"type": "function", "function": {"name": "get_time"}}]
)
async def test_the_prompt_grows_with_each_tool(choice: Any) -> None:
    engine = scripted(None)
    counts = []
    for tools in ([TIME], [TIME, WEATHER]):
        fields = {**HELLO, "tools": tools, "tool_choice": choice}
        counts.append((await asked(engine, Tools.TEMPLATE, CHAT, fields)).json()["usage"]["prompt_tokens"])
        for tool in tools:
            assert json.dumps(tool["function"]["description"]) in engine.prompts[-1]
    bare = (await asked(engine, Tools.TEMPLATE, CHAT, HELLO)).json()["usage"]["prompt_tokens"]
    assert bare < counts[0] < counts[1]
    assert engine.prompts[0].startswith("system: be kind\n\n# Tools\n")


async def test_generic_is_for_a_template_that_knows_tools_too() -> None:
    engine = scripted(ToolFormat.MISTRAL)
    answer = await asked(engine, Tools.GENERIC, CHAT, {**HELLO, "tools": [WEATHER]})
    assert answer.headers["x-remora-tools"] == "generic"
    assert answer.json()["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "get_weather"
    assert "<tools>" in engine.prompts[-1]


@pytest.mark.parametrize("choice", ["auto", "required"])
async def test_tools_can_be_switched_off(choice: str) -> None:
    engine = scripted(None)
    refused = await asked(engine, Tools.OFF, CHAT, {**HELLO, "tools": [WEATHER], "tool_choice": choice})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tools")
    assert "switched off" in refused.json()["error"]["message"]
    unused = await asked(engine, Tools.OFF, CHAT, {**HELLO, "tools": [WEATHER], "tool_choice": "none"})
    assert (unused.status_code, unused.headers.get("x-remora-tools")) == (200, None)


async def test_a_call_in_words_is_held_to_the_functions() -> None:
    """A model that was never taught may write what is no call."""
    engine = scripted(None)
    engine.script = {"bad": ONE.replace("get_weather", "get_money"), "worse": ONE.replace("city", "town")}
    for text in engine.script:
        fields = {"messages": [{"role": "user", "content": text}], "tools": [WEATHER]}
        message = (await asked(engine, Tools.TEMPLATE, CHAT, fields)).json()["choices"][0]["message"]
        assert "tool_calls" not in message


async def test_tokenize_tells_the_tools_as_chat_does() -> None:
    fields = {**HELLO, "tools": [WEATHER]}
    count = (await asked(scripted(None), Tools.TEMPLATE, "/tokenize", fields)).json()["count"]
    usage = (await asked(scripted(None), Tools.TEMPLATE, CHAT, fields)).json()["usage"]
    assert count == usage["prompt_tokens"]


CALL = {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Bern"}}}


def test_calls_and_results_become_turns_that_alternate() -> None:
    turns: list[Any] = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "warm"},
        {"role": "tool", "tool_call_id": "c", "content": "cold"},
        {"role": "user", "content": "and?"},
    ]
    told = told_in_words(turns, [], in_system=True)
    assert [turn["role"] for turn in told] == ["user", "assistant", "user"]
    assert told[1]["content"] == f"{ONE}\n{ONE}"
    assert told[2]["content"] == (
        "<tool_response>\nwarm\n</tool_response>\n<tool_response>\ncold\n</tool_response>\nand?"
    )


def test_a_template_without_a_system_role_has_the_tools_in_the_first_question(tmp_path: Path) -> None:
    refusing = CHAT_TEMPLATE.replace("m.role == 'tool'", "m.role not in ['user', 'assistant']")
    silent = "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}{% endif %}{% endfor %}"
    for name, template in (("refusing", refusing), ("silent", silent), ("taking", CHAT_TEMPLATE)):
        tokenizer = HfTokenizer(write_tokenizer(tmp_path / name, chat_template=template))
        takes = takes_system(tokenizer)
        assert takes == (name == "taking")
        turns = told_in_words([{"role": "user", "content": "hi"}], [WEATHER], in_system=takes)
        assert "The weather of a city" in tokenizer.decode(tokenizer.render_chat(turns))
    with pytest.raises(InvalidInput):
        HfTokenizer(tmp_path / "refusing").render_chat([{"role": "system", "content": "x"}])
