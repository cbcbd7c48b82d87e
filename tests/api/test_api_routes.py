"""Completions, models, health, keys and sessions, in process."""

from __future__ import annotations

import json

import httpx
import pytest
from tests.api.endpoint_builder import BASE, KEY, KEYS, PIRATE_DIGEST, build_app

from remora.engine.echo import EchoEngine
from remora.project.api_keys import ApiKey
from remora.server.access.key_ring import KeyRing
from remora.server.access.sessions import COOKIE, Sessions
from remora.server.settings import ServerSettings

PAGE = {"accept": "text/html"}


def browser(engine: EchoEngine, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(build_app(engine))
    return httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers)


async def test_a_completion(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/v1/completions", json={"model": "pirate", "prompt": "ahoy", "max_tokens": 40}
    )
    document = answer.json()
    assert document["object"] == "text_completion"
    assert document["choices"][0]["text"] == "0badcafe0bad:ahoy"
    assert document["usage"]["prompt_tokens"] == 4
    assert document["remora"]["digest"] == PIRATE_DIGEST


async def test_a_streamed_completion_has_the_apis_default_length(client: httpx.AsyncClient) -> None:
    fields = {"model": BASE, "prompt": ["x" * 30], "stream": True, "stream_options": {"include_usage": True}}
    answer = await client.post("/v1/completions", json=fields)
    events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    chunks = [json.loads(event) for event in events[:-1]]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks[:-1]) == "x" * 16
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["usage"]["completion_tokens"] == 16


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": ["a", ""]}, "prompt"),
        ({"prompt": ["a"] * 1025}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": [[1], []]}, "prompt"),
        ({"prompt": "a", "suffix": "b"}, "suffix"),
        ({"prompt": "a", "n": 2, "best_of": 1}, "best_of"),
        ({"prompt": "a", "best_of": 2, "stream": True}, "best_of"),
        ({"prompt": "a", "max_tokens": 0}, "max_tokens"),
        ({"prompt": "a", "logprobs": 21}, "logprobs"),
        ({"prompt": "a", "messages": []}, "messages"),
    ],
)
async def test_a_bad_completion_is_refused(
    client: httpx.AsyncClient, fields: dict[str, object], param: str
) -> None:
    answer = await client.post("/v1/completions", json={"model": BASE, **fields})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_models_are_listed_with_the_base_first(client: httpx.AsyncClient) -> None:
    cards = (await client.get("/v1/models")).json()["data"]
    assert [card["id"] for card in cards] == [BASE, "tone", "pirate"]
    assert cards[0]["parent"] is None
    assert set(cards[0]["stack"]) == {"engine", "dtype", "device", "template"}
    assert cards[2]["parent"] == BASE
    assert cards[2]["root"] == "pirate"
    assert cards[2]["adapter"]["digest"] == PIRATE_DIGEST
    assert cards[2]["adapter"]["rank"] == 8


@pytest.mark.parametrize(("name", "found"), [(BASE, BASE), ("tone", "tone"), (f"{BASE}:tone", "tone")])
async def test_one_model_is_shown(client: httpx.AsyncClient, name: str, found: str) -> None:
    assert (await client.get(f"/v1/models/{name}")).json()["id"] == found


async def test_unknown_models_and_routes_are_openai_errors(client: httpx.AsyncClient) -> None:
    missing = await client.get("/v1/models/a/b")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
    nowhere = await client.get("/v1/nowhere")
    assert (nowhere.status_code, nowhere.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer \xe9"]
)
@pytest.mark.parametrize("path", ["/v1/models", "/v1/nowhere", "/v1"])
async def test_the_api_needs_the_key(engine: EchoEngine, path: str, authorization: str) -> None:
    headers = {b"authorization": authorization.encode("latin-1")} if authorization else {}
    async with browser(engine) as http:
        answer = await http.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert answer.headers["x-request-id"]


