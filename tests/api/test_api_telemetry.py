"""What an operator is told of each request: a line of JSON, and spans. Never a prompt, never a key."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.api.endpoint_builder import ADAPTERS, BASE, KEY, KEYS, TONE_DIGEST, echo_engine

from remora.adapters.registry import AdapterRegistry
from remora.server.app import create_app
from remora.server.settings import ServerSettings
from remora.server.telemetry.log_lines import json_log, log_request
from remora.server.telemetry.request_log import RecordSink
from remora.server.telemetry.tracing import tracing

PATH = "/v1/chat/completions"
SECRET_PROMPT = "the-secret-prompt"
BODY: dict[str, Any] = {"model": "tone", "messages": [{"role": "user", "content": SECRET_PROMPT}]}
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def client_of(*sinks: RecordSink) -> httpx.AsyncClient:
    settings = ServerSettings(api_keys=KEYS, chat_page=False)
    app = create_app(echo_engine(), AdapterRegistry(BASE, ADAPTERS), settings, sinks=sinks)
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", headers=headers)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    text = capsys.readouterr().err
    assert KEY not in text
    assert SECRET_PROMPT not in text
    return [json.loads(line) for line in text.splitlines()]


async def test_a_request_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    with json_log(requests_too=True):
        async with client_of(log_request) as client:
            await client.get("/healthz")
            answer = await client.post(PATH, json=BODY, headers={"x-request-id": "mine"})
            refused = await client.post(PATH, json={**BODY, "model": "nobody"})
            await client.get("/v1/models", headers={"authorization": "Bearer wrong"})
    assert (answer.status_code, refused.status_code) == (200, 404)
    first, second, third = lines(capsys)
    assert first["message"] == "request"
    assert first["request_id"] == "mine"
    assert (first["method"], first["route"], first["status"]) == ("POST", PATH, 200)
    assert (first["key"], first["model"], first["digest"]) == ("tests", "tone@3f9a12cd3f9a", TONE_DIGEST)
    assert first["prompt_tokens"] == len("user: ") + len(SECRET_PROMPT)
    assert first["completion_tokens"] == len("3f9a12cd3f9a:") + len(SECRET_PROMPT) + 1
    assert first["finish_reasons"] == ["stop"]
    assert 0 <= first["first_token_ms"] <= first["ms"]
    assert (second["status"], "model" in second) == (404, False)
    assert (third["status"], third["key"]) == (401, "-")


async def test_an_unforeseen_error_is_logged_under_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_: object) -> None:
        raise ValueError("nobody foresaw this")

    with json_log(requests_too=True):
        settings = ServerSettings(api_keys=KEYS, chat_page=False)
        engine = echo_engine()
        engine.submit = broken  # type: ignore[method-assign, assignment]
        app = create_app(engine, AdapterRegistry(BASE, ADAPTERS), settings, sinks=[log_request])
        transport = httpx.ASGITransport(app)
        headers = {"authorization": f"Bearer {KEY}", "x-request-id": "mine"}
        async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=headers) as client:
            answer = await client.post(PATH, json=BODY)
            assert answer.status_code == 500
            assert "nobody foresaw" not in answer.text
    failed, request = lines(capsys)
    assert "mine" in failed["message"]
    assert "nobody foresaw this" in failed["traceback"]
    assert (request["level"], request["status"]) == ("error", 500)


async def test_the_log_of_requests_can_be_switched_off(capsys: pytest.CaptureFixture[str]) -> None:
    with json_log(requests_too=False):
        async with client_of(log_request) as client:
            await client.post(PATH, json=BODY)
        logging.getLogger("remora.server").warning("still said")
    assert [line["message"] for line in lines(capsys)] == ["still said"]


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP, as OpenTelemetry's own collector does."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        super().__init__(("127.0.0.1", 0), CollectorHandler)


class CollectorHandler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        for resource in request.resource_spans:
            self.server.services |= {
                item.value.string_value for item in resource.resource.attributes if item.key == "service.name"
            }
            for scope in resource.scope_spans:
                self.server.spans.extend(scope.spans)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_a_request_becomes_spans_under_its_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as at:
        variable, url = "OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{at.server_port}"
        monkeypatch.setenv(variable, url)  # the exporter reads it by itself
        with tracing({variable: url}) as spans:
            assert spans is not None
            async with client_of(spans) as client:
                await client.get("/healthz")
                traceparent = f"00-{TRACE_ID}-{PARENT_ID}-01"
                await client.post(PATH, json=BODY, headers={"traceparent": traceparent})
        # Leaving the block sends what is left.
        by_name = {span.name: span for span in at.spans}
        assert set(by_name) == {f"POST {PATH}", "answer", "first token"}
        request, answer, first = (by_name[name] for name in (f"POST {PATH}", "answer", "first token"))
        assert {span.trace_id.hex() for span in at.spans} == {TRACE_ID}
        assert request.parent_span_id.hex() == PARENT_ID
        assert answer.parent_span_id == request.span_id
        assert first.parent_span_id == answer.span_id
        assert request.start_time_unix_nano <= answer.start_time_unix_nano <= answer.end_time_unix_nano
        assert answer.end_time_unix_nano <= request.end_time_unix_nano
        attributes = {item.key: item.value for item in answer.attributes}
        assert attributes["gen_ai.response.model"].string_value == "tone@3f9a12cd3f9a"
        assert attributes["gen_ai.usage.input_tokens"].int_value == len("user: ") + len(SECRET_PROMPT)
        assert at.services == {"remora"}
        assert SECRET_PROMPT not in str(at.spans)
        assert KEY not in str(at.spans)


@pytest.mark.parametrize(
    "environment", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}]
)
def test_without_its_variables_nothing_is_traced(environment: dict[str, str]) -> None:
    with tracing(environment) as spans:
        assert spans is None


def test_without_the_package_there_is_one_line_and_no_traces(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # as if it were not installed
    with tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}) as spans:
        assert spans is None
    assert [record.getMessage() for record in caplog.records] == [
        "no traces: OpenTelemetry is not installed; install remora[otel]"
    ]
