"""The openai client, unmodified, over real HTTP: every way that it offers to call each of our routes.

Sync and async, loose and with strict checking of the answer, parsed and raw, whole and streamed; and its
helpers that put streams together, which raise where an event is missing or out of order.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, OpenAI
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam
from openai.types.responses import FunctionToolParam
from pydantic import BaseModel
from tests.api.endpoint_builder import BASE, KEY, KEYS, TONE_DIGEST, RunningEndpoint

from remora.server.settings import ServerSettings

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CHAT_TOOL: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": PARAMETERS, "strict": True},
}
TOOL: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "parameters": PARAMETERS,
    "strict": True,
}


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with RunningEndpoint(ServerSettings(api_keys=KEYS, chat_page=False)) as endpoint:
        yield f"{endpoint.url}/v1"


@pytest.fixture(params=[False, True], ids=["loose", "strict"])
def client(url: str, request: pytest.FixtureRequest) -> Iterator[OpenAI]:
    with OpenAI(
        base_url=url, api_key=KEY, max_retries=0, _strict_response_validation=request.param
    ) as openai_client:
        yield openai_client


@pytest.fixture(params=[False, True], ids=["loose", "strict"])
async def async_client(url: str, request: pytest.FixtureRequest) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=url, api_key=KEY, max_retries=0, _strict_response_validation=request.param
    ) as openai_client:
        yield openai_client


def test_chat_with_all_that_is_supported(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="tone",
        messages=[{"role": "developer", "content": "be brief"}, *HELLO],
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        logit_bias={"104": 5},
        logprobs=True,
        top_logprobs=2,
        max_completion_tokens=30,
        metadata={"a": "b"},
        n=2,
        parallel_tool_calls=True,
        response_format={"type": "text"},
        seed=-9007199254740991,
        service_tier="auto",
        stop=["\n"],
        store=False,
        temperature=0.5,
        tool_choice="none",
        tools=[CHAT_TOOL],
        top_p=0.9,
        user="someone",
        extra_body={"adapter_scale": 0.5, "top_k": 20},
    )
    assert [choice.message.content for choice in answer.choices] == ["3f9a12cd3f9a*0.5:hello"] * 2
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.content is not None
    assert len(answer.choices[0].logprobs.content[0].top_logprobs) == 2


def test_raw_and_streaming_responses(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="tone", messages=HELLO)
    assert raw.headers["x-remora-adapter-digest"] == TONE_DIGEST
    assert raw.request_id == raw.headers["x-request-id"]
    assert raw.parse().choices[0].finish_reason == "stop"
    with client.chat.completions.with_streaming_response.create(model=BASE, messages=HELLO) as streaming:
        assert streaming.parse().choices[0].message.content == "hello"


def test_a_chat_stream_is_put_together(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model=BASE, messages=HELLO, n=2, logprobs=True, stream_options={"include_usage": True}
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done", "logprobs.content.delta"} <= kinds
    assert [choice.message.content for choice in final.choices] == ["hello", "hello"]
    assert final.usage is not None


def test_a_streamed_call_is_put_together(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model=BASE, messages=HELLO, tools=[CHAT_TOOL], tool_choice="required"
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].function.parsed_arguments == {"city": ""}
    assert final.choices[0].finish_reason == "tool_calls"


def test_an_answer_is_parsed_into_a_type(client: OpenAI) -> None:
    parsed = client.chat.completions.parse(model=BASE, messages=HELLO, response_format=Person)
    assert parsed.choices[0].message.parsed == Person(name="", age=0)
    response = client.responses.parse(model=BASE, input="hello", text_format=Person)
    assert response.output_parsed == Person(name="", age=0)


def test_completions(client: OpenAI) -> None:
    answer = client.completions.create(
        model=BASE,
        prompt=[[104, 105], [111, 107]],
        best_of=2,
        echo=True,
        frequency_penalty=1,
        logit_bias={"104": -100},
        max_tokens=5,
        n=1,
        presence_penalty=1,
        seed=1,
        stop="\n",
        stream=False,
        temperature=1,
        top_p=1,
        user="someone",
    )
    assert [choice.text for choice in answer.choices] == ["hihi", "okok"]
    probable = client.completions.create(model=BASE, prompt="hi", logprobs=2)
    assert probable.choices[0].logprobs is not None
    assert probable.choices[0].logprobs.tokens == ["h", "i"]


def test_responses_live_and_go(client: OpenAI) -> None:
    first = client.responses.create(model="tone", input="hello", instructions="be kind", store=True)
    assert first.output_text == "3f9a12cd3f9a:hello"
    assert client.responses.retrieve(first.id).output_text == first.output_text
    second = client.responses.create(model=BASE, input="more", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    client.responses.delete(first.id)
    with pytest.raises(NotFoundError):
        client.responses.retrieve(first.id)


def test_a_response_stream_is_put_together(client: OpenAI) -> None:
    with client.responses.stream(model=BASE, input="hello", tools=[TOOL], tool_choice="required") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    call = final.output[0]
    assert call.type == "function_call"
    assert json.loads(call.arguments) == {"city": ""}


def test_models_are_listed_and_shown(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert names == [BASE, "tone", "pirate"]
    shown: Any = client.models.retrieve("tone")
    assert shown.adapter["digest"] == TONE_DIGEST


def test_what_is_refused_is_named(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.chat.completions.create(model=BASE, messages=HELLO, reasoning_effort="high")
    assert (caught.value.param, caught.value.code) == ("reasoning_effort", "unsupported_parameter")


async def test_the_async_client_does_the_same(async_client: AsyncOpenAI) -> None:
    answer = await async_client.chat.completions.create(model=BASE, messages=HELLO)
    assert answer.choices[0].message.content == "hello"
    stream = await async_client.chat.completions.create(model=BASE, messages=HELLO, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "hello"
    text = await async_client.completions.create(model=BASE, prompt="hello")
    assert text.choices[0].text == "hello"
    raw = await async_client.responses.with_raw_response.create(model=BASE, input="hello")
    assert raw.parse().output_text == "hello"
    events = await async_client.responses.create(model=BASE, input="hello", stream=True)
    assert [event.type async for event in events][-1] == "response.completed"
    async with async_client.chat.completions.with_streaming_response.create(
        model=BASE, messages=HELLO
    ) as streaming:
        assert (await streaming.parse()).choices[0].message.content == "hello"
    assert [model.id async for model in async_client.models.list()] == [BASE, "tone", "pirate"]
