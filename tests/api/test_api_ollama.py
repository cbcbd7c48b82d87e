"""Ollama's API: driven by Ollama's own client, and what it refuses on the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from ollama import AsyncClient, Client, ResponseError
from pydantic import BaseModel
from tests.api.endpoint_builder import (
    ADMIN_KEYS,
    BASE,
    KEY,
    KEYS,
    TONE_DIGEST,
    DyingEngine,
    RunningEndpoint,
    WatchedEngine,
    build_app,
    echo_engine,
)

from remora.engine.base import ThoughtMarks
from remora.engine.echo import EchoEngine
from remora.server.access.admission import Admission
from remora.server.settings import ServerSettings

ON = ServerSettings(api_keys=KEYS, admin_keys=ADMIN_KEYS, chat_page=False, ollama=True)
HEADERS = {"Authorization": f"Bearer {KEY}"}
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Bern"}}\n</tool_call>'


def get_weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: Which city.

    Returns:
        What it is like.
    """
    return f"warm in {city}"


class Weather(BaseModel):
    city: str


def scripted_engine() -> WatchedEngine:
    engine = echo_engine()
    engine.tokenizer.thought_marks = ThoughtMarks("<think>", "</think>")
    engine.tokenizer.template_names = frozenset({"enable_thinking"})
    engine.script = {
        "weather": f"I look.\n{CALL}",
        "tool: warm in Bern": "It is warm.",
        "think": f"<think>\nMaybe {CALL}?\n</think>\n\nDone.",
    }
    return engine


@pytest.fixture(scope="module")
def running() -> Iterator[RunningEndpoint]:
    with RunningEndpoint(ON, scripted_engine) as endpoint:
        yield endpoint


@pytest.fixture
def client(running: RunningEndpoint) -> Iterator[Client]:
    with Client(host=running.url, headers=HEADERS) as made:
        yield made


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def test_models_are_listed_and_shown(client: Client) -> None:
    base, tone, _ = client.list().models
    assert (base.model, tone.model, tone.digest) == (BASE, "tone", TONE_DIGEST)
    assert tone.details is not None
    assert tone.details.parent_model == BASE
    shown = client.show("tone:latest")
    assert shown.capabilities == ["completion", "tools", "thinking"]
    assert shown.modelinfo is not None
    assert shown.modelinfo["model.context_length"] == 4096
    with pytest.raises(ResponseError, match="nobody") as unknown:
        client.show("nobody")
    assert unknown.value.status_code == 404


def test_a_chat_whole_and_streamed(client: Client) -> None:
    options = {"temperature": 0, "num_ctx": 8192, "num_predict": 20, "stop": [" c"], "seed": 1}
    whole = client.chat("tone:latest", said("a b c d"), options=options)
    assert whole.message.content == f"{TONE_DIGEST[:12]}:a b"
    assert (whole.done, whole.done_reason) == (True, "stop")
    assert whole.prompt_eval_count == len("user: a b c d")
    assert whole.eval_duration is not None
    parts = list(client.chat(BASE, said("abc"), stream=True))
    assert "".join(part.message.content or "" for part in parts) == "abc"
    assert [part.done for part in parts] == [False, False, False, True]
    assert parts[-1].eval_count == len("abc") + 1
    cut = client.chat(BASE, said("abc"), options={"num_predict": 2})
    assert (cut.message.content, cut.done_reason) == ("ab", "length")


def test_tools_there_and_back(client: Client) -> None:
    messages: list[Any] = said("weather")
    answer = client.chat(BASE, messages, tools=[get_weather])
    assert answer.message.tool_calls is not None
    (call,) = answer.message.tool_calls
    assert (call.function.name, call.function.arguments) == ("get_weather", {"city": "Bern"})
    result = {"role": "tool", "tool_name": "get_weather", "content": get_weather(**call.function.arguments)}
    again = client.chat(BASE, [*messages, answer.message, result], tools=[get_weather])
    assert again.message.content == "It is warm."
    streamed = list(client.chat(BASE, messages, tools=[get_weather], stream=True))
    calls = [call for part in streamed for call in part.message.tool_calls or ()]
    assert [call.function.arguments for call in calls] == [{"city": "Bern"}]


def test_thoughts_are_split_off_and_switched(client: Client) -> None:
    for think in (None, True):
        answer = client.chat(BASE, said("think"), think=think, tools=[get_weather])
        assert (answer.message.thinking, answer.message.content) == (f"Maybe {CALL}?", "Done.")
        assert answer.message.tool_calls is None
    assert client.chat(BASE, said("think"), think=False).message.thinking is None
    parts = list(client.generate(BASE, "think", stream=True))
    assert "".join(part.thinking or "" for part in parts) == f"Maybe {CALL}?"


