"""Several choices and several prompts: their order, seeds, counts and endings."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from tests.api.endpoint_builder import BASE, DyingEngine, WatchedEngine, build_app, echo_engine
from tests.api.events import chunks_of

from remora.engine.base import GenerationRequest, TokenStream
from remora.server.settings import ServerSettings

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
HELLO = [{"role": "user", "content": "hello"}]


class SeedKeeper(WatchedEngine):
    """Remembers the requests."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[GenerationRequest] = []

    def submit(self, request: GenerationRequest) -> TokenStream:
        self.requests.append(request)
        return super().submit(request)


async def test_choices_are_numbered_and_share_the_prompt(client: httpx.AsyncClient) -> None:
    answer = (await client.post(CHAT, json={"model": BASE, "messages": HELLO, "n": 3})).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in answer["choices"]} == {"hello"}
    assert answer["usage"] == {
        "prompt_tokens": 11,
        "completion_tokens": 18,
        "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


async def test_streamed_choices_come_side_by_side(client: httpx.AsyncClient) -> None:
    fields = {
        "model": "tone", "messages": HELLO, "n": 2, "stream": True, "stream_options": {"include_usage": True}
    }  # fmt: skip
    chunks = chunks_of(await client.post(CHAT, json=fields))
    texts = {0: "", 1: ""}
    for chunk in chunks[:-1]:
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["delta"].get("content", "")
    assert texts == {0: "3f9a12cd3f9a:hello", 1: "3f9a12cd3f9a:hello"}
    indexes = [chunk["choices"][0]["index"] for chunk in chunks[:-1]]
    assert 1 in indexes[: len(indexes) // 2]
    ended = [chunk["choices"][0]["index"] for chunk in chunks[:-1] if chunk["choices"][0]["finish_reason"]]
    assert sorted(ended) == [0, 1]
    assert ["remora" in chunk for chunk in chunks[-3:]] == [False, True, False]
    assert chunks[-1]["usage"]["completion_tokens"] == 38


async def test_every_choice_has_a_seed_of_its_own_and_the_prompt_is_made_once() -> None:
    engine = SeedKeeper()
    transport = httpx.ASGITransport(build_app(engine, ServerSettings(chat_page=False)))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        await http.post(CHAT, json={"model": BASE, "messages": HELLO, "n": 3, "seed": 2**63 - 2})
        await http.post(CHAT, json={"model": BASE, "messages": HELLO, "n": 2})
    assert [request.sampling.seed for request in engine.requests] == [2**63 - 2, 2**63 - 1, 0, None, None]
    first = engine.requests[0]
    assert all(request.prompt_ids is first.prompt_ids for request in engine.requests[:3])


async def test_several_prompts_are_answered_in_their_order(client: httpx.AsyncClient) -> None:
    fields = {"model": BASE, "prompt": ["one", "two"], "n": 2, "echo": True}
    answer = (await client.post(TEXT, json=fields)).json()
    assert [choice["text"] for choice in answer["choices"]] == ["oneone", "oneone", "twotwo", "twotwo"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert answer["usage"]["prompt_tokens"] == 6
    chunks = chunks_of(await client.post(TEXT, json={**fields, "stream": True}))
    texts = ["", "", "", ""]
    for chunk in chunks:
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert texts == ["oneone", "oneone", "twotwo", "twotwo"]


@pytest.mark.parametrize("prompt", [[104, 105], [[104, 105]]])
async def test_a_prompt_may_be_tokens(client: httpx.AsyncClient, prompt: list[object]) -> None:
    answer = (await client.post(TEXT, json={"model": BASE, "prompt": prompt, "echo": True})).json()
    assert answer["choices"][0]["text"] == "hihi"
    assert answer["usage"]["prompt_tokens"] == 2


async def test_tokens_that_are_no_characters_do_no_harm(client: httpx.AsyncClient) -> None:
    answer = await client.post(TEXT, json={"model": BASE, "prompt": [0xD800, 2**31 - 1], "echo": True})
    assert answer.json()["choices"][0]["text"] == "\ufffd\ufffd"


async def test_the_best_of_several_are_given(client: httpx.AsyncClient) -> None:
    fields = {"model": BASE, "prompt": "x", "n": 2, "best_of": 4}
    answer = (await client.post(TEXT, json=fields)).json()
    assert len(answer["choices"]) == 2
    assert answer["choices"][0]["logprobs"] is None
    assert answer["usage"]["completion_tokens"] == 8  # all four were made


@pytest.mark.parametrize("stream", [False, True])
async def test_a_choice_that_fails_fails_the_answer(stream: bool) -> None:
    transport = httpx.ASGITransport(build_app(DyingEngine(), ServerSettings(chat_page=False)))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        fields = {"model": BASE, "messages": HELLO, "n": 3, "stream": stream}
        answer = await http.post(CHAT, json=fields)
    assert answer.status_code == (200 if stream else 503)
    assert "the device is gone" in answer.text
    assert "[DONE]" in answer.text or not stream


async def test_a_client_that_goes_away_stops_all_choices() -> None:
    engine = echo_engine()
    engine.hold()
    transport = httpx.ASGITransport(build_app(engine, ServerSettings(chat_page=False)))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        fields = {"model": BASE, "messages": HELLO, "n": 3}
        asking = asyncio.create_task(http.post(CHAT, json=fields))
        async with asyncio.timeout(120):
            while engine.stats().running_requests < 3:  # noqa: ASYNC110 - the engine has no event for it
                await asyncio.sleep(0)
            asking.cancel()
            while engine.stats().running_requests:  # noqa: ASYNC110
                await asyncio.sleep(0)
    assert engine.stats().cancelled_requests == 3
