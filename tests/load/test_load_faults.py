"""What goes wrong under an endpoint: the right status for whoever asked, and the next request is answered.

Half a body is in tests/api/test_api_admission.py, an engine process that dies in tests/vllm.
"""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from tests.api.endpoint_builder import ADMIN_KEY, ADMIN_KEYS, KEY, KEYS
from tests.engine.tiny_models import GatedModel, TinyModel, until, write_model

import remora.server
from remora.adapters.peft.base_shape import read_base
from remora.adapters.registry import AdapterRegistry
from remora.engine.base import Engine
from remora.engine.text.chat_template import HfTokenizer
from remora.engine.torch.engine import TorchEngine
from remora.engine.torch.scheduling.scheduler import Chunk
from remora.server.access.key_ring import KeyRing
from remora.server.access.sessions import Sessions
from remora.server.app import create_app
from remora.server.settings import ServerSettings

COMPLETIONS, LOAD, UNLOAD = "/v1/completions", "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
MANY_STEPS = 100_000


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    model = TinyModel(write_model(tmp_path_factory.mktemp("tiny") / "base", "llama"))
    model.add_adapter("one", r=4, lora_alpha=8, target_modules=["q_proj"])
    return model


@asynccontextmanager
async def endpoint(engine: Engine, tiny: TinyModel) -> AsyncIterator[httpx.AsyncClient]:
    root = tiny.path.parent
    settings = ServerSettings(api_keys=KEYS, admin_keys=ADMIN_KEYS, chat_page=False, adapter_roots=(root,))
    base = read_base(tiny.path)
    app = create_app(engine, AdapterRegistry("base", ()), settings, base=base)
    headers = {"authorization": f"Bearer {KEY}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        yield client


def question(model: str = "base", **fields: Any) -> dict[str, Any]:
    return {"model": model, "prompt": "a b", "max_tokens": 4, "temperature": 0, **fields}


class FailingModel(GatedModel):
    """Fails in its third step."""

    def forward(self, chunks: Sequence[Chunk]) -> torch.Tensor:
        if len(self.steps) == 2:
            raise RuntimeError("the device is gone")
        return super().forward(chunks)


async def test_an_engine_that_raises_says_so_to_all_and_asks_to_be_restarted(
    tiny: TinyModel, caplog: pytest.LogCaptureFixture
) -> None:
    model = FailingModel(tiny.path)
    model.let(MANY_STEPS)
    engine = TorchEngine(model, HfTokenizer(tiny.path))
    async with endpoint(engine, tiny) as client:
        streamed = await client.post(COMPLETIONS, json=question(stream=True, max_tokens=20))
        events = [line.removeprefix("data: ") for line in streamed.text.split("\n\n") if line]
        assert json.loads(events[-2])["error"]["code"] == "engine_failed"
        assert events[-1] == "[DONE]"
        refused = await client.post(COMPLETIONS, json=question())
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "engine_failed")
        assert refused.headers["retry-after"]
        assert "the device is gone" not in refused.text
        assert [(await client.get(path)).status_code for path in ("/healthz", "/readyz")] == [503, 503]
        assert "remora_engine_alive 0.0" in (await client.get("/metrics")).text
    assert "the device is gone" in caplog.text
    engine.close()
    restarted = TorchEngine.load(tiny.path, device="cpu")
    async with endpoint(restarted, tiny) as client:
        assert (await client.post(COMPLETIONS, json=question())).status_code == 200
    restarted.close()


async def test_when_the_key_value_cache_is_full_requests_wait_and_too_large_ones_are_refused(
    tiny: TinyModel,
) -> None:
    engine = TorchEngine.load(tiny.path, device="cpu", kv_cache_tokens=40)
    async with endpoint(engine, tiny) as client:
        waiting = [client.post(COMPLETIONS, json=question(max_tokens=30)) for _ in range(6)]
        assert [(await answer).status_code for answer in asyncio.as_completed(waiting)] == [200] * 6
        refused = await client.post(COMPLETIONS, json=question(max_tokens=60))
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
        assert (await client.post(COMPLETIONS, json=question())).status_code == 200
    engine.close()


