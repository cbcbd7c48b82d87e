"""The log: one JSON object a line, on stderr. Owns its fields; prompts, answers and keys are none of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from remora.server.access.auth import PROBED_PATHS
from remora.server.telemetry.request_record import RequestRecord

# Probes ask these every few seconds; only a refusal is logged.
QUIET_ROUTES = frozenset({*PROBED_PATHS, "/metrics", "page"})
FIELDS = "remora_fields"

requests = logging.getLogger("remora.requests")


def log_request(record: RequestRecord) -> None:
    """A line for one request."""
    if record.route in QUIET_ROUTES and record.status < 400:
        return
    if requests.isEnabledFor(logging.INFO):
        level = logging.ERROR if record.status >= 500 else logging.INFO
        requests.log(level, "request", extra={FIELDS: _fields(record)})


@contextmanager
def json_log(*, requests_too: bool) -> Iterator[None]:
    """Within the block whatever is logged goes to stderr as JSON; a line for every request, if asked for."""
    root, handler = logging.getLogger(), logging.StreamHandler()
    handler.setFormatter(JsonLines())
    before = requests.level
    root.addHandler(handler)
    requests.setLevel(logging.INFO if requests_too else logging.CRITICAL)
    try:
        yield
    finally:
        root.removeHandler(handler)
        requests.setLevel(before)


class JsonLines(logging.Formatter):
    """One object a line; a traceback is a field of it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _fields(record: RequestRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "request_id": record.request_id,
        "method": record.method,
        "route": record.route,
        "status": record.status,
        "key": record.key_name,
        "ms": round(record.seconds * 1000, 1),
    }
    if record.answers:
        first = record.answers[0]
        fields |= {
            "model": first.label,
            "digest": first.adapter.digest if first.adapter else None,
            "prompt_tokens": record.prompt_tokens,
            "completion_tokens": record.completion_tokens,
            "first_token_ms": round(first.first_token_seconds * 1000, 1),
            "finish_reasons": [str(answer.finish_reason or "aborted") for answer in record.answers],
        }
    return fields
