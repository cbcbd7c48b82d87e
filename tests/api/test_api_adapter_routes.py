"""vLLM's routes for adapters: for admins, from allowed folders only, and never against an alias."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.api.endpoint_builder import ADAPTERS, ADMIN_KEYS, BASE, KEY, KEYS, echo_engine
from tests.api.shared_folder import make_lora
from tests.cli.trained_folder import make_base

from remora.adapters.peft.base_shape import read_base
from remora.adapters.registry import AdapterRegistry
from remora.server.app import create_app
from remora.server.settings import ServerSettings

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The allowed folder, with one good adapter; another lies beside it."""
    make_base(tmp_path)
    make_lora(tmp_path / "allowed" / "good", 1)
    make_lora(tmp_path / "secret", 1)
    return tmp_path / "allowed"


@pytest.fixture
async def admin(root: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = ServerSettings(api_keys=KEYS, admin_keys=ADMIN_KEYS, chat_page=False, adapter_roots=(root,))
    base = read_base(root.parent / "base")
    app = create_app(echo_engine(), AdapterRegistry(BASE, ADAPTERS), settings, base=base)
    headers = {"authorization": f"Bearer {ADMIN_KEYS[0].secret}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as http:
        yield http


async def ids(http: httpx.AsyncClient) -> list[str]:
    return [card["id"] for card in (await http.get("/v1/models")).json()["data"]]


async def test_an_adapter_comes_and_goes(admin: httpx.AsyncClient, root: Path) -> None:
    loaded = await admin.post(LOAD, json={"lora_name": "mine", "lora_path": str(root / "good")})
    assert (loaded.status_code, loaded.text) == (200, "Success: LoRA adapter 'mine' added successfully.")
    assert await ids(admin) == [BASE, "tone", "pirate", "mine"]
    question = {"model": "mine", "prompt": "hello", "max_tokens": 64}
    answer = (await admin.post("/v1/completions", json=question)).json()
    assert answer["choices"][0]["text"].endswith(":hello")
    gone = await admin.post(UNLOAD, json={"lora_name": "mine"})
    assert (gone.status_code, gone.text) == (200, "Success: LoRA adapter 'mine' removed successfully.")
    assert await ids(admin) == [BASE, "tone", "pirate"]
    assert (await admin.post("/v1/completions", json=question)).status_code == 404


@pytest.mark.parametrize("route", [LOAD, UNLOAD])
async def test_only_the_admin_may(admin: httpx.AsyncClient, route: str) -> None:
    body = {"lora_name": "mine", "lora_path": "good"}
    for headers, status in (({"authorization": f"Bearer {KEY}"}, 403), ({"authorization": ""}, 401)):
        answer = await admin.post(route, json=body, headers=headers)
        assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "/etc",
        "good/../../secret",
        "link",
        "half/../link",
        "linked-file",
        "linked-template",
        "a\0b",
    ],
)
async def test_no_path_leads_outside(admin: httpx.AsyncClient, root: Path, path: str) -> None:
    (root / "link").symlink_to(root.parent / "secret")
    (root / "linked-file").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (root / "linked-file" / name).symlink_to(root.parent / "secret" / name)
    (root / "linked-template").mkdir()
    (root.parent / "secret.jinja").write_text("{{ messages[0].content }}")
    (root / "linked-template" / "chat_template.jinja").symlink_to(root.parent / "secret.jinja")
    answer = await admin.post(LOAD, json={"lora_name": "mine", "lora_path": path})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == "lora_path"
    assert "mine" not in await ids(admin)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"lora_name": "mine", "lora_path": "nowhere"}, 404, "no folder"),
        ({"lora_name": "mine", "lora_path": "https://example.com/adapter"}, 404, "no folder"),
        ({"lora_name": "mine", "lora_path": "."}, 400, "adapter_config.json"),
        ({"lora_name": "tone", "lora_path": "good"}, 400, "remora adapters push tone"),
        ({"lora_name": BASE, "lora_path": "good"}, 400, "served already"),
        ({"lora_name": "../x", "lora_path": "good"}, 400, "cannot name an adapter"),
        ({"lora_name": "mine"}, 400, "lora_path"),
        ({"lora_name": "mine", "lora_path": "good", "base_model_name": "x"}, 400, "base_model_name"),
    ],
)
async def test_what_cannot_be_loaded_is_explained(
    admin: httpx.AsyncClient, body: dict[str, str], status: int, said: str
) -> None:
    answer = await admin.post(LOAD, json=body)
    assert (answer.status_code, said in answer.json()["error"]["message"]) == (status, True), answer.text
    assert await ids(admin) == [BASE, "tone", "pirate"]


async def test_an_alias_is_not_unloaded_by_hand(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(UNLOAD, json={"lora_name": "tone"})
    assert answer.status_code == 400
    assert "remora adapters rm tone" in answer.json()["error"]["message"]
    answer = await admin.post(UNLOAD, json={"lora_name": "nobody"})
    assert answer.status_code == 404
