"""GET /metrics and the dashboard over it: what is counted, who may see it, how much there can be of it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.api.endpoint_builder import ADAPTERS, BASE, DEADLINE_SECONDS, KEY, KEYS, WatchedEngine, build_app

from remora.adapters.adapter import Digest
from remora.adapters.registry import AdapterRegistry
from remora.engine.base import EngineStats
from remora.engine.echo import EchoEngine
from remora.server.app import create_app
from remora.server.settings import ServerSettings
from remora.server.telemetry.metrics import MOST_MODELS
from remora.server.telemetry.plain_histogram import PlainHistogram

PATH = "/v1/chat/completions"
DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "remora.json"
BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scrape(client: httpx.AsyncClient) -> Samples:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


async def test_requests_tokens_and_times_are_counted(client: httpx.AsyncClient) -> None:
    await client.post(PATH, json={"model": "tone", **BODY})
    await client.post(PATH, json={"model": BASE, **BODY})
    await client.post(PATH, json={"model": "nobody", **BODY})
    await client.get("/v1/models/tone")
    seen = await scrape(client)
    assert seen[key("remora_requests_total", route=PATH, method="POST", status="200")] == 2
    assert seen[key("remora_requests_total", route=PATH, method="POST", status="404")] == 1
    assert (
        seen[key("remora_requests_total", route="/v1/models/{model:path}", method="GET", status="200")] == 1
    )
    assert seen[key("remora_key_requests_total", key="tests")] == 4
    assert seen[key("remora_answers_total", model="tone", finish_reason="stop")] == 1
    assert seen[key("remora_prompt_tokens_total", model="tone")] == 11
    assert seen[key("remora_completion_tokens_total", model="tone")] == 19
    assert seen[key("remora_completion_tokens_total", model=BASE)] == 6
    assert seen[key("remora_time_to_first_token_seconds_count", model="tone")] == 1
    assert seen[key("remora_inter_token_seconds_count")] == 18 + 5
    assert seen[key("remora_request_seconds_count", route=PATH)] == 3
    assert seen[key("remora_engine_alive")] == 1
    assert seen[key("remora_engine_tokens_total")] == 25
    assert seen[key("remora_adapters_loaded")] == 2


async def test_the_kubernetes_gateway_sees_which_adapters_are_busy(
    client: httpx.AsyncClient, engine: WatchedEngine
) -> None:
    assert lora(await scrape(client)) == {
        "max_lora": "2",
        "running_lora_adapters": "",
        "waiting_lora_adapters": "",
    }
    engine.hold()
    waiting = asyncio.create_task(client.post(PATH, json={"model": "tone", **BODY}))
    await until(lambda: engine.stats().running_requests == 1)
    assert lora(await scrape(client))["waiting_lora_adapters"] == "tone"
    engine.hold_after(3)
    engine.release()
    await until(lambda: engine.stats().generated_tokens == 3)
    seen = await scrape(client)
    assert lora(seen)["running_lora_adapters"] == "tone"
    assert lora(seen)["waiting_lora_adapters"] == ""
    assert seen[key("remora_open_requests")] == 1
    engine.release()
    assert (await waiting).status_code == 200
    assert lora(await scrape(client))["running_lora_adapters"] == ""


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not reached():  # noqa: ASYNC110 - the engine has no event for it
            await asyncio.sleep(0)


def lora(seen: Samples) -> dict[str, str]:
    (labels,) = [dict(labels) for name, labels in seen if name == "vllm:lora_requests_info"]
    return labels


async def test_what_is_refused_at_the_door_is_counted_too(engine: EchoEngine) -> None:
    app = build_app(engine, ServerSettings(api_keys=KEYS, chat_page=False, max_open_requests=0))
    headers = {"authorization": f"Bearer {KEY}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=headers) as client:
        await client.post(PATH, json={"model": BASE, **BODY})
        await client.get("/made/up/by/a/client")
        seen = await scrape(client)
    assert seen[key("remora_requests_total", route=PATH, method="POST", status="429")] == 1
    assert seen[key("remora_requests_total", route="page", method="GET", status="404")] == 1
    assert seen[key("remora_open_requests_limit")] == 0


@pytest.mark.parametrize(
    ("settings", "authorization", "status"),
    [
        (ServerSettings(api_keys=KEYS, chat_page=False), f"Bearer {KEY}", 200),
        (ServerSettings(api_keys=KEYS, chat_page=False), "", 401),
        (ServerSettings(api_keys=KEYS, chat_page=False).with_serve({"metrics": "open"}), "", 200),
        (ServerSettings(chat_page=False), "", 200),
    ],
)
async def test_who_may_see_the_metrics(
    engine: EchoEngine, settings: ServerSettings, authorization: str, status: int
) -> None:
    transport = httpx.ASGITransport(build_app(engine, settings))
    headers = {"authorization": authorization} if authorization else {}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        assert (await client.get("/metrics")).status_code == status


async def test_names_beyond_the_first_are_counted_together(engine: EchoEngine) -> None:
    adapters = [renamed(ADAPTERS[0], f"a{number}") for number in range(MOST_MODELS + 5)]
    settings = ServerSettings(api_keys=KEYS, chat_page=False)
    app = create_app(engine, AdapterRegistry(BASE, adapters), settings)
    headers = {"authorization": f"Bearer {KEY}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=headers) as client:
        for adapter in adapters:
            body = {"model": adapter.name, "max_tokens": 1, **BODY}
            assert (await client.post(PATH, json=body)).status_code == 200
        seen = await scrape(client)
    models = [dict(labels)["model"] for name, labels in seen if name == "remora_prompt_tokens_total"]
    assert len(models) == MOST_MODELS + 1
    assert seen[key("remora_prompt_tokens_total", model="other")] == 5 * 11


def renamed(adapter: Any, name: str) -> Any:
    return type(adapter)(
        name,
        adapter.path,
        Digest(adapter.digest),
        adapter.settings,
        modules=adapter.modules,
        size_bytes=adapter.size_bytes,
    )


class SteplessEngine(EchoEngine):
    """As vLLM, which does not tell its steps."""

    def stats(self) -> EngineStats:
        return replace(super().stats(), steps=None)


async def test_what_an_engine_does_not_know_is_no_metric() -> None:
    app = build_app(SteplessEngine(), ServerSettings(chat_page=False))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        names = {name for name, _ in await scrape(client)}
    assert "remora_engine_tokens_total" in names
    assert "remora_engine_steps_total" not in names


class GuessingEngine(EchoEngine):
    """As the torch engine, which guesses tokens."""

    def stats(self) -> EngineStats:
        return replace(super().stats(), drafted_tokens=7, accepted_tokens=5)


async def test_guesses_and_how_many_were_right_are_counted() -> None:
    app = build_app(GuessingEngine(), ServerSettings(chat_page=False))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        seen = await scrape(client)
    assert seen[key("remora_engine_drafted_tokens_total")] == 7
    assert seen[key("remora_engine_accepted_tokens_total")] == 5


def test_a_plain_histogram_counts_as_prometheus_does() -> None:
    histogram = PlainHistogram("h", "text", (0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 3.0):
        histogram.observe(value)
    (family,) = histogram.collect()
    values = {(sample.name, sample.labels.get("le", "")): sample.value for sample in family.samples}
    assert values[("h_bucket", "0.1")] == 2
    assert values[("h_bucket", "1.0")] == 3
    assert values[("h_bucket", "+Inf")] == values[("h_count", "")] == 4
    assert values[("h_sum", "")] == pytest.approx(3.65)


async def test_every_metric_of_the_dashboard_exists(client: httpx.AsyncClient) -> None:
    await client.post(PATH, json={"model": "tone", **BODY})
    names = {name for name, _ in await scrape(client)}
    asked = {name for query in queries(json.loads(DASHBOARD.read_text())) for name in METRIC.findall(query)}
    assert len(asked) > 10
    assert asked <= names


METRIC = re.compile(r"\b(?:remora|vllm|process)[a-z_:]+")


def queries(node: Any) -> Iterator[str]:
    """Every PromQL expression in a dashboard."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name in {"expr", "query"} and isinstance(value, str):
                yield value
            else:
                yield from queries(value)
    elif isinstance(node, list):
        for item in node:
            yield from queries(item)
