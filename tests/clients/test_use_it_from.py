"""The snippets of the page on clients; those whose clients are not installed here: `make test-clients`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import yaml
from tests.api.endpoint_builder import BASE, KEY, RunningEndpoint
from tests.clients.snippets import PAGE, SAID, run_snippet, settings, snippets

HERE = ("curl", "openai-python", "openai-python-azure", "anthropic-python", "ollama-python")
FENCE = re.compile(r"^```(python|js|yaml)$", re.MULTILINE)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with RunningEndpoint(settings()) as running:
        yield running.url


@pytest.mark.parametrize("name", HERE)
def test_a_snippet_does_what_it_shows(name: str, url: str, tmp_path: Path) -> None:
    assert SAID in run_snippet(name, url, Path(sys.executable), tmp_path, tmp_path)


def test_what_stands_for_continue_answers(url: str) -> None:
    _, text = snippets()["continue"]
    values = {"OPENAI_MODEL": BASE, "OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": KEY}
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    (model,) = yaml.safe_load(text)["models"]
    with openai.OpenAI(base_url=model["apiBase"], api_key=model["apiKey"], max_retries=0) as client:
        answer = client.chat.completions.create(
            model=model["model"], messages=[{"role": "user", "content": SAID}], stop=["a"] * 8
        )
    assert answer.choices[0].finish_reason == "stop"


def test_open_webui_finds_models_and_streams(url: str) -> None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
        assert BASE in [model.id for model in client.models.list()]
        stream = client.chat.completions.create(
            model=BASE,
            messages=[{"role": "user", "content": SAID}],
            stream=True,
            stream_options={"include_usage": True},
        )
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert "".join(pieces) == SAID


def test_every_program_on_the_page_is_a_snippet_that_something_runs() -> None:
    page = PAGE.read_text("utf-8")
    assert len(FENCE.findall(page)) == sum(language != "sh" for language, _ in snippets().values())
    assert set(HERE) <= set(snippets())
