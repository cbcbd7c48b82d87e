"""Requests that schemathesis makes from our own OpenAPI document: whatever comes, the endpoint stays up.

Each body goes out whole, and each of its fields by itself on a body that is good without it. CI makes a few,
always the same; REMORA_FUZZ_EXAMPLES makes as many as it says (`make conformance`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.core.result import Ok
from tests.api.endpoint_builder import ADMIN_KEY, ADMIN_KEYS, BASE, KEYS, RunningEndpoint

from remora.server.api.documents import openapi_text
from remora.server.settings import ServerSettings

FEW = 8
EXAMPLES = int(os.environ.get("REMORA_FUZZ_EXAMPLES", str(FEW)))
SCHEMA = schemathesis.openapi.from_dict(json.loads(openapi_text()))
FOUND = [result.ok() for result in SCHEMA.get_all_operations() if isinstance(result, Ok)]
OPERATIONS = {operation.label: operation for operation in FOUND}
GOOD: Mapping[str, dict[str, Any]] = {
    "POST /v1/chat/completions": {"model": BASE, "messages": [{"role": "user", "content": "hi"}]},
    "POST /v1/completions": {"model": BASE, "prompt": "hi"},
    "POST /v1/responses": {"model": BASE, "input": "hi"},
    "POST /tokenize": {"model": BASE, "prompt": "hi"},
    "POST /detokenize": {"model": BASE, "tokens": [104]},
}


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    options = ServerSettings(api_keys=KEYS, admin_keys=ADMIN_KEYS, chat_page=False)
    headers = {"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/json"}
    with (
        RunningEndpoint(options) as endpoint,
        httpx.Client(base_url=endpoint.url, headers=headers, timeout=400) as client,
    ):
        yield client


@pytest.mark.parametrize("label", OPERATIONS)
def test_no_request_breaks_the_endpoint(http: httpx.Client, label: str) -> None:
    statuses: set[int] = set()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=EXAMPLES == FEW,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=OPERATIONS[label].as_strategy())
    def ask(case: Case[Any]) -> None:
        for body in bodies(label, case.body):
            answer = http.request(case.method, case.formatted_path, content=body)
            assert answer.status_code < 500, (body, answer.text)
            statuses.add(answer.status_code)

    ask()
    assert label not in GOOD or 200 in statuses


def bodies(label: str, made: object) -> Iterator[bytes | None]:
    if not isinstance(made, dict):
        yield None
        return
    yield json.dumps(made).encode()
    for name, value in made.items() if label in GOOD else ():
        if name != "model":
            yield json.dumps({**GOOD[label], name: value}).encode()
