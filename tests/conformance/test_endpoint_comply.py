"""The package llm-comply, unmodified, against the endpoint: both formats, and what is excepted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.api.endpoint_builder import BASE, KEY, KEYS, RunningEndpoint

from remora.server.settings import ServerSettings

# What it asks of models that see, or that show their reasoning: it skips the latter by the model's name.
EXPECTED: dict[str, dict[str, str]] = {
    "openai-chat": {"chat-image-input": "failed", "chat-reasoning-summary": "skipped"},
    "open-responses": {"image-input": "failed", "reasoning-summary": "skipped"},
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[RunningEndpoint]:
    with RunningEndpoint(ServerSettings(api_keys=KEYS, chat_page=False)) as running:
        yield running


@pytest.mark.parametrize("form", EXPECTED)
def test_every_check_passes_but_those_of_images_and_reasoning(endpoint: RunningEndpoint, form: str) -> None:
    command = [sys.executable, "-m", "llm_comply.cli", "--format", form, "--json", "-m", BASE]
    environment = {**os.environ, "OPENRESPONSES_API_KEY": KEY}
    done = subprocess.run(  # noqa: PLW1510 - the results say what failed
        [*command, "-u", f"{endpoint.url}/v1"], env=environment, capture_output=True, text=True, timeout=100
    )
    results = json.loads(done.stdout)["results"]
    others = {each["id"]: each["status"] for each in results if each["status"] != "passed"}
    assert others == EXPECTED[form], json.dumps(results, indent=1)
    assert len(results) >= 9
