"""POST /tokenize and /detokenize, in vLLM's shape; and what every answer carries."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.api.endpoint_builder import BASE

TOOL = {"type": "function", "function": {"name": "f"}}


async def test_a_prompt_becomes_tokens_and_text_again(client: httpx.AsyncClient) -> None:
    fields = {"model": "tone", "prompt": "né", "add_special_tokens": True, "return_token_strs": True}
    shown = (await client.post("/tokenize", json=fields)).json()
    assert shown == {"count": 2, "max_model_len": 4096, "tokens": [110, 233], "token_strs": ["n", "é"]}
    back = await client.post("/detokenize", json={"model": "tone", "tokens": shown["tokens"]})
    assert back.json() == {"prompt": "né"}


async def test_a_conversation_becomes_the_tokens_that_the_model_sees(client: httpx.AsyncClient) -> None:
    messages = [{"role": "user", "content": "hello"}]
    shown = (
        await client.post("/tokenize", json={"model": BASE, "messages": messages, "tools": [TOOL]})
    ).json()
    asked = (await client.post("/v1/chat/completions", json={"model": BASE, "messages": messages})).json()
    assert shown["count"] == asked["usage"]["prompt_tokens"]
    assert shown["token_strs"] is None


@pytest.mark.parametrize(
    ("path", "fields", "status", "param"),
    [
        ("/tokenize", {}, 400, "prompt"),
        ("/tokenize", {"prompt": "x", "messages": [{"role": "user", "content": "x"}]}, 400, "prompt"),
        ("/tokenize", {"prompt": "x", "tools": [TOOL]}, 400, "tools"),
        (
            "/tokenize",
            {"messages": [{"role": "user", "content": "x"}], "add_special_tokens": True},
            400,
            "add_special_tokens",
        ),
        ("/tokenize", {"prompt": "x", "model": "nobody"}, 404, "model"),
        ("/detokenize", {"tokens": [-1]}, 400, "tokens[0]"),
        ("/detokenize", {"tokens": [1], "model": "nobody"}, 404, "model"),
    ],
)
async def test_bad_questions_are_refused(
    client: httpx.AsyncClient, path: str, fields: dict[str, Any], status: int, param: str
) -> None:
    answer = await client.post(path, json={"model": BASE, **fields})
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
async def test_they_need_the_key(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, json={}, headers={"authorization": "Bearer no"})
    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/v1/models", "/v1/nowhere", "/healthz"])
async def test_every_answer_says_who_it_is_and_how_long_it_took(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["x-request-id"]
    assert float(headers["x-remora-time-ms"]) >= 0
