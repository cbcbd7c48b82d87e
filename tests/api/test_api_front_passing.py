"""The front while the model is awake: a client gets what the endpoint answers, on every kind of route."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from tests.api.endpoint_builder import ADMIN_KEY, BASE, DEADLINE_SECONDS, KEY
from tests.api.front_builder import Fronted, fronted

USER = [{"role": "user", "content": "hello there"}]
CHAT = {"model": BASE, "messages": USER}
CHUNKED = b'{"model": "tone-base", "prompt": "hi"}'
# Method, path, body, further headers.
ASKED: tuple[tuple[str, str, object, dict[str, str]], ...] = (
    ("GET", "/v1/models", None, {}),
    ("HEAD", "/v1/models", None, {}),
    ("GET", f"/v1/models/{BASE}?a=%20b&c", None, {}),
    ("GET", "/v1/models/no%2Fbody", None, {}),
    ("POST", "/v1/chat/completions", CHAT, {}),
    ("POST", "/v1/chat/completions", {**CHAT, "stream": True}, {}),
    ("POST", "/v1/chat/completions", {**CHAT, "no_such_field": 1}, {}),
    ("POST", "/v1/chat/completions", {**CHAT, "model": "nobody", "stream": True}, {}),
    ("POST", "/v1/chat/completions", b"{not json", {"content-type": "application/json"}),
    ("POST", "/v1/completions", {"model": BASE, "prompt": "hello there", "n": 2}, {}),
    ("POST", "/v1/responses", {"model": BASE, "input": "hello there"}, {}),
    ("POST", "/v1/messages", {"model": BASE, "messages": USER, "max_tokens": 9}, {"x-api-key": KEY}),
    ("POST", "/v1/messages/count_tokens", {"model": BASE, "messages": USER}, {}),
    ("POST", "/v1/messages", {"model": "nobody", "messages": USER, "max_tokens": 9}, {}),
    ("POST", "/tokenize", {"model": BASE, "prompt": "hello"}, {}),
    ("POST", "/v1/embeddings", {"model": BASE, "input": "x"}, {}),
    ("DELETE", "/v1/responses/nothing", None, {}),
    ("GET", "/api/tags", None, {}),
    ("POST", "/api/chat", {**CHAT, "stream": False}, {}),
    ("GET", "/openai/v1/models?api-version=x", None, {}),
    ("POST", f"/openai/deployments/{BASE}/chat/completions?api-version=x", {"messages": USER}, {}),
    ("POST", "/v1/unload_lora_adapter", {"lora_name": "nobody"}, {"authorization": f"Bearer {ADMIN_KEY}"}),
    ("POST", "/v1/unload_lora_adapter", {"lora_name": "nobody"}, {}),
    ("GET", "/v1/nothing", None, {}),
    ("GET", "/chat/completions", None, {"x-forwarded-proto": "https"}),
    ("GET", "/nothing", None, {}),
    ("PUT", "/v1/models", {"a": 1}, {}),
)
OWN_HEADERS = frozenset({"date", "x-remora-time-ms", "x-remora-time-to-first-token-ms"})
OWN = re.compile(rb"(?<=[_-])[0-9a-f]{16,}|\b\d{4}-\d\d-\d\dT[\d:.]+Z|\b\d+(?:\.\d+)?\b")


@pytest.fixture(scope="module")
def awake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronted]:
    with fronted(tmp_path_factory.mktemp("share"), awake=True) as built:
        yield built


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: f"{asked[0]} {asked[1]}")
def test_an_answer_is_the_endpoints_own(
    awake: Fronted, asked: tuple[str, str, object, dict[str, str]]
) -> None:
    method, path, body, headers = asked
    sent = {"content": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
    given = {"authorization": f"Bearer {KEY}", "x-request-id": "mine-1", **headers}
    direct, through = (
        httpx.request(method, url + path, headers=given, timeout=DEADLINE_SECONDS, **sent)
        for url in (awake.endpoint.url, awake.front.url)
    )
    assert through.status_code == direct.status_code
    assert names_and_values(through) == names_and_values(direct)
    assert through.headers["x-request-id"] == "mine-1"
    said = through.content.replace(awake.front.url.encode(), awake.endpoint.url.encode())
    said = said.replace(
        awake.front.url.partition(":")[2].encode(), awake.endpoint.url.partition(":")[2].encode()
    )
    assert OWN.sub(b"0", said) == OWN.sub(b"0", direct.content)


def names_and_values(answer: httpx.Response) -> list[tuple[str, str]]:
    """All headers, sorted; a length that depends on how many digits a time has is only named."""
    kept = [(name, value) for name, value in answer.headers.multi_items() if name not in OWN_HEADERS]
    return sorted((name, "" if name == "content-length" else value) for name, value in kept)


def test_a_body_in_chunks_and_one_that_is_packed_go_through(awake: Fronted) -> None:
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    for path, body in (("/v1/completions", CHUNKED), ("/tokenize", CHUNKED)):
        answered = httpx.post(
            awake.front.url + path,
            content=iter((body[:9], body[9:])),
            headers=headers,
            timeout=DEADLINE_SECONDS,
        )
        assert answered.status_code == 200, answered.text


def test_nobody_can_tell_the_endpoint_another_name(awake: Fronted) -> None:
    """A page elsewhere may not act for a visitor by naming itself in the front's headers."""
    cookie = httpx.post(f"{awake.endpoint.url}/login", data={"key": KEY}).cookies
    headers = {
        "origin": "http://evil.example",
        "x-remora-front-host": "evil.example",
        "x-remora-front-scheme": "http",
        "x-remora-front-proof": "0" * 64,
    }
    refused = httpx.post(f"{awake.endpoint.url}/logout", headers=headers, cookies=cookie)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "foreign_origin")
