"""What the engine and the door say of themselves when Prometheus asks. Owns those gauges; counts nothing.

The names that begin with `vllm:` are those that the Kubernetes gateway for inference reads to choose a
replica (its "model server protocol"), so that it can stand in front of us as it does of vLLM.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from remora.engine.base import Engine, EngineStats
from remora.server.access.admission import Admission


class AdaptersInUse(Protocol):
    """Which adapters have answers in the making."""

    @property
    def running(self) -> Iterable[str]:
        """Names of those of which text has come."""

    @property
    def waiting(self) -> Iterable[str]:
        """Names of those of which nothing has come yet."""


class EngineMetrics(Collector):
    """Asks when it is scraped, so that nothing has to be kept up to date. `now`: seconds of the epoch."""

    def __init__(
        self,
        engine: Engine,
        admission: Admission,
        in_use: AdaptersInUse,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._admission = admission
        self._in_use = in_use
        self._now = now

    def collect(self) -> Iterable[Metric]:
        stats = self._engine.stats()
        yield from (GaugeMetricFamily(name, text, value) for name, text, value in self._gauges(stats))
        yield from (CounterMetricFamily(name, text, value) for name, text, value in _counters(stats))
        yield self._lora_requests(stats)

    def _gauges(self, stats: EngineStats) -> Iterable[tuple[str, str, float]]:
        used = stats.kv_tokens_used / stats.kv_tokens_total if stats.kv_tokens_total else 0.0
        admission = self._admission
        return (
            ("remora_engine_alive", "1 while the engine runs.", float(stats.alive)),
            ("remora_batch_size", "Requests in the engine's running batch.", stats.running_requests),
            ("remora_queued_requests", "Requests that wait for a place in the batch.", stats.queued_requests),
            ("remora_kv_tokens_used", "Tokens of key/value cache that are reserved.", stats.kv_tokens_used),
            ("remora_kv_tokens_capacity", "Tokens of key/value cache in all.", stats.kv_tokens_total),
            ("remora_adapters_loaded", "Adapters that the engine holds.", len(stats.adapters)),
            ("remora_open_requests", "Requests that were let in.", admission.open_count),
            ("remora_open_requests_limit", "Requests that may be in at once.", admission.max_open),
            ("remora_draining", "1 while the endpoint finishes what runs.", float(admission.draining)),
            ("vllm:num_requests_running", "Requests in the running batch.", stats.running_requests),
            ("vllm:num_requests_waiting", "Requests that wait.", stats.queued_requests),
            ("vllm:kv_cache_usage_perc", "Used part of the key/value cache, 0 to 1.", used),
        )

    def _lora_requests(self, stats: EngineStats) -> Metric:
        family = GaugeMetricFamily(
            "vllm:lora_requests_info",
            "Adapters with requests; the value is when this was said, in seconds of the epoch.",
            labels=("max_lora", "running_lora_adapters", "waiting_lora_adapters"),
        )
        running, waiting = sorted(self._in_use.running), sorted(self._in_use.waiting)
        family.add_metric([str(len(stats.adapters)), ",".join(running), ",".join(waiting)], self._now())
        return family


def _counters(stats: EngineStats) -> Iterable[tuple[str, str, float]]:
    yield "remora_engine_tokens", "Tokens that the engine made.", stats.generated_tokens
    if stats.steps is not None:
        text = "Steps of the engine; tokens without guessed ones, over steps, are the mean batch."
        yield "remora_engine_steps", text, stats.steps
    yield "remora_engine_drafted_tokens", "Tokens that the engine guessed.", stats.drafted_tokens
    yield "remora_engine_accepted_tokens", "Guessed tokens that were right.", stats.accepted_tokens
    yield "remora_engine_cancelled_requests", "Requests that ended unread.", stats.cancelled_requests
