"""Traces by OpenTelemetry. Owns the spans of a request; does nothing where nobody asked for them.

A request is one span, made when it is over, with one inside it for every answer and in that the wait for its
first token. So the hot path carries no tracing at all, and the caller's `traceparent` is still honoured.
Set OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_ENDPOINT); the other variables are OpenTelemetry's own.
Names of attributes: https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from remora import __version__
from remora.server.access.auth import PROBED_PATHS
from remora.server.generation.answering import Answer
from remora.server.telemetry.request_record import RequestRecord

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer
    from opentelemetry.util.types import AttributeValue

ASKED_BY = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
SECOND_NS = 1_000_000_000
QUIET_ROUTES = frozenset({*PROBED_PATHS, "/metrics", "page"})

logger = logging.getLogger(__name__)


@contextmanager
def tracing(environment: Mapping[str, str]) -> Iterator[Callable[[RequestRecord], None] | None]:
    """What to tell of every request, None where no traces are wanted. At the end the last ones are sent."""
    if not any(environment.get(name) for name in ASKED_BY) or environment.get("OTEL_SDK_DISABLED") == "true":
        yield None
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        logger.warning("no traces: OpenTelemetry is not installed; install remora[otel]")
        yield None
        return
    name = environment.get("OTEL_SERVICE_NAME", "remora")
    provider = TracerProvider(
        resource=Resource.create({"service.name": name, "service.version": __version__}),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield RequestSpans(provider.get_tracer("remora")).note
    finally:
        provider.shutdown()


class RequestSpans:
    """Makes the spans of requests that are over."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def note(self, record: RequestRecord) -> None:
        if record.route in QUIET_ROUTES:
            return
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

        span = self._tracer.start_span(
            f"{record.method} {record.route}",
            context=_caller(record.traceparent),
            kind=SpanKind.SERVER,
            start_time=record.started_ns,
            attributes={
                "http.request.method": record.method,
                "http.route": record.route,
                "http.response.status_code": record.status,
                "remora.request_id": record.request_id,
                "remora.key": record.key_name,
            },
        )
        if record.status >= 500:
            span.set_status(StatusCode.ERROR)
        for answer in record.answers:
            self._answer(answer, record, set_span_in_context(span))
        span.end(record.started_ns + int(record.seconds * SECOND_NS))

    def _answer(self, answer: Answer, record: RequestRecord, within: Context) -> None:
        from opentelemetry.trace import set_span_in_context

        start = record.started_ns + int(record.seconds_before(answer) * SECOND_NS)
        first = start + int(answer.first_token_seconds * SECOND_NS)
        attributes: dict[str, AttributeValue] = {
            "gen_ai.operation.name": "text_completion",
            "gen_ai.response.model": answer.label,
            "gen_ai.usage.input_tokens": answer.prompt_tokens,
            "gen_ai.usage.output_tokens": answer.completion_tokens,
            "gen_ai.response.finish_reasons": [str(answer.finish_reason or "aborted")],
        }
        span = self._tracer.start_span("answer", context=within, start_time=start, attributes=attributes)
        waiting = self._tracer.start_span("first token", context=set_span_in_context(span), start_time=start)
        waiting.end(first)
        span.end(start + int(answer.seconds * SECOND_NS))


def _caller(traceparent: str) -> Context | None:
    """The span that the caller named, whose child ours is."""
    if not traceparent:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent})
