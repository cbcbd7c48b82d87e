"""The front while the model sleeps: streams that live, bounded waits, keys, errors. Real clients."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import anthropic
import httpx
import ollama
import openai
import pytest
from tests.api.endpoint_builder import BASE, DEADLINE_SECONDS, KEY, TONE_DIGEST
from tests.api.front_builder import PROGRESS, Fronted, Pipe, fronted

from remora.server.front import passing

SLEEP_SECONDS = 4.0  # longer than the proxy bears a silence
WAIT_SECONDS = 1.0
USER: list[Any] = [{"role": "user", "content": "hello there"}]
CHAT = {"model": BASE, "messages": USER, "stream": True}
STREAMS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": BASE, "prompt": "hello there", "stream": True},
    "/v1/responses": {"model": BASE, "input": "hello there", "stream": True},
    "/v1/messages": {"model": BASE, "messages": USER, "max_tokens": 20, "stream": True},
    f"/openai/deployments/{BASE}/chat/completions?api-version=1": {"messages": USER, "stream": True},
    "/api/chat": {"model": BASE, "messages": USER},
    "/api/generate": {"model": BASE, "prompt": "hello there"},
}
HEADERS = {"authorization": f"Bearer {KEY}"}
# Ids and times of an answer, which no two answers share.
OWN = re.compile(rb"(?<=[_-])[0-9a-f]{16,}|\b\d{4}-\d\d-\d\dT[\d:.]+Z|\b\d+(?:\.\d+)?\b")


@pytest.fixture
def asleep(tmp_path: Path) -> Iterator[Fronted]:
    with fronted(tmp_path, wait_seconds=WAIT_SECONDS) as built:
        yield built


def later(act: Callable[[], None], seconds: float = SLEEP_SECONDS) -> None:
    timer = Timer(seconds, act)
    timer.daemon = True
    timer.start()


def ask(url: str, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    return httpx.post(url + path, json=body, headers={**HEADERS, **headers}, timeout=DEADLINE_SECONDS)


def openai_client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=DEADLINE_SECONDS)


def test_openai_python_streams_through_a_proxy_that_bears_no_silence(asleep: Fronted) -> None:
    later(asleep.ingress.wake)
    with openai_client(asleep.hasty.url) as client:
        chunks = client.chat.completions.create(model=BASE, messages=USER, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "hello there"
    assert asleep.hasty.cut == 0


def test_without_the_front_that_proxy_cuts_it(asleep: Fronted) -> None:
    with Pipe(asleep.ingress.url, silence_seconds=2.0) as hasty:
        with openai_client(hasty.url) as client, pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(model=BASE, messages=USER, stream=True)
        assert hasty.cut


@pytest.mark.parametrize("path", STREAMS)
def test_every_stream_begins_at_once_and_ends_as_the_model_answers(asleep: Fronted, path: str) -> None:
    later(asleep.ingress.wake, 1.5)
    through = ask(asleep.hasty.url, path, STREAMS[path])
    direct = ask(asleep.endpoint.url, path, STREAMS[path])
    assert through.status_code == direct.status_code == 200
    assert through.headers["content-type"] == direct.headers["content-type"]
    assert through.headers["cache-control"] == "no-store"
    alive, answer = split_alive(through.content)
    assert alive
    assert OWN.sub(b"0", answer) == OWN.sub(b"0", direct.content)


def split_alive(body: bytes) -> tuple[bytes, bytes]:
    """The signs of life, and the rest."""
    found = re.match(rb"(?:: [^\n]*\n\n)*| *", body)
    assert found is not None
    end = found.end() or len(body) - len(body.lstrip(b" "))
    return body[:end], body[end:]


def test_the_progress_is_told_and_a_note_of_a_killed_replica_is_not(asleep: Fronted) -> None:
    folder = asleep.share / ".remora" / "starting"
    folder.mkdir(parents=True)
    (folder / "killed.json").write_text('{"said": "loading weights 1 of 99", "beat": 0}')
    told: list[str] = []
    with (
        asleep.starting(),
        httpx.stream(
            "POST",
            f"{asleep.hasty.url}/v1/chat/completions",
            json=CHAT,
            headers=HEADERS,
            timeout=DEADLINE_SECONDS,
        ) as response,
    ):
        for line in response.iter_lines():
            told.append(line)
            if line == f": starting: {PROGRESS}":
                asleep.ingress.wake()
    assert re.fullmatch(r": starting: waiting for a replica \(\d+ s\)", told[0])
    assert f": starting: {PROGRESS}" in told
    assert told[-2] == "data: [DONE]"
    assert not any("of 99" in line for line in told)
    assert not (folder / "replica.json").exists()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/api/chat"])
def test_what_is_no_stream_waits_and_is_then_refused_in_its_own_form(asleep: Fronted, path: str) -> None:
    refused = ask(asleep.front.url, path, {**STREAMS[path], "stream": False})
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"
    assert refused.headers["x-request-id"]
    error = refused.json()["error"]
    message = error if isinstance(error, str) else error["message"]
    assert "the model is still starting after 1 s: waiting for a replica" in message


def test_what_is_no_stream_is_answered_within_its_bound(tmp_path: Path) -> None:
    with fronted(tmp_path) as asleep:
        later(asleep.ingress.wake, 1.0)
        answered = ask(asleep.front.url, "/v1/chat/completions", {**CHAT, "stream": False})
        assert answered.json()["choices"][0]["message"]["content"] == "hello there"
        assert httpx.get(f"{asleep.front.url}/v1/models", headers=HEADERS).json()["data"][0]["id"] == BASE


def test_a_wrong_key_wakes_nothing(asleep: Fronted) -> None:
    refused = ask(asleep.front.url, "/v1/chat/completions", CHAT, authorization="Bearer wrong")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
    assert ask(asleep.front.url, "/v1/chat/completions", CHAT, authorization="").status_code == 401
    html = httpx.get(asleep.front.url, headers={"accept": "text/html"})
    assert (html.status_code, html.headers["location"]) == (303, "/login")
    for path in ("/healthz", "/version", "/login"):
        assert httpx.get(asleep.front.url + path).status_code == 200
    ready = httpx.get(f"{asleep.front.url}/readyz")
    assert (ready.status_code, ready.json()["error"]["message"].partition(":")[0]) == (503, "asleep")
    assert httpx.get(f"{asleep.front.url}/metrics", headers=HEADERS).status_code == 503
    assert asleep.ingress.connections == 0


def test_a_body_that_is_too_large_wakes_nothing(asleep: Fronted) -> None:
    refused = ask(asleep.front.url, "/v1/chat/completions", {**CHAT, "user": "x" * 5_000_000})
    assert (refused.status_code, asleep.ingress.connections) == (413, 0)


def test_waiting_requests_are_bounded(asleep: Fronted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passing, "MOST_HELD_BYTES", 200)
    for _ in range(3):
        refused = ask(asleep.front.url, "/v1/chat/completions", {**CHAT, "user": "x" * 200})
        assert (refused.status_code, refused.json()["error"]["type"]) == (429, "rate_limit_error")
        assert "retry-after" in refused.headers
    asleep.ingress.wake()
    assert (
        ask(asleep.front.url, "/v1/chat/completions", CHAT).status_code == 200
    )  # what was refused is not held


def test_an_error_behind_the_200_is_the_apis_own_event(asleep: Fronted) -> None:
    later(asleep.ingress.wake, 1.0)
    with openai_client(asleep.hasty.url) as client, pytest.raises(openai.APIError, match="nobody"):
        list(client.chat.completions.create(model="nobody", messages=USER, stream=True))


def test_an_error_behind_the_200_of_the_other_apis(asleep: Fronted) -> None:
    later(asleep.ingress.wake, 1.0)
    with (
        anthropic.Anthropic(base_url=asleep.hasty.url, api_key=KEY, max_retries=0) as client,
        pytest.raises(anthropic.APIError, match="nobody"),
        client.messages.stream(model="nobody", messages=USER, max_tokens=9) as stream,
    ):
        stream.get_final_text()


def test_ollamas_client_waits_for_its_lines(asleep: Fronted) -> None:
    later(asleep.ingress.wake)
    with ollama.Client(host=asleep.hasty.url, headers=HEADERS, timeout=DEADLINE_SECONDS) as client:
        parts = client.chat(model=BASE, messages=USER, stream=True)
        assert "".join(part.message.content or "" for part in parts) == "hello there"
    assert asleep.hasty.cut == 0


def test_a_browser_gets_a_page_and_then_the_endpoint(tmp_path: Path) -> None:
    with (
        fronted(tmp_path, page=True) as asleep,
        httpx.Client(base_url=asleep.front.url, timeout=DEADLINE_SECONDS) as http,
    ):
        assert http.post("/login", data={"key": KEY}).status_code == 303
        page = http.get("/", headers={"accept": "text/html"})
        assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
        assert http.get("/readyz").json()["error"]["message"].startswith("starting: ")
        asleep.ingress.wake()
        while http.get("/readyz").status_code != 200:
            pass
        assert http.get("/side-by-side", headers={"accept": "text/html"}).status_code == 200


def test_a_client_that_goes_away_ends_the_generation(tmp_path: Path) -> None:
    with fronted(tmp_path, awake=True) as awake:
        awake.endpoint.hold_after(3)
        url = f"{awake.front.url}/v1/chat/completions"
        with httpx.stream("POST", url, json=CHAT, headers=HEADERS, timeout=DEADLINE_SECONDS) as response:
            lines = response.iter_lines()  # kept: the connection ends with it
            next(lines)
            awake.endpoint.until(lambda stats: stats.running_requests == 1)
        awake.endpoint.until(lambda stats: stats.running_requests == 0)
        assert awake.endpoint.stats().cancelled_requests == 1


def test_a_client_that_goes_away_while_it_waits_is_asked_no_more(asleep: Fronted) -> None:
    url = f"{asleep.front.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=CHAT, headers=HEADERS, timeout=DEADLINE_SECONDS) as response:
        lines = response.iter_lines()  # kept: the connection ends with it
        next(lines)
    asleep.ingress.wake()
    assert asleep.endpoint.stats().steps == 0
    assert ask(asleep.front.url, "/v1/chat/completions", CHAT).status_code == 200
    assert asleep.endpoint.engine.prompts == ["user: hello there"]


def test_the_front_starts_without_what_a_model_needs() -> None:
    heavy = "('torch', 'transformers', 'llguidance', 'gradio', 'safetensors', 'prometheus_client', 'jinja2')"
    code = (
        f"import remora.server.front.__main__, sys; print([name for name in {heavy} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_adapters_are_asked_for_as_ever(tmp_path: Path) -> None:
    with fronted(tmp_path, awake=True) as awake:
        answered = ask(awake.front.url, "/v1/chat/completions", {**CHAT, "model": "tone", "stream": False})
        assert answered.json()["remora"]["digest"] == TONE_DIGEST