async def test_an_adapter_that_is_unloaded_while_it_answers_finishes_and_is_gone(tiny: TinyModel) -> None:
    model = GatedModel(tiny.path)
    engine = TorchEngine(model, HfTokenizer(tiny.path))
    async with endpoint(engine, tiny) as client:
        path = str(tiny.adapters["one"].path)
        loading = asyncio.create_task(
            client.post(LOAD, json={"lora_name": "one", "lora_path": path}, headers=ADMIN)
        )
        assert (await loading).status_code == 200, (await loading).text
        answering = asyncio.create_task(client.post(COMPLETIONS, json=question("one", max_tokens=6)))
        model.let(2)
        await until(lambda: engine.stats().generated_tokens >= 2)
        gone = await client.post(UNLOAD, json={"lora_name": "one"}, headers=ADMIN)
        assert gone.status_code == 200
        missing = await client.post(COMPLETIONS, json=question("one"))
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
        model.let(MANY_STEPS)
        answer = (await answering).json()
        assert answer["usage"]["completion_tokens"] == 6
        assert answer["remora"]["adapter"] == "one"
        await until(lambda: engine.stats().adapters == ())
        assert (await client.post(COMPLETIONS, json=question())).status_code == 200
    engine.close()


async def test_an_adapter_that_was_cut_off_by_a_full_disk_is_refused_and_harms_nobody(
    tiny: TinyModel, tmp_path: Path
) -> None:
    whole = tiny.adapters["one"].path
    cut = tiny.path.parent / "cut"
    cut.mkdir()
    (cut / "adapter_config.json").write_bytes((whole / "adapter_config.json").read_bytes())
    weights = (whole / "adapter_model.safetensors").read_bytes()
    engine = TorchEngine.load(tiny.path, device="cpu")
    async with endpoint(engine, tiny) as client:
        for size in (0, 7, 100, len(weights) // 2, len(weights) - 1):
            (cut / "adapter_model.safetensors").write_bytes(weights[:size])
            refused = await client.post(LOAD, json={"lora_name": "cut", "lora_path": str(cut)}, headers=ADMIN)
            assert refused.status_code == 400, refused.text
            assert refused.json()["error"]["code"] in {"adapter_rejected", "invalid_file"}
        names = [card["id"] for card in (await client.get("/v1/models")).json()["data"]]
        assert names == ["base"]
        assert engine.stats().adapters == ()
        assert (await client.post(COMPLETIONS, json=question())).status_code == 200
    engine.close()


def test_a_header_that_claims_to_be_huge_is_not_read(tmp_path: Path) -> None:
    from remora.adapters.peft.tensor_file import MAX_HEADER_BYTES, read_header
    from remora.errors import InvalidFile

    for claimed in (2**63, MAX_HEADER_BYTES + 1, MAX_HEADER_BYTES):
        path = tmp_path / "adapter_model.safetensors"
        path.write_bytes(claimed.to_bytes(8, "little") + b"{}")
        with pytest.raises(InvalidFile):
            read_header(path)


def test_a_clock_that_jumps_ends_no_session_early_but_those_that_are_over() -> None:
    now = 1_000_000.0
    sessions = Sessions(KeyRing(KEYS), 3600, lambda: now)
    cookie = sessions.issue(KEYS[0])
    now -= 86_400  # a day back
    assert sessions.find(cookie) == KEYS[0]
    now += 86_400 + 3601  # and forward again
    assert sessions.find(cookie) is None


def test_only_dates_are_read_off_the_clock_that_can_jump() -> None:
    """Deadlines, timeouts and measured times use clocks that only go forward."""
    shown = {
        "access/sessions.py",
        "api/models.py",
        "api/ollama/models.py",
        "api/ollama/routes.py",
        "api/responses/routes.py",
        "generation/answering.py",
        "telemetry/engine_metrics.py",
        "telemetry/request_record.py",
    }
    server = Path(remora.server.__file__).parent
    readers = {
        path.relative_to(server).as_posix()
        for path in server.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"time", "time_ns", "now"}
        if isinstance(node.value, ast.Name) and node.value.id in {"time", "datetime"}
    }
    assert readers <= shown
