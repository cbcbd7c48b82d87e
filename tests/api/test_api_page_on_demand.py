"""The chat page is made for the first visitor, once, and whoever only uses the API never pays for it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.api.endpoint_builder import build_app, echo_engine

from remora.server.settings import ServerSettings
from remora.server.ui import on_demand, page


@pytest.fixture
async def visitor() -> AsyncIterator[httpx.AsyncClient]:
    """Of an endpoint that asks for no key."""
    app = build_app(echo_engine(), ServerSettings())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        yield http


def test_an_endpoint_starts_without_gradio() -> None:
    program = "import remora.server.serving, sys; sys.exit('gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_visitors_who_come_at_once_get_one_page(
    visitor: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    build = page.build_page

    def counted(*parts: object) -> object:
        made.append(parts)
        return build(*parts)  # type: ignore[arg-type]

    monkeypatch.setattr(page, "build_page", counted)
    assert (await visitor.get("/v1/models")).status_code == 200
    assert made == []
    answers = await asyncio.gather(*(visitor.get("/") for _ in range(3)))
    answers.append(await visitor.get("/"))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert all("gradio" in answer.text for answer in answers)
    assert len(made) == 1


async def test_a_page_that_cannot_be_made_is_tried_again(
    visitor: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(on_demand, "PAGE", "remora.server.ui.no_such_page")
        failed = await visitor.get("/")
    assert failed.status_code == 500
    assert failed.json()["error"]["message"].startswith("the endpoint failed; its log has more")
    assert (await visitor.get("/v1/models")).status_code == 200
    assert (await visitor.get("/")).status_code == 200
