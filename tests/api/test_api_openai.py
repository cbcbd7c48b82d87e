"""The openai client over real HTTP: what it understands, which errors it raises, and giving up."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from tests.api.endpoint_builder import BASE, KEY, KEYS, DyingEngine, RunningEndpoint

from remora.server.settings import ServerSettings


@pytest.fixture
def client(endpoint: RunningEndpoint) -> Iterator[OpenAI]:
    with OpenAI(
        base_url=f"{endpoint.url}/v1", api_key=KEY, max_retries=0, _strict_response_validation=True
    ) as openai_client:
        yield openai_client


def ask(client: OpenAI, text: str, model: str = BASE) -> str | None:
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])
    return answer.choices[0].message.content


def test_a_chat_answer(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="tone", messages=[{"role": "user", "content": "hello"}], temperature=0, seed=1
    )
    assert answer.choices[0].message.content == "3f9a12cd3f9a:hello"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 30
    assert answer.system_fingerprint == "tone@3f9a12cd3f9a"


def test_a_streamed_chat_answer(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="tone",
        messages=[{"role": "user", "content": "hello"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "3f9a12cd3f9a:hello"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 19


async def test_the_async_client(endpoint: RunningEndpoint) -> None:
    async with AsyncOpenAI(base_url=f"{endpoint.url}/v1", api_key=KEY, max_retries=0) as client:
        answer = await client.chat.completions.create(
            model=BASE, messages=[{"role": "user", "content": "hello"}]
        )
        assert answer.choices[0].message.content == "hello"
        stream = await client.chat.completions.create(
            model=BASE, messages=[{"role": "user", "content": "hello"}], stream=True
        )
        assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "hello"


def test_completions_and_models(client: OpenAI) -> None:
    assert client.completions.create(model=BASE, prompt="hello").choices[0].text == "hello"
    assert [model.id for model in client.models.list()] == [BASE, "tone", "pirate"]
    assert client.models.retrieve(f"{BASE}:tone").id == "tone"


def test_a_streamed_completion(endpoint: RunningEndpoint) -> None:
    """Not checked strictly: OpenAI's own schema has no null reason, but its own streams do."""
    with OpenAI(base_url=f"{endpoint.url}/v1", api_key=KEY, max_retries=0) as client:
        stream = client.completions.create(model=BASE, prompt="hello", stream=True)
        assert "".join(chunk.choices[0].text for chunk in stream) == "hello"


def test_errors_are_the_clients_own_types(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        ask(client, "hello", model="nobody")
    assert missing.value.code == "model_not_found"
    assert missing.value.param == "model"
    assert missing.value.request_id is not None
    with pytest.raises(openai.BadRequestError) as long:
        ask(client, "x" * 5000)
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as zero:
        client.completions.create(model=BASE, prompt="x", max_tokens=0)
    assert zero.value.param == "max_tokens"
    with pytest.raises(openai.AuthenticationError) as unknown:
        ask(client.with_options(api_key="wrong"), "hello")
    assert unknown.value.code == "invalid_api_key"


def test_an_engine_that_dies_in_the_middle_ends_the_stream_with_an_error() -> None:
    settings = ServerSettings(api_keys=KEYS, chat_page=False)
    with (
        RunningEndpoint(settings, DyingEngine) as endpoint,
        OpenAI(base_url=f"{endpoint.url}/v1", api_key=KEY, max_retries=0) as client,
    ):
        stream = client.completions.create(model=BASE, prompt="hello", stream=True)
        assert [next(stream).choices[0].text, next(stream).choices[0].text] == ["h", "e"]
        with pytest.raises(openai.APIError, match="the device is gone"):
            next(stream)
        with pytest.raises(openai.InternalServerError, match="the device is gone"):
            client.completions.create(model=BASE, prompt="hello")


def test_closing_a_stream_stops_the_engine(endpoint: RunningEndpoint, client: OpenAI) -> None:
    endpoint.hold()
    stream = client.chat.completions.create(
        model=BASE, messages=[{"role": "user", "content": "hello" * 100}], stream=True
    )
    first = next(stream)
    assert first.choices[0].delta.role == "assistant"
    endpoint.until(lambda stats: stats.running_requests == 1)
    stream.close()
    stopped = endpoint.until(lambda stats: stats.cancelled_requests == 1)
    endpoint.release()
    assert ask(client, "x") == "x"  # goes on for others
    after = endpoint.stats()
    assert (stopped.steps, after.steps, after.running_requests) == (0, 2, 0)


def test_giving_up_on_a_whole_answer_stops_the_engine(endpoint: RunningEndpoint) -> None:
    endpoint.hold()
    request = (
        f"POST /v1/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
        "content-type: application/json\r\ncontent-length: {}\r\n\r\n{}"
    )
    body = f'{{"model": "{BASE}", "prompt": "hello"}}'
    host, _, port = endpoint.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(request.format(len(body), body).encode())
        endpoint.until(lambda stats: stats.running_requests == 1)
    stopped = endpoint.until(lambda stats: stats.cancelled_requests == 1)
    assert (stopped.steps, stopped.running_requests) == (0, 0)


def test_a_silent_stream_is_kept_alive() -> None:
    settings = ServerSettings(api_keys=KEYS, chat_page=False, keep_alive_seconds=0.01)
    body = {"model": BASE, "prompt": "hello", "stream": True}
    headers = {"authorization": f"Bearer {KEY}"}
    with RunningEndpoint(settings) as endpoint:
        endpoint.hold()
        with httpx.stream("POST", f"{endpoint.url}/v1/completions", json=body, headers=headers) as answer:
            lines = answer.iter_lines()
            assert next(line for line in lines if line) == ": waiting"
            endpoint.release()
            assert [line for line in lines if line.startswith("data:")][-1] == "data: [DONE]"
