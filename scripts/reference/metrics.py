"""`reference/metrics.md`: every series of `/metrics`, as an endpoint over the scripted engine tells it."""

from __future__ import annotations

import asyncio

import httpx
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from scripts.reference.table import code, table

from remora.adapters.registry import AdapterRegistry
from remora.engine.echo import EchoEngine
from remora.project.api_keys import ApiKey
from remora.server.app import create_app
from remora.server.settings import ServerSettings
from remora.server.supervision import BackgroundTask, Supervisor
from remora.server.telemetry.metrics import MOST_MODELS

HEAD = f"""# Metrics

What `GET /metrics` tells Prometheus. Made from the code by `make docs`. The route asks for an API key,
unless `metrics = "open"` is under `[serve]` in `remora.toml`. `deploy/grafana/remora.json` is a dashboard
over these series.

```sh
curl --fail --silent --show-error "${{OPENAI_BASE_URL%/v1}}/metrics" \\
  -H "Authorization: Bearer $OPENAI_API_KEY"
```

The first {MOST_MODELS} models that are asked for have series of their own; later ones are counted as
`other`. Besides these there are the `process_…` series of Prometheus' own client: memory, processor time,
open files.
"""
KEY = ApiKey("docs", "a-key-for-the-docs")


def metrics_page() -> str:
    rows = [_row(family) for family in _families(asyncio.run(_scraped())) if _is_ours(family)]
    return f"{HEAD}\n{table(('Series', 'Labels', 'Kind', 'Meaning'), sorted(rows))}"


def _is_ours(family: Metric) -> bool:
    return family.name.startswith(("remora_", "vllm:")) and not family.name.endswith("_created")


def _families(text: str) -> list[Metric]:
    return list(text_string_to_metric_families(text))


async def _scraped() -> str:
    """The text of `/metrics` after one answer, so that every label has a value."""
    tasks = Supervisor([BackgroundTask("docs", _nothing, 1.0)])
    settings = ServerSettings(chat_page=False, log_requests=False, api_keys=(KEY,))
    app = create_app(EchoEngine(), AdapterRegistry("base", ()), settings, supervisor=tasks)
    headers = {"authorization": f"Bearer {KEY.secret}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        question = {"model": "base", "messages": [{"role": "user", "content": "Hello"}]}
        (await client.post("/v1/chat/completions", json=question)).raise_for_status()
        return (await client.get("/metrics")).raise_for_status().text


async def _nothing() -> None: ...


def _row(family: Metric) -> tuple[str, str, str, str]:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
    return code(name), ", ".join(map(code, labels)), family.type, family.documentation
