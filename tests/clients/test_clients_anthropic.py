"""Anthropic's own client against /v1/messages: whole, streamed, with tools, thoughts, schemas and errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import MessageParam, ToolParam
from pydantic import BaseModel
from tests.api.endpoint_builder import BASE, KEY, KEYS, RunningEndpoint, WatchedEngine
from tests.clients.endpoints import CALL, maker, settings

from remora.engine.base import ThoughtMarks, ToolFormat
from remora.server.settings import ServerSettings

ASKED: list[MessageParam] = [{"role": "user", "content": "one"}]
WEATHER: ToolParam = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


class Weather(BaseModel):
    city: str


@pytest.fixture(scope="module", params=["template", "generic"])
def running(request: pytest.FixtureRequest) -> Iterator[RunningEndpoint]:
    written = ToolFormat.HERMES if request.param == "template" else None
    with RunningEndpoint(settings(), maker(written)) as endpoint:
        yield endpoint


@pytest.fixture
def client(running: RunningEndpoint) -> Iterator[Anthropic]:
    with Anthropic(base_url=running.url, api_key=KEY, max_retries=0) as made:
        yield made


def ask(client: Anthropic, text: str, **fields: Any) -> anthropic.types.Message:
    made: anthropic.types.Message = client.messages.create(
        model=BASE, max_tokens=200, messages=[{"role": "user", "content": text}], **fields
    )
    return made


def test_a_message(client: Anthropic) -> None:
    message = ask(
        client,
        "hello",
        system=[{"type": "text", "text": "Be kind."}],
        extra_body={"temperature": 0.5, "top_k": 5},
    )
    assert message.content[0].type == "text"
    assert message.content[0].text == "hello"
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 6)
    assert message._request_id is not None
    stopped = ask(client, "a b c", stop_sequences=[" b"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", " b")


def test_a_stream(client: Anthropic) -> None:
    with client.messages.stream(
        model=BASE, max_tokens=200, messages=[{"role": "user", "content": "abc"}]
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "abc"
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 4)


def test_tools_there_and_back(client: Anthropic) -> None:
    first = ask(client, "one", tools=[WEATHER])
    assert first.stop_reason == "tool_use"
    call = first.content[-1]
    assert call.type == "tool_use"
    assert (call.name, call.input) == ("get_weather", {"city": "Bern"})
    result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": "warm"}
    messages: list[Any] = [
        *ASKED,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    second = client.messages.create(model=BASE, max_tokens=200, messages=messages, tools=[WEATHER])
    assert second.content[0].type == "text"
    assert second.content[0].text == "It is warm."


def test_tools_are_streamed_and_forced(client: Anthropic) -> None:
    with client.messages.stream(
        model=BASE, max_tokens=200, messages=[{"role": "user", "content": "both"}], tools=[WEATHER]
    ) as stream:
        inputs = [event.snapshot for event in stream if event.type == "input_json"]
        final = stream.get_final_message()
    assert inputs[-1] == {"city": "Rome"}
    assert [block.input for block in final.content if block.type == "tool_use"] == [
        {"city": "Bern"},
        {"city": "Rome"},
    ]
    for choice in ({"type": "any"}, {"type": "tool", "name": "get_weather"}):
        forced = ask(client, "no call", tools=[WEATHER], tool_choice=choice)
        assert forced.content[-1].type == "tool_use"


def test_a_schema_is_kept_to(client: Anthropic) -> None:
    parsed = client.messages.parse(
        model=BASE, max_tokens=200, messages=[{"role": "user", "content": "x"}], output_format=Weather
    )
    assert isinstance(parsed.parsed_output, Weather)


def test_tokens_are_counted_and_models_listed(client: Anthropic) -> None:
    assert client.messages.count_tokens(model=BASE, messages=ASKED).input_tokens == len("user: one")
    assert [model.id for model in client.models.list()] == [BASE, "tone", "pirate"]


def test_errors_are_the_clients_own(running: RunningEndpoint, client: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as unknown:
        client.messages.create(model="nobody", max_tokens=5, messages=ASKED)
    assert unknown.value.type == "not_found_error"
    with pytest.raises(anthropic.BadRequestError, match="top_k") as bad:
        client.messages.create(model=BASE, max_tokens=5, messages=ASKED, extra_body={"top_k": -1})
    assert bad.value.type == "invalid_request_error"
    with (
        Anthropic(base_url=running.url, api_key="wrong", max_retries=0) as stranger,
        pytest.raises(anthropic.AuthenticationError),
    ):
        ask(stranger, "hello")


async def test_the_async_client(running: RunningEndpoint) -> None:
    async with (
        AsyncAnthropic(base_url=running.url, auth_token=KEY, api_key=None, max_retries=0) as client,
        client.messages.stream(model=BASE, max_tokens=200, messages=ASKED) as stream,
    ):
        texts = [text async for text in stream.text_stream]
    assert "".join(texts) == CALL


def test_thoughts_are_thinking_blocks() -> None:
    def thinking() -> WatchedEngine:
        engine = maker(ToolFormat.HERMES)()
        engine.tokenizer.thought_marks = ThoughtMarks("<think>", "</think>")
        engine.script = {"think": "<think>\nOne, two.\n</think>\n\nThree."}
        return engine

    with (
        RunningEndpoint(ServerSettings(api_keys=KEYS, chat_page=False), thinking) as running,
        Anthropic(base_url=running.url, api_key=KEY, max_retries=0) as client,
        client.messages.stream(
            model=BASE,
            max_tokens=2000,
            messages=[{"role": "user", "content": "think"}],
            thinking={"type": "enabled", "budget_tokens": 1024},
        ) as stream,
    ):
        thought = "".join(event.thinking for event in stream if event.type == "thinking")
        final = stream.get_final_message()
    assert thought == "One, two."
    assert [block.type for block in final.content] == ["thinking", "text"]
