"""Endpoints over the echo engine, in process and over real HTTP, for the tests of the API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from tests.api.endpoint_builder import KEY, KEYS, RunningEndpoint, build_app, echo_engine

from remora.engine.echo import EchoEngine
from remora.server.settings import ServerSettings


@pytest.fixture
def engine() -> EchoEngine:
    return echo_engine()


@pytest.fixture
async def client(engine: EchoEngine) -> AsyncIterator[httpx.AsyncClient]:
    """The application without a network, with the key in every request."""
    transport = httpx.ASGITransport(build_app(engine))
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as http:
        yield http


@pytest.fixture
def endpoint() -> Iterator[RunningEndpoint]:
    """The application behind a real server on a loopback port."""
    with RunningEndpoint(ServerSettings(api_keys=KEYS, chat_page=False)) as running:
        yield running
