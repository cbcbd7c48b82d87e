"""Other sites' pages: what they may make a visitor's browser do here. Nothing, unless it was configured."""

from __future__ import annotations

import httpx
import pytest
from tests.api.endpoint_builder import BASE, KEY, KEYS, build_app

from remora.engine.echo import EchoEngine
from remora.server.settings import ServerSettings

WITH_KEYS = ServerSettings(api_keys=KEYS, chat_page=False)
EVIL = "https://evil.example"
FORM = {"key": KEY}


def browser(engine: EchoEngine, settings: ServerSettings, host: str = "127.0.0.1:8000") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(build_app(engine, settings))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),  # no browser
        ({"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}, 303),
        ({"origin": "https://app.example", "x-forwarded-host": "app.example"}, 303),
        ({"origin": "null"}, 403),
        ({"origin": EVIL}, 403),
        ({"origin": "http://127.0.0.1:9000"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
async def test_no_other_site_signs_a_visitor_in(
    engine: EchoEngine, headers: dict[str, str], status: int
) -> None:
    async with browser(engine, WITH_KEYS) as http:
        answer = await http.post("/login", data=FORM, headers=headers)
    assert answer.status_code == status
    assert ("set-cookie" in answer.headers) == (status == 303)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_another_sites_script_reaches_no_part_of_the_page(engine: EchoEngine, method: str) -> None:
    async with browser(engine, WITH_KEYS) as http:
        await http.post("/login", data=FORM)
        answer = await http.request(method, "/config", headers={"origin": EVIL})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")
    assert "access-control-allow-origin" not in answer.headers


async def test_without_keys_the_api_is_guarded_as_the_page_is(engine: EchoEngine) -> None:
    async with browser(engine, ServerSettings(chat_page=False)) as http:
        assert (await http.get("/v1/models")).status_code == 200
        assert (await http.get("/v1/models", headers={"origin": EVIL})).status_code == 403


async def test_a_key_is_enough_for_the_api_whatever_the_origin(engine: EchoEngine) -> None:
    headers = {"origin": EVIL, "authorization": f"Bearer {KEY}"}
    async with browser(engine, WITH_KEYS) as http:
        answer = await http.get("/v1/models", headers=headers)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers  # so its page cannot read it


async def test_only_configured_hosts_are_answered(engine: EchoEngine) -> None:
    settings = WITH_KEYS.with_serve({"allowed_hosts": "app.example, other.example"})
    async with browser(engine, settings, "app.example") as http:
        assert (await http.get("/login")).status_code == 200
        assert (await http.get("/login", headers={"host": "APP.example:443"})).status_code == 200
        foreign = await http.get("/login", headers={"host": "rebound.example"})
        assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "foreign_host")
        assert (await http.get("/healthz", headers={"host": "10.0.0.7:8000"})).status_code == 200


async def test_configured_origins_may_use_the_api_from_a_browser(engine: EchoEngine) -> None:
    settings = WITH_KEYS.with_serve({"cors_origins": "https://app.example"})
    question = {"access-control-request-method": "POST", "access-control-request-headers": "x-stainless-os"}
    async with browser(engine, settings) as http:
        asked = await http.options(
            "/v1/chat/completions", headers={"origin": "https://app.example", **question}
        )
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == "https://app.example"
        assert "access-control-allow-credentials" not in asked.headers
        refused = await http.options("/v1/chat/completions", headers={"origin": EVIL, **question})
        assert "access-control-allow-origin" not in refused.headers
        answer = await http.post(
            "/v1/chat/completions",
            json={"model": BASE, "messages": [{"role": "user", "content": "hello"}]},
            headers={"origin": "https://app.example", "authorization": f"Bearer {KEY}"},
        )
        assert answer.status_code == 200
        assert "x-request-id" in answer.headers["access-control-expose-headers"]


async def test_no_page_may_be_framed(engine: EchoEngine) -> None:
    async with browser(engine, WITH_KEYS) as http:
        policy = (await http.get("/login")).headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(("page", "status"), [("on", 200), ("off", 404)])
async def test_the_page_can_be_left_out(engine: EchoEngine, page: str, status: int) -> None:
    settings = ServerSettings().with_serve({"page": page})
    async with browser(engine, settings) as http:
        assert (await http.get("/")).status_code == status
        assert (await http.get("/v1/models")).status_code == 200