async def test_any_of_several_keys_opens_the_api(engine: EchoEngine) -> None:
    app = build_app(
        engine, ServerSettings(api_keys=(ApiKey("a", "old"), ApiKey("b", "new")), chat_page=False)
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        for key in ("old", "new"):
            answer = await http.get("/v1/models", headers={"authorization": f"bearer {key}"})
            assert answer.status_code == 200


async def test_a_clients_own_request_id_is_kept_if_it_is_harmless(client: httpx.AsyncClient) -> None:
    kept = await client.get("/healthz", headers={"x-request-id": "mine-1"})
    assert kept.headers["x-request-id"] == "mine-1"
    replaced = await client.get("/healthz", headers={"x-request-id": "two words"})
    assert replaced.headers["x-request-id"].startswith("req-")


async def test_health_needs_no_key(engine: EchoEngine) -> None:
    async with browser(engine) as http:
        assert (await http.get("/healthz")).json()["status"] == "alive"
        assert (await http.get("/readyz")).json()["status"] == "ready"


async def test_the_page_leads_to_sign_in_and_other_clients_get_401(engine: EchoEngine) -> None:
    async with browser(engine) as http:
        page = await http.get("/", headers=PAGE)
        assert (page.status_code, page.headers["location"]) == (303, "/login")
        answer = await http.post("/gradio_api/queue/join", json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "sign_in_required")


async def test_signing_in_sets_a_strict_cookie_and_never_shows_the_key(engine: EchoEngine) -> None:
    async with browser(engine) as http:
        assert KEY not in (await http.get("/login")).text
        wrong = await http.post("/login", data={"key": "wrong<b>"})
        assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
        assert "This key is not valid" in wrong.text
        assert "wrong" not in wrong.text
        right = await http.post("/login", data={"key": KEY})
        cookie = right.headers["set-cookie"]
        assert (right.status_code, right.headers["location"]) == (303, "/")
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Secure" not in cookie
        assert KEY not in cookie
        assert (await http.get("/", headers=PAGE)).status_code == 404  # let through: this app has no page
        signed_out = await http.post("/logout")
        assert 'remora_session=""' in signed_out.headers["set-cookie"]
        assert (await http.get("/", headers=PAGE)).status_code == 303


async def test_signing_out_ends_that_session_and_no_other(engine: EchoEngine) -> None:
    app = build_app(engine)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        cookies = []
        for _ in range(2):
            http.cookies.clear()
            cookies.append((await http.post("/login", data={"key": KEY})).cookies[COOKIE])
        http.cookies.clear()
        first, second = ({"cookie": f"{COOKIE}={cookie}", **PAGE} for cookie in cookies)
        assert (await http.post("/logout", headers=first)).status_code == 303
        assert (await http.get("/", headers=first)).headers["location"] == "/login"
        assert (await http.get("/", headers=second)).status_code == 404  # let through: this app has no page


def test_what_was_signed_out_is_forgotten_once_it_has_run_out() -> None:
    now = 1000.0
    sessions = Sessions(KeyRing(KEYS), 60, lambda: now)
    early = sessions.issue(KEYS[0])
    sessions.end(early)
    sessions.end(early)
    sessions.end("made.up.cookie")
    assert sessions.find(early) is None
    now += 61
    sessions.end(sessions.issue(KEYS[0]))
    assert len(sessions._ended) == 1


async def test_behind_tls_the_cookie_is_secure(engine: EchoEngine) -> None:
    async with browser(engine, **{"x-forwarded-proto": "https"}) as http:
        assert "Secure" in (await http.post("/login", data={"key": KEY})).headers["set-cookie"]


@pytest.mark.parametrize("cookie", ["", "x", "9999999999.", "9999999999.abc", ".", "9" * 5000 + ".a", "²³.x"])
def test_a_made_up_cookie_opens_nothing(cookie: str) -> None:
    assert Sessions(KeyRing(KEYS), 60).find(cookie) is None


def test_a_session_ends_with_its_time_and_with_its_key() -> None:
    now = 1000.0
    old, new = ApiKey("alice", "old"), ApiKey("alice", "new")
    cookie = Sessions(KeyRing((old, new)), 60, lambda: now).issue(old)
    only_old = KeyRing((old,))
    assert Sessions(only_old, 60, lambda: now + 59).find(cookie) == old
    assert Sessions(only_old, 60, lambda: now + 61).find(cookie) is None
    assert Sessions(KeyRing((new,)), 60, lambda: now).find(cookie) is None
    expiry, rest = cookie.split(".", 1)
    assert Sessions(only_old, 60, lambda: now).find(f"{int(expiry) + 1}.{rest}") is None


async def test_an_api_key_opens_no_page_and_a_session_no_api(engine: EchoEngine) -> None:
    async with browser(engine, authorization=f"Bearer {KEY}") as http:
        assert (await http.get("/config")).status_code == 404
    async with browser(engine) as http:
        http.cookies.set(COOKIE, Sessions(KeyRing(KEYS), 60).issue(KEYS[0]))
        assert (await http.get("/v1/models")).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:80", 200), ("localhost:8000", 200), ("[::1]:80", 200), ("evil.example", 403), ("", 403)],
)
async def test_without_a_key_only_names_of_this_machine_are_answered(
    engine: EchoEngine, host: str, status: int
) -> None:
    app = build_app(engine, ServerSettings(chat_page=False))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as http:
        answer = await http.get("/v1/models", headers={"host": host})
    assert answer.status_code == status


async def test_pages_may_load_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    policy = (await client.get("/login")).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
