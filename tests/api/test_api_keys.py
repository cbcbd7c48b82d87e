"""Keys: how they are written, who they belong to, exchanging them while serving, what only an admin may."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, Depends
from tests.api.endpoint_builder import ADMIN_KEY, ADMIN_KEYS, KEY, KEYS, build_app

from remora.engine.echo import EchoEngine
from remora.errors import AdminKeyRequired, InvalidFile, InvalidInput
from remora.project.api_keys import ApiKey, parse_api_keys
from remora.server.access.auth import admin_only
from remora.server.access.key_ring import CHECK_SECONDS, KeyRing
from remora.server.access.keys import (
    admin_key_from_environment,
    keep_key,
    keys_from_environment,
    keys_from_file,
)
from remora.server.settings import ServerSettings


def test_keys_come_one_a_line_with_a_name_or_without(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("one\n\n# bob's\n  bob:two \nadmin:thr:ee\n")
    keys = keys_from_file(file)
    assert keys == (ApiKey("key-1", "one"), ApiKey("bob", "two"), ApiKey("admin", "thr:ee"))
    assert [key.is_admin for key in keys] == [False, False, True]
    assert keys_from_environment({"REMORA_API_KEY": "one"}) == (ApiKey("key-1", "one"),)
    assert keys_from_environment({}) == ()
    assert admin_key_from_environment({"REMORA_ADMIN_KEY": "a\nb"}) == (
        ApiKey("admin", "a"),
        ApiKey("admin", "b"),
    )


def test_a_key_does_not_show_itself() -> None:
    assert "s3cret" not in repr(ApiKey("bob", "s3cret"))
    assert "s3cret" not in repr(ServerSettings(api_keys=(ApiKey("bob", "s3cret"),)))


@pytest.mark.parametrize("content", [b"", b"\n \n", b"# only a word\n", b"\xff\xfe", b"two words\n"])
def test_a_key_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(InvalidFile):
        keys_from_file(file)


@pytest.mark.parametrize("line", ["two words", "schlüssel", "a\tb", "bob:", "bo b:secret", ":secret"])
def test_a_key_that_cannot_travel_is_refused_without_showing_it(line: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_api_keys(f"# first\n{line}", "REMORA_API_KEY")
    assert line not in str(refused.value)
    assert "line 2" in str(refused.value)


def test_a_kept_key_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "home" / "serve.key"
    keep_key(path)
    (made,) = keys_from_file(path)
    keep_key(path)
    assert keys_from_file(path) == (made,)
    assert len(made.secret) >= 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_keys_are_exchanged_while_serving(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "keys"
    file.write_text("bob:old-key\n")
    clock = Clock()
    ring = KeyRing(KEYS, file, clock)
    with caplog.at_level(logging.INFO):
        replace(file, "bob:old-key\nbob:new-key\n")
        assert ring.find("new-key") is None  # not looked at yet
        clock.seconds += CHECK_SECONDS
        assert ring.find("new-key") == ApiKey("bob", "new-key")
        assert ring.find("old-key") == ApiKey("bob", "old-key")
        replace(file, "bob:new-key\n")
        ring.reload()  # what SIGHUP does
        assert ring.find("old-key") is None
        assert ring.find(KEY) == KEYS[0]
    assert "bob" in caplog.text
    assert "new-key" not in caplog.text


@pytest.mark.parametrize("content", [None, "", "two words\n"])
def test_a_file_of_keys_that_breaks_takes_no_key_away(
    tmp_path: Path, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    file.write_text("bob:old-key\n")
    clock = Clock()
    ring = KeyRing((), file, clock)
    if content is None:
        file.unlink()
    else:
        replace(file, content)
    clock.seconds += CHECK_SECONDS
    assert ring.find("old-key") is not None
    assert "the former API keys stay" in caplog.text


def replace(file: Path, content: str) -> None:
    other = file.with_name("other")
    other.write_text(content)
    os.replace(other, file)  # noqa: PTH105 - as an editor does


def test_only_the_admin_key_is_an_admin_and_the_refusal_says_how_to_get_one() -> None:
    ring = KeyRing((*KEYS, *ADMIN_KEYS))
    ring.check_admin(ring.find(ADMIN_KEY))
    for caller in (ring.find(KEY), ring.find("wrong"), None):
        with pytest.raises(AdminKeyRequired, match="needs the admin key"):
            ring.check_admin(caller)
    with pytest.raises(AdminKeyRequired) as refused:
        KeyRing(KEYS).check_admin(KEYS[0])
    assert "REMORA_ADMIN_KEY" in refused.value.hint


@pytest.mark.parametrize(
    ("settings", "key", "status"),
    [
        (ServerSettings(api_keys=KEYS, admin_keys=ADMIN_KEYS, chat_page=False), ADMIN_KEY, 200),
        (ServerSettings(api_keys=KEYS, admin_keys=ADMIN_KEYS, chat_page=False), KEY, 403),
        (ServerSettings(api_keys=KEYS, admin_keys=ADMIN_KEYS, chat_page=False), "", 401),
        (ServerSettings(api_keys=KEYS, chat_page=False), KEY, 403),
        (ServerSettings(admin_keys=ADMIN_KEYS, chat_page=False), "", 403),
        (ServerSettings(admin_keys=ADMIN_KEYS, chat_page=False), ADMIN_KEY, 200),
        (ServerSettings(chat_page=False), "", 403),
    ],
)
async def test_a_route_for_admins_only(
    engine: EchoEngine, settings: ServerSettings, key: str, status: int
) -> None:
    ring = KeyRing((*settings.admin_keys, *settings.api_keys))
    router = APIRouter()

    @router.get("/v1/adapters-for-admins", dependencies=[Depends(admin_only(ring))])
    async def secret() -> str:
        return "opened"

    app = build_app(engine, settings)
    app.router.routes[:0] = router.routes  # before the route that takes every unknown path
    headers = {"authorization": f"Bearer {key}"} if key else {}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as http:
        answer = await http.get("/v1/adapters-for-admins")
    assert answer.status_code == status, answer.text
    if status == 403:
        assert answer.json()["error"]["code"] == "admin_key_required"