def test_text_is_generated(client: Client) -> None:
    assert client.generate(BASE, "hello", system="Be kind.").response == "hello"
    raw = client.generate(BASE, "plain", raw=True)
    assert (raw.response, raw.prompt_eval_count) == ("plain", len("plain"))
    assert "".join(part.response or "" for part in client.generate(BASE, "abc", stream=True)) == "abc"
    loaded = client.generate("tone", "")
    assert (loaded.response, loaded.done_reason) == ("", "load")


def test_formats_and_logprobs(client: Client) -> None:
    answer = client.chat(BASE, said("x"), format=Weather.model_json_schema())
    assert Weather.model_validate_json(answer.message.content or "")
    assert isinstance(json.loads(client.generate(BASE, "x", format="json").response or ""), dict)
    scored = client.chat(BASE, said("ab"), logprobs=True, top_logprobs=2)
    assert scored.logprobs is not None
    assert [entry.token for entry in scored.logprobs] == ["a", "b"]


async def test_the_async_client(running: RunningEndpoint) -> None:
    async with AsyncClient(host=running.url, headers=HEADERS) as client:
        parts = await client.chat(BASE, said("abc"), stream=True)
        assert "".join([part.message.content or "" async for part in parts]) == "abc"


def test_errors_are_the_clients_own(running: RunningEndpoint, client: Client) -> None:
    with (
        Client(host=running.url) as nobody,
        pytest.raises(ResponseError, match="no API key was sent") as stranger,
    ):
        nobody.list()
    assert stranger.value.status_code == 401
    with pytest.raises(ResponseError, match="'nobody' does not exist"):
        list(client.chat("nobody", said("x"), stream=True))
    with pytest.raises(ResponseError, match=r"options\.mirostat"):
        client.chat(BASE, said("x"), options={"mirostat": 2})
    with pytest.raises(ResponseError, match="there is no POST /api/pull"):
        client.pull("x")


def test_a_client_that_goes_away_stops_the_engine(running: RunningEndpoint) -> None:
    before = running.stats().cancelled_requests
    running.hold_after(3)
    body = {"model": BASE, "messages": said("x" * 500)}
    with httpx.stream("POST", f"{running.url}/api/chat", json=body, headers=HEADERS, timeout=300) as answer:
        first = json.loads(next(answer.iter_lines()))
        assert first["message"]["content"] == "x"
    running.release()
    assert running.until(lambda stats: stats.running_requests == 0).cancelled_requests == before + 1


async def post(path: str, body: Any, engine: EchoEngine | None = None, **kept: Any) -> httpx.Response:
    app = build_app(engine or scripted_engine(), kept.get("settings", ON), kept.get("admission"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        return await http.post(path, json=body, headers=HEADERS)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"messages": [{"role": "user", "content": "x", "images": ["aGk="]}]}, "messages[0].images"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "messages[0].role"),
        ({"options": {"num_predict": 0}}, "options.num_predict"),
        ({"options": {"tfs_z": 0.5}}, "options.tfs_z"),
        ({"options": {"unknown": 1}}, "options.unknown"),
        ({"format": "yaml"}, "format"),
        ({"template": "{{ .Prompt }}"}, "template"),
        ({"think": "high"}, "think"),
        ({"model": None}, "model"),
    ],
)
async def test_what_is_refused_is_named(fields: dict[str, Any], named: str) -> None:
    answer = await post("/api/chat", {"model": BASE, "messages": said("x"), **fields})
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["error"]
    assert named in answer.json()["error"]


async def test_the_doors_are_those_of_every_route() -> None:
    body = {"model": BASE, "messages": said("x")}
    full = await post("/api/chat", body, admission=Admission(0))
    assert (full.status_code, full.headers["retry-after"]) == (429, "1")
    small = ServerSettings(api_keys=KEYS, chat_page=False, ollama=True, max_body_bytes=10)
    assert (await post("/api/generate", body, settings=small)).status_code == 413
    failed = await post("/api/chat", body, DyingEngine())
    lines = failed.text.splitlines()
    assert list(json.loads(lines[-1])) == ["error"]
    assert failed.headers["content-type"] == "application/x-ndjson"


async def test_without_the_switch_there_is_no_such_route() -> None:
    off = ServerSettings(api_keys=KEYS, chat_page=False)
    answer = await post("/api/chat", {"model": BASE, "messages": said("x")}, settings=off)
    assert answer.status_code == 404
    assert "[serve] ollama = true" in answer.json()["error"]
