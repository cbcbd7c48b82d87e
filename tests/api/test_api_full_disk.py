"""A full disk below the endpoint: one error code of its own, wherever the system's error comes out."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from tests.api.shared_folder import SharedFolder

from remora.adapters.adapter import Adapter, Digest
from remora.adapters.aliases import AliasSet
from remora.adapters.registry import AdapterRegistry
from remora.engine.echo import EchoEngine
from remora.engine.loading import loading
from remora.errors import DiskFull
from remora.server.roster.roster import Roster
from remora.server.wire.problems import install_problem_handlers

FULL = Path("/dev/full")

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="needs a system with /dev/full")


def write() -> None:
    """As on a full disk: the system refuses."""
    with FULL.open("w") as file:
        file.write("x")


def opened(name: str, digest: Digest) -> Adapter:
    write()
    raise AssertionError(name, digest)


async def test_an_adapter_that_cannot_be_copied_is_not_served_and_says_why(tmp_path: Path) -> None:
    share, said = SharedFolder(tmp_path), list[str]()
    aliases = AliasSet().with_alias("tone", share.put("tone", 1))
    roster = Roster(EchoEngine(), AdapterRegistry("tone-base", ()), said.append)
    await roster.follow(1, aliases.aliases, opened)
    assert "cannot be written: the disk is full" in roster.problems["tone"].reason
    assert "the disk is full" in said[0]
    with pytest.raises(DiskFull):
        await roster.add("tone", lambda: opened("tone", Digest("0")))


async def test_a_request_is_answered_with_it() -> None:
    app = FastAPI()
    install_problem_handlers(app)

    @app.get("/write")
    def answer() -> None:
        write()

    @app.get("/read")
    def read() -> None:
        Path("/does/not/exist").read_text()

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        full = await client.get("/write")
        assert (full.status_code, full.json()["error"]["code"]) == (507, "disk_full")
        assert (await client.get("/read")).status_code == 500


def test_weights_that_cannot_be_taken_in_say_it() -> None:
    with pytest.raises(DiskFull), loading("adapter tone"):
        write()
