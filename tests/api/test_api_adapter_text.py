"""An adapter with a tokenizer, a template and tokens of its own, over the API, beside one that has none."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import openai
import pytest
from fastapi import FastAPI
from tests.api.endpoint_builder import BASE, KEY, KEYS
from tests.engine.test_engine_token_rows import train
from tests.engine.tiny_models import write_model
from transformers import AutoTokenizer

from remora.adapters.peft.base_shape import read_base
from remora.adapters.peft.inspect import inspect_adapter
from remora.adapters.registry import AdapterRegistry
from remora.engine.torch.engine import TorchEngine
from remora.server.app import create_app
from remora.server.settings import ServerSettings

TURNS: list[dict[str, str]] = [{"role": "user", "content": "hé"}]
CONTEXT = 256


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("own-text")
    base = write_model(root / "base", "llama")
    train(base, root / "chat", "resized")
    train(base, root / "plain", "plain")
    (root / "base" / "generation_config.json").write_text('{"eos_token_id": 256, "repetition_penalty": 1.1}')
    return root


@pytest.fixture(scope="module")
def app(folders: Path) -> Iterator[FastAPI]:
    base = read_base(folders / "base")
    adapters = [inspect_adapter(name, folders / name, base) for name in ("chat", "plain")]
    engine = TorchEngine.load(folders / "base", dtype="float32")
    for adapter in adapters:
        engine.load_adapter(adapter)
    settings = ServerSettings(api_keys=KEYS, chat_page=False)
    yield create_app(engine, AdapterRegistry(BASE, adapters), settings, base=base)
    engine.close()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {KEY}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as http:
        yield http


async def tokens(client: httpx.AsyncClient, model: str) -> list[int]:
    shown = await client.post("/tokenize", json={"model": model, "messages": TURNS})
    ids: list[int] = shown.json()["tokens"]
    return ids


async def test_what_a_prompt_is_depends_on_who_is_asked(client: httpx.AsyncClient, folders: Path) -> None:
    theirs = AutoTokenizer.from_pretrained(folders / "chat")
    expected = theirs.apply_chat_template(TURNS, add_generation_prompt=True, return_dict=False)
    assert await tokens(client, "chat") == list(expected)
    assert await tokens(client, "plain") == await tokens(client, BASE) != list(expected)
    said = (await client.post("/tokenize", json={"model": "chat", "prompt": "hi"})).json()["tokens"]
    for ends in (([260], [261]), ([], [])):
        spelt = {"model": "chat", "tokens": [*ends[0], *said, *ends[1]]}
        assert (await client.post("/detokenize", json=spelt)).json()["prompt"] == "hi"
    one = await client.post(
        "/tokenize", json={"model": "chat", "prompt": "<|im_end|>", "return_token_strs": True}
    )
    assert (one.json()["tokens"], one.json()["token_strs"]) == ([261], ["<|im_end|>"])


async def test_answers_are_counted_spelt_and_ended_in_its_tokens(client: httpx.AsyncClient) -> None:
    # It takes any client that httpx has, whatever its own annotation is made from.
    sdk = openai.AsyncOpenAI(api_key=KEY, base_url="http://test/v1", http_client=client)  # type: ignore[arg-type]
    for model in ("chat", "plain"):
        answer = await sdk.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "hé"}],
            max_completion_tokens=1,
            logit_bias={"261" if model == "chat" else "256": 100},
        )
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == len(await tokens(client, model))
        assert (answer.choices[0].finish_reason, answer.choices[0].message.content) == ("stop", "")
    stream = await sdk.chat.completions.create(
        model="chat",
        messages=[{"role": "user", "content": "hé"}],
        logit_bias={"260": 100},
        max_completion_tokens=3,
        logprobs=True,
        stream=True,
    )
    spelt = [
        entry.token
        async for chunk in stream
        if chunk.choices and chunk.choices[0].logprobs
        for entry in chunk.choices[0].logprobs.content or ()
    ]
    assert set(spelt) <= {"<|im_start|>"}
    with pytest.raises(openai.BadRequestError, match="only 260"):
        await sdk.chat.completions.create(
            model="plain", messages=[{"role": "user", "content": "hé"}], logit_bias={"261": 100}
        )


@pytest.mark.parametrize("model", ["chat", "plain", BASE])
async def test_a_format_is_kept_to_in_its_tokens(client: httpx.AsyncClient, model: str) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]}
    asked = {
        "type": "json_schema",
        "json_schema": {"name": "s", "schema": schema | {"additionalProperties": False}},
    }
    body = {"model": model, "messages": TURNS, "response_format": asked, "temperature": 0}
    answer = (await client.post("/v1/chat/completions", json=body)).json()
    assert json.loads(answer["choices"][0]["message"]["content"]) in ({"a": 1}, {"a": 2})
    assert answer["choices"][0]["finish_reason"] == "stop"


async def test_the_list_of_models_says_what_differs(client: httpx.AsyncClient) -> None:
    base, chat, plain = (await client.get("/v1/models")).json()["data"]
    assert base["generation_defaults"] == {"repetition_penalty": 1.1}
    assert plain["adapter"]["template"] == base["stack"]["template"] != chat["adapter"]["template"]
    assert chat["adapter"]["generation_defaults"] == {}


@pytest.mark.parametrize("free", [1, 5, 40])
async def test_a_completion_without_a_limit_takes_what_fits(client: httpx.AsyncClient, free: int) -> None:
    body = {"model": BASE, "prompt": [5] * (CONTEXT - free), "temperature": 0, "logit_bias": {"256": -100}}
    answer = await client.post("/v1/completions", json=body)
    assert answer.status_code == 200
    assert answer.json()["usage"]["completion_tokens"] == min(free, 16)
    too_long = await client.post("/v1/completions", json=body | {"max_tokens": free + 1})
    assert too_long.status_code == 400
    full = await client.post("/v1/completions", json=body | {"prompt": [5] * CONTEXT})
    assert full.status_code == 400
