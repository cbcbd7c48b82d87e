"""How background tasks do, when Prometheus asks. Owns those series; runs nothing."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from remora.server.supervision import Supervisor


class BackgroundMetrics(Collector):
    """One series a task, by its name. A task that hangs shows in its age alone."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterable[Metric]:
        failing = GaugeMetricFamily(
            "remora_background_failing", "1 while a background task fails.", labels=["task"]
        )
        failed = CounterMetricFamily(
            "remora_background_failed_rounds", "Rounds of a background task that failed.", labels=["task"]
        )
        age = GaugeMetricFamily(
            "remora_background_age_seconds",
            "Since the last round of a background task that succeeded.",
            labels=["task"],
        )
        for state in self._supervisor.states:
            labels = [state.task.name]
            failing.add_metric(labels, float(bool(state.failed_in_a_row)))
            failed.add_metric(labels, state.failed_rounds)
            age.add_metric(labels, self._supervisor.age_seconds(state))
        yield from (failing, failed, age)
