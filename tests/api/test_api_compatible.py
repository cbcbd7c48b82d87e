"""Other servers' routes, Azure OpenAI's addresses and keys, and what HTTP clients do: over real HTTP."""

from __future__ import annotations

import gzip
import json
import socket
import zlib
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from openai import AzureOpenAI
from tests.api.endpoint_builder import BASE, KEY, KEYS, TONE_DIGEST, RunningEndpoint, build_app, echo_engine

from remora.server.settings import ServerSettings

CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": BASE, "messages": [{"role": "user", "content": "hello"}]}
BEARER = {"authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize("path", ["/health", "/ping", "/version", "/healthz"])
async def test_probes_are_open(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path, headers={"authorization": ""})
    assert answer.status_code == 200
    assert answer.json()["version"]


async def test_a_dead_engine_is_not_healthy() -> None:
    engine = echo_engine()
    engine.close()
    transport = httpx.ASGITransport(build_app(engine))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/health")).status_code == 503
        assert (await client.post("/ping")).status_code == 503


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/moderations", "/openai/deployments/x/embeddings"])
async def test_what_is_not_offered_says_so(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, json={"model": BASE, "input": "x"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (501, "not_offered")
    assert "; use " in error["message"]


@pytest.mark.parametrize("path", ["/nowhere", "/v1/nowhere", "/api/v1/generate", "/openai/nowhere"])
async def test_an_unknown_path_is_not_found_with_a_key_and_else_not_told(
    client: httpx.AsyncClient, path: str
) -> None:
    found = await client.post(path, json={})
    assert (found.status_code, found.json()["error"]["code"]) == (404, "not_found")
    assert (await client.get(path, headers={"authorization": "Bearer no"})).status_code == 401
    assert (await client.get(path, headers={"authorization": ""})).status_code == 401


@pytest.mark.parametrize("header", ["api-key", "x-api-key"])
async def test_a_key_may_come_in_other_clients_headers(client: httpx.AsyncClient, header: str) -> None:
    for key, status in ((KEY, 200), ("no", 401)):
        answer = await client.get("/v1/models", headers={"authorization": "", header: key})
        assert answer.status_code == status


async def test_a_tokenizer_is_described_for_those_who_tokenize_themselves(client: httpx.AsyncClient) -> None:
    assert (await client.get("/tokenizer_info")).json()["eos_token"] == "<|end|>"
    assert (await client.get("/tokenizer_info", headers={"authorization": ""})).status_code == 401
    ids = (await client.post("/tokenize", json={"prompt": "ab", "add_special_tokens": False})).json()
    assert ids["tokens"] == [97, 98]
    assert (await client.post("/detokenize", json={"tokens": [97, 98]})).json() == {"prompt": "ab"}


def test_azures_own_client_works(endpoint: RunningEndpoint) -> None:
    with AzureOpenAI(azure_endpoint=endpoint.url, api_key=KEY, api_version="2024-10-21") as azure:
        messages: Any = BODY["messages"]
        answer = azure.chat.completions.create(model="tone", messages=messages)
        assert answer.choices[0].message.content == f"{TONE_DIGEST[:12]}:hello"
        stream: Any = azure.chat.completions.create(model=BASE, messages=messages, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "hello"
        assert azure.completions.create(model=BASE, prompt="hi").choices[0].text == "hi"
        assert next(iter(azure.models.list())).id == BASE


async def test_a_deployment_is_the_model(client: httpx.AsyncClient) -> None:
    path = "/openai/deployments/tone/chat/completions?api-version=2024-10-21"
    for fields in ({}, {"model": "gpt-4o"}):
        body = {"messages": BODY["messages"], **fields}
        answer = await client.post(path, json=body)
        assert answer.json()["model"] == "tone"
        assert answer.headers["x-remora-adapter-digest"] == TONE_DIGEST
    missing = await client.post("/openai/deployments/nobody/chat/completions", json=BODY)
    assert missing.json()["error"]["code"] == "model_not_found"
    assert (await client.post("/openai/v1/chat/completions", json=BODY)).status_code == 200
    broken = await client.post(path, content=b"{", headers={"content-type": "application/json"})
    assert broken.status_code == 400


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_body_may_come_packed(client: httpx.AsyncClient, name: str, pack: object) -> None:
    packed = pack(json.dumps(BODY).encode())  # type: ignore[operator]
    headers = {"content-type": "application/json", "content-encoding": name}
    answer = await client.post(CHAT, content=packed, headers=headers)
    assert answer.json()["choices"][0]["message"]["content"] == "hello"
    cut = await client.post(CHAT, content=packed[:-6], headers=headers)
    assert cut.status_code == 400
    wrong = await client.post(CHAT, content=b"{}", headers=headers)
    assert wrong.status_code == 400
    unknown = await client.post(CHAT, content=b"{}", headers={**headers, "content-encoding": "br"})
    assert "'br' is not supported" in unknown.json()["error"]["message"]


async def test_a_packed_body_is_bounded_as_any_other(client: httpx.AsyncClient) -> None:
    bomb = gzip.compress(b" " * 200_000_000)
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = await client.post(CHAT, content=bomb, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


def raw(url: str, request: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    host = urlsplit(url)
    with socket.create_connection((host.hostname, host.port), timeout=400) as connection:
        connection.sendall(request)
        received = b""
        while more := connection.recv(65536):
            received += more
    return received


def test_a_client_of_http_1_0_is_answered_and_the_connection_closed(endpoint: RunningEndpoint) -> None:
    body = json.dumps(BODY).encode()
    head = (
        f"POST {CHAT} HTTP/1.0\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    answer = raw(endpoint.url, head.encode() + body)
    head_lines, _, content = answer.partition(b"\r\n\r\n")
    assert head_lines.split(b" ")[1] == b"200"
    assert json.loads(content)["choices"][0]["message"]["content"] == "hello"


def test_a_client_of_http_1_0_gets_a_stream_without_chunks(endpoint: RunningEndpoint) -> None:
    body = json.dumps({**BODY, "stream": True}).encode()
    head = (
        f"POST {CHAT} HTTP/1.0\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    head_lines, _, content = raw(endpoint.url, head.encode() + body).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head_lines.lower()
    assert content.startswith(b"data: {")
    assert content.endswith(b"data: [DONE]\n\n")


def test_a_client_that_waits_to_be_told_is_told_to_go_on_or_why_not(endpoint: RunningEndpoint) -> None:
    body = json.dumps(BODY).encode()
    host = urlsplit(endpoint.url)
    for key, expected in ((KEY, b"HTTP/1.1 100"), ("no", b"HTTP/1.1 401")):
        head = (
            f"POST {CHAT} HTTP/1.1\r\nHost: {host.netloc}\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nExpect: 100-continue\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((host.hostname, host.port), timeout=400) as connection:
            connection.sendall(head.encode())
            assert connection.recv(65536).startswith(expected)
            if key == KEY:
                connection.sendall(body)
                assert b"hello" in connection.makefile("rb").read()


def test_headers_that_clients_send_change_nothing(endpoint: RunningEndpoint) -> None:
    headers = {
        **BEARER,
        "OpenAI-Organization": "org",
        "OpenAI-Project": "project",
        "OpenAI-Beta": "assistants=v2",
        "x-stainless-lang": "python",
        "x-ms-client-request-id": "1",
        "extra-parameters": "pass-through",
        "Accept-Encoding": "gzip, br",
    }
    answer = httpx.post(endpoint.url + CHAT, json=BODY, headers=headers)
    assert answer.status_code == 200


def test_the_settings_are_those_of_the_project() -> None:
    settings = ServerSettings(api_keys=KEYS).with_serve({"strict": False, "max_answer_tokens": 7})
    assert (settings.strict, settings.max_answer_tokens) == (False, 7)
