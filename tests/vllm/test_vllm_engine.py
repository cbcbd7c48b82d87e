"""vLLM as an engine: the same promises as the torch engine, with a real `vllm serve` on this machine.

Skipped unless REMORA_VLLM names the program; `make test-vllm` installs it and runs this.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from tests.engine.tiny_models import TinyModel, a_request, answer, read, write_model

from remora.adapters.registry import AdapterRegistry
from remora.engine.torch.engine import TorchEngine
from remora.engine.vllm.child import VARIABLE, ChildSettings
from remora.engine.vllm.engine import VllmEngine
from remora.errors import AdapterRejected, EngineFailed, UnsupportedParameter
from remora.server.app import create_app
from remora.server.settings import ServerSettings

pytestmark = [
    pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} names no vllm: run make test-vllm"),
    pytest.mark.timeout(1200),
]

ANSWER_TOKENS = 16
PROMPTS: dict[str | None, list[int]] = {
    None: list(range(40, 47)),
    "eight": [5, 6],
    "stable": list(range(200, 170, -1)),
    "wide": [(7 * index) % 250 for index in range(53)],
}
SETTINGS = ChildSettings(
    dtype="float32",
    most_adapters=4,
    highest_rank=16,
    context_length=128,
    extra_arguments=("--enforce-eager", "--no-enable-prefix-caching"),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """Heads of 64, the least that vLLM's attention knows on a CPU."""
    path = tmp_path_factory.mktemp("vllm") / "base"
    sizes = {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.1}
    model = TinyModel(write_model(path, "llama", **sizes))
    model.add_adapter("eight", r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"])
    model.add_adapter("stable", r=16, lora_alpha=5, use_rslora=True, target_modules=["o_proj", "down_proj"])
    model.add_adapter("wide", r=16, lora_alpha=32, target_modules="all-linear")
    model.add_adapter("pattern", r=4, lora_alpha=4, target_modules=["q_proj"], alpha_pattern={"q_proj": 9})
    return model


@pytest.fixture(scope="module")
def engine(model: TinyModel) -> Iterator[VllmEngine]:
    engine = VllmEngine.load(model.path, SETTINGS, max_queued_requests=16)
    for name in ("eight", "stable", "wide"):
        engine.load_adapter(model.adapters[name])
    yield engine
    engine.close()


async def test_each_request_of_a_mixed_batch_equals_peft_alone(engine: VllmEngine, model: TinyModel) -> None:
    expected = [model.reference(name, prompt, ANSWER_TOKENS) for name, prompt in PROMPTS.items()]
    assert len({tuple(tokens) for tokens in expected}) == len(PROMPTS)
    requests = [
        a_request(prompt, adapter=model.adapters[name] if name else None, max_tokens=ANSWER_TOKENS)
        for name, prompt in PROMPTS.items()
    ]
    assert await asyncio.gather(*(answer(engine, request) for request in requests)) == expected


async def test_log_probabilities_equal_those_of_torch(engine: VllmEngine, model: TinyModel) -> None:
    request = a_request([5, 6], adapter=model.adapters["eight"], max_tokens=4, top_logprobs=5)
    ours = await read(engine, request)
    torch_engine = TorchEngine.load(model.path, device="cpu", dtype="float32")
    torch_engine.load_adapter(model.adapters["eight"])
    theirs = await read(torch_engine, request)
    torch_engine.close()
    for mine, reference in zip(ours, theirs, strict=True):
        assert mine.logprob == pytest.approx(reference.logprob, abs=1e-3)
        assert [token for token, _ in mine.top_logprobs] == [token for token, _ in reference.top_logprobs]


async def test_a_closed_stream_ends_the_request(engine: VllmEngine) -> None:
    stream = engine.submit(a_request([1, 2, 3], max_tokens=100))
    await anext(aiter(stream))
    assert engine.stats().running_requests == 1
    before = engine.stats().cancelled_requests
    await stream.aclose()
    assert engine.stats().running_requests == 0
    assert engine.stats().cancelled_requests == before + 1


async def test_an_adapter_goes_with_its_last_request_and_comes_back(
    engine: VllmEngine, model: TinyModel
) -> None:
    adapter = model.adapters["eight"]
    expected = model.reference("eight", [5, 6], ANSWER_TOKENS)
    request = a_request([5, 6], adapter=adapter, max_tokens=ANSWER_TOKENS)
    stream = engine.submit(request)
    engine.unload_adapter(adapter.digest)
    assert adapter.digest not in engine.stats().adapters
    assert [event.token_id async for event in stream] == expected
    engine.load_adapter(adapter)
    assert await answer(engine, request) == expected


def test_what_vllm_would_ignore_is_refused(engine: VllmEngine, model: TinyModel) -> None:
    with pytest.raises(AdapterRejected, match="alpha_pattern"):
        engine.load_adapter(model.adapters["pattern"])


async def test_a_scale_and_a_layer_less_are_refused(engine: VllmEngine, model: TinyModel) -> None:
    with pytest.raises(UnsupportedParameter, match="scale"):
        engine.submit(a_request([1], adapter=model.adapters["eight"], adapter_scale=0.5))
    with pytest.raises(UnsupportedParameter, match="in all layers") as refused:
        engine.submit(a_request([1], adapter=model.adapters["eight"], adapter_without_layer=0))
    assert refused.value.param == "adapter_without_layer"


async def test_its_death_is_reported_within_two_seconds(model: TinyModel) -> None:
    engine = VllmEngine.load(model.path, SETTINGS, max_queued_requests=16)
    settings = ServerSettings(chat_page=False)
    app = create_app(engine, AdapterRegistry("base", ()), settings)
    with listening(app) as url:
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/readyz")).status_code == 200
            stream = engine.submit(a_request([1, 2], max_tokens=120))
            await anext(aiter(stream))
            os.kill(engine.child_pid, signal.SIGKILL)
            killed_at = time.monotonic()
            while (await client.get("/readyz")).status_code == 200:
                assert time.monotonic() - killed_at < 2
                await asyncio.sleep(0.05)
    with pytest.raises(EngineFailed):
        async for _ in stream:
            pass
    with pytest.raises(EngineFailed, match="died"):
        engine.submit(a_request([1], max_tokens=1))
    engine.close()


class listening:  # noqa: N801 - used as a statement
    """The app on a port of its own, while the block runs."""

    def __init__(self, app: object) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))  # type: ignore[arg-type]
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
