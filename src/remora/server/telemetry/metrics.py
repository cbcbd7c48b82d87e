"""GET /metrics, for Prometheus. Owns which series there are and how many there can be; measures nothing.

A registry of its own, so that two endpoints in one process do not share series. Labels come from short lists:
routes of ours, keys of the operator, and the first MOST_MODELS models that were asked for; later ones are
counted as "other", since each name costs every scrape until the process ends.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from starlette.responses import Response

from remora import __version__
from remora.engine.base import Engine
from remora.server.access.admission import Admission
from remora.server.access.auth import METRICS_PATH
from remora.server.generation.answering import Answer
from remora.server.supervision import Supervisor
from remora.server.telemetry.answer_watch import OpenAnswers
from remora.server.telemetry.background_metrics import BackgroundMetrics
from remora.server.telemetry.engine_metrics import EngineMetrics
from remora.server.telemetry.plain_histogram import PlainHistogram
from remora.server.telemetry.request_record import RequestRecord

MOST_MODELS = 64
OTHER = "other"
FIRST_TOKEN_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
INTER_TOKEN_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class EndpointMetrics:
    """All series of one endpoint."""

    def __init__(
        self,
        engine: Engine,
        admission: Admission,
        base_name: str,
        answers_open: OpenAnswers,
        supervisor: Supervisor,
    ) -> None:
        self.registry = registry = CollectorRegistry()
        self._base_name = base_name
        self._models: set[str] = {base_name}
        self._requests = Counter(
            "remora_requests",
            "Requests that were answered.",
            ["route", "method", "status"],
            registry=registry,
        )
        self._of_key = Counter("remora_key_requests", "Requests of each key.", ["key"], registry=registry)
        self._seconds = Histogram(
            "remora_request_seconds",
            "From a request's headers to the end of its answer.",
            ["route"],
            buckets=REQUEST_SECONDS,
            registry=registry,
        )
        self._answers = Counter(
            "remora_answers", "Answers of each model.", ["model", "finish_reason"], registry=registry
        )
        self._prompt_tokens = Counter(
            "remora_prompt_tokens", "Tokens of prompts.", ["model"], registry=registry
        )
        self._completion_tokens = Counter(
            "remora_completion_tokens", "Tokens of answers.", ["model"], registry=registry
        )
        self._first_token = Histogram(
            "remora_time_to_first_token_seconds",
            "From a question to the first text of its answer.",
            ["model"],
            buckets=FIRST_TOKEN_SECONDS,
            registry=registry,
        )
        self._inter_token = PlainHistogram(
            "remora_inter_token_seconds", "Between two pieces of an answer.", INTER_TOKEN_SECONDS
        )
        info = Gauge("remora_info", "What this endpoint is.", ["version", "base_model"], registry=registry)
        info.labels(__version__, base_name).set(1)
        registry.register(self._inter_token)
        registry.register(EngineMetrics(engine, admission, answers_open))
        registry.register(BackgroundMetrics(supervisor))
        ProcessCollector(registry=registry)

    def note_request(self, record: RequestRecord) -> None:
        self._requests.labels(record.route, record.method, str(record.status)).inc()
        self._seconds.labels(record.route).observe(record.seconds)
        if record.key_name != "-":
            self._of_key.labels(record.key_name).inc()

    def note_next(self, seconds: float) -> None:
        self._inter_token.observe(seconds)

    def note_first(self, answer: Answer) -> None:
        self._first_token.labels(self.model_label(answer)).observe(answer.first_token_seconds)

    def note_end(self, answer: Answer) -> None:
        label = self.model_label(answer)
        self._answers.labels(label, str(answer.finish_reason or "aborted")).inc()
        self._prompt_tokens.labels(label).inc(answer.prompt_tokens)
        self._completion_tokens.labels(label).inc(answer.completion_tokens)

    def model_label(self, answer: Answer) -> str:
        """The model's name, or "other" for one too many."""
        name = answer.adapter.name if answer.adapter else self._base_name
        if name not in self._models:
            if len(self._models) > MOST_MODELS:
                return OTHER
            self._models.add(name)
        return name


def metrics_routes(metrics: EndpointMetrics) -> APIRouter:
    router = APIRouter()

    @router.get(METRICS_PATH)
    async def scrape(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(metrics.registry), headers={"content-type": content_type})

    return router
