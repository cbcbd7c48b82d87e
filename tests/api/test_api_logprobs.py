"""The shape of log-probabilities, in process; that the numbers are right is the engine's test."""

from __future__ import annotations

import httpx
import pytest
from tests.api.endpoint_builder import BASE
from tests.api.events import chunks_of

from remora.engine.base import TokenEvent
from remora.engine.echo import CHOSEN_LOGPROB, EchoTokenizer
from remora.server.generation.logprobs import chat_logprobs, completion_logprobs

CHAT = "/v1/chat/completions"
WORDS = [{"role": "user", "content": "né"}]


async def test_a_chat_answer_has_one_entry_for_each_token(client: httpx.AsyncClient) -> None:
    fields = {"model": BASE, "messages": WORDS, "logprobs": True, "top_logprobs": 2}
    choice = (await client.post(CHAT, json=fields)).json()["choices"][0]
    entries = choice["logprobs"]["content"]
    assert [entry["token"] for entry in entries] == ["n", "é"]
    assert [entry["bytes"] for entry in entries] == [[0x6E], [0xC3, 0xA9]]
    assert [entry["logprob"] for entry in entries] == [CHOSEN_LOGPROB] * 2
    assert [top["token"] for top in entries[0]["top_logprobs"]] == ["n", "o"]
    assert choice["logprobs"]["refusal"] is None


async def test_logprobs_alone_give_no_alternatives(client: httpx.AsyncClient) -> None:
    fields = {"model": BASE, "messages": WORDS, "logprobs": True}
    entries = (await client.post(CHAT, json=fields)).json()["choices"][0]["logprobs"]["content"]
    assert [entry["top_logprobs"] for entry in entries] == [[], []]


async def test_every_streamed_piece_has_the_entries_of_its_tokens(client: httpx.AsyncClient) -> None:
    fields = {"model": BASE, "messages": WORDS, "logprobs": True, "stream": True}
    choices = [chunk["choices"][0] for chunk in chunks_of(await client.post(CHAT, json=fields))]
    shown = [
        (choice["delta"]["content"], [entry["token"] for entry in choice["logprobs"]["content"]])
        for choice in choices
        if choice["logprobs"]
    ]
    assert shown == [("n", ["n"]), ("é", ["é"])]


async def test_what_a_stop_string_cuts_off_has_no_entry(client: httpx.AsyncClient) -> None:
    fields = {
        "model": BASE,
        "messages": [{"role": "user", "content": "one two"}],
        "logprobs": True,
        "stop": [" two"],
    }
    choice = (await client.post(CHAT, json=fields)).json()["choices"][0]
    assert choice["message"]["content"] == "one"
    assert [entry["token"] for entry in choice["logprobs"]["content"]] == ["o", "n", "e"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_completion_has_parallel_lists(client: httpx.AsyncClient, stream: bool) -> None:
    fields = {"model": "tone", "prompt": "ab", "logprobs": 2, "adapter_scale": 0.5, "stream": stream}
    answer = await client.post("/v1/completions", json=fields | {"max_tokens": 40})
    choices = [chunk["choices"][0] for chunk in chunks_of(answer)] if stream else answer.json()["choices"]
    text = "".join(choice["text"] for choice in choices)
    assert text == "3f9a12cd3f9a*0.5:ab"
    shown = [choice["logprobs"] for choice in choices if choice["logprobs"]]
    tokens = [token for each in shown for token in each["tokens"]]
    offsets = [offset for each in shown for offset in each["text_offset"]]
    assert [text[offset : offset + 1] for offset in offsets] == tokens
    assert [value for each in shown for value in each["token_logprobs"]] == [CHOSEN_LOGPROB] * len(text)
    assert shown[-1]["top_logprobs"][-1] == {"b": CHOSEN_LOGPROB, "c": -2.0}


def test_the_chosen_token_is_always_among_those_shown() -> None:
    token = TokenEvent(ord("z"), None, -9.0, ((ord("a"), -0.5),))
    assert completion_logprobs(EchoTokenizer(), [token], 7) == {
        "tokens": ["z"],
        "token_logprobs": [-9.0],
        "top_logprobs": [{"a": -0.5, "z": -9.0}],
        "text_offset": [7],
    }
    assert chat_logprobs(EchoTokenizer(), [token])["content"][0]["top_logprobs"][0]["token"] == "a"
