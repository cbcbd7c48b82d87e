"""Adapters come and go on a running engine: proof, refusal, reference counts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.engine.tiny_models import GatedModel, TinyModel, a_request, answer, until

from remora.adapters.adapter import Adapter, Digest
from remora.engine.torch.engine import TorchEngine
from remora.engine.torch.model.lora_manager import LoraSet
from remora.errors import AdapterRejected, EngineFailed, LoadFailed, ModelNotFound

ONE_Q_PROJ_B = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"


def changed_copy(adapter: Adapter, folder: Path, **tensors: torch.Tensor | None) -> Adapter:
    """The adapter with some tensors replaced, or left out where None."""
    weights: dict[str, Any] = load_file(adapter.path / "adapter_model.safetensors")
    for key, tensor in tensors.items():
        weights.pop(key, None)
        if tensor is not None:
            weights[key] = tensor
    save_file(weights, folder / "adapter_model.safetensors")
    return replace(adapter, path=folder, digest=Digest("0" * 64))


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({ONE_Q_PROJ_B: None}, "q_proj.lora_B.weight is missing"),
        ({ONE_Q_PROJ_B: torch.zeros(48, 5)}, r"\(48, 5\) where the base model needs \(48, 4\)"),
        ({ONE_Q_PROJ_B: torch.full((48, 4), float("nan"))}, "not finite"),
        ({ONE_Q_PROJ_B: torch.full((48, 4), -1e16)}, r"beyond 5\.6.*e\+14"),
        ({"base_model.model.lm_head.weight": torch.zeros(2)}, "lm_head.weight belongs to no adapted module"),
    ],
)
async def test_an_adapter_that_does_not_fit_changes_nothing(
    engine: TorchEngine, llama: TinyModel, tmp_path: Path, tensors: dict[str, torch.Tensor | None], says: str
) -> None:
    bad = changed_copy(llama.adapters["one"], tmp_path, **tensors)
    with pytest.raises(AdapterRejected, match=says):
        engine.load_adapter(bad)
    assert engine.stats().adapters == ()
    with pytest.raises(ModelNotFound, match="000000000000"):
        engine.submit(a_request(adapter=bad))
    assert await answer(engine, a_request()) == llama.reference(None, [1, 2, 3], 8)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "not enough memory for the adapter 'one'"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "not enough memory for"),
        (RuntimeError("the device is gone\nand more"), "cannot be loaded: RuntimeError, the device is gone$"),
        (KeyError("x"), "cannot be loaded: KeyError"),
    ],
)
@pytest.mark.parametrize("step", ["read", "install"])
async def test_whatever_a_load_raises_is_an_error_of_the_tree_and_changes_nothing(
    engine: TorchEngine,
    llama: TinyModel,
    monkeypatch: pytest.MonkeyPatch,
    *,
    error: Exception,
    says: str,
    step: str,
) -> None:
    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(LoraSet, step, fail)
        with pytest.raises(LoadFailed, match=says):
            engine.load_adapter(llama.adapters["one"])
    assert engine.stats().adapters == ()
    assert engine.load_adapter(llama.adapters["one"]).modules


def test_a_base_model_that_memory_is_too_short_for_is_not_called_broken(
    llama: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("remora.engine.torch.model.checkpoint.AutoModelForCausalLM.from_pretrained", fail)
    with pytest.raises(LoadFailed, match="not enough memory for the base model in"):
        TorchEngine.load(llama.path, device="cpu")


def test_an_adapter_for_another_base_names_what_it_lacks(engine: TorchEngine, llama: TinyModel) -> None:
    two = llama.adapters["two"]
    elsewhere = replace(
        two, modules=tuple(replace(m, name=m.name.replace("self_attn", "attn")) for m in two.modules)
    )
    with pytest.raises(AdapterRejected, match=r"layers.0.attn.q_proj is no linear layer .* and \d+ more"):
        engine.load_adapter(elsewhere)


def test_a_truncated_file_is_refused(engine: TorchEngine, llama: TinyModel, tmp_path: Path) -> None:
    whole = (llama.adapters["one"].path / "adapter_model.safetensors").read_bytes()
    (tmp_path / "adapter_model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(AdapterRejected, match="cannot be read"):
        engine.load_adapter(replace(llama.adapters["one"], path=tmp_path))


def test_loading_twice_and_unloading_the_unknown_are_harmless(engine: TorchEngine, llama: TinyModel) -> None:
    adapter = llama.adapters["two"]
    first = engine.load_adapter(adapter)
    assert engine.load_adapter(adapter) == first
    assert first.modules == 14
    engine.unload_adapter(Digest("f" * 64))
    assert engine.stats().adapters == (adapter.digest,)


async def test_an_adapter_loads_in_the_middle_of_a_step(
    gated: TorchEngine, gated_model: GatedModel, llama: TinyModel
) -> None:
    running = asyncio.create_task(answer(gated, a_request(max_tokens=200)))
    await until(lambda: len(gated_model.steps) == 1)
    async with asyncio.timeout(120):  # nobody lets the step go on before it is loaded
        applied = await asyncio.to_thread(gated.load_adapter, llama.adapters["two"])
    assert applied.modules == 14
    assert len(gated_model.steps) == 1
    gated_model.let(1000)
    adapted = await answer(gated, a_request(adapter=llama.adapters["two"], max_tokens=8))
    assert adapted == llama.reference("two", [1, 2, 3], 8)
    assert await running == llama.reference(None, [1, 2, 3], 200)


async def test_an_unloaded_adapter_goes_with_its_last_request(
    gated: TorchEngine, gated_model: GatedModel, llama: TinyModel
) -> None:
    adapter = llama.adapters["two"]
    gated.load_adapter(adapter)
    stream = gated.submit(a_request(adapter=adapter, max_tokens=8))
    gated_model.let(2)
    first = await anext(aiter(stream))
    gated.unload_adapter(adapter.digest)
    assert gated.stats().adapters == ()
    with pytest.raises(ModelNotFound):
        gated.submit(a_request(adapter=adapter))
    gated_model.let(6)
    tokens = [first.token_id, *[event.token_id async for event in stream]]
    assert tokens == llama.reference("two", [1, 2, 3], 8)
    await until(lambda: not gated_model.lora.installed(adapter.digest))


async def test_an_adapter_that_comes_back_before_it_went_is_served(
    gated: TorchEngine, gated_model: GatedModel, llama: TinyModel
) -> None:
    adapter = llama.adapters["one"]
    gated.load_adapter(adapter)
    stream = gated.submit(a_request(adapter=adapter, max_tokens=3))
    gated.unload_adapter(adapter.digest)
    gated.load_adapter(adapter)
    gated_model.let(20)
    assert [event.token_id async for event in stream] == llama.reference("one", [1, 2, 3], 3)
    assert await answer(gated, a_request(adapter=adapter)) == llama.reference("one", [1, 2, 3], 8)
    assert gated.stats().adapters == (adapter.digest,)


def test_a_closed_engine_loads_nothing(engine: TorchEngine, llama: TinyModel) -> None:
    engine.close()
    with pytest.raises(EngineFailed, match="closed"):
        engine.load_adapter(llama.adapters["one"])


async def test_an_adapter_whose_numbers_overflow_fails_alone(
    gated: TorchEngine, gated_model: GatedModel, llama: TinyModel, tmp_path: Path
) -> None:
    weights = load_file(llama.adapters["two"].path / "adapter_model.safetensors")
    wild = changed_copy(
        llama.adapters["two"], tmp_path, **{key: tensor * 1e14 for key, tensor in weights.items()}
    )
    gated.load_adapter(wild)
    short, long = range(5, 8), range(10, 50)
    requests = [a_request(short, max_tokens=20), a_request(adapter=wild), a_request(long)]
    streams = [asyncio.create_task(answer(gated, request)) for request in requests]
    await until(lambda: len(gated_model.steps) == 1)
    gated_model.let(100)
    first, failed, last = await asyncio.gather(*streams, return_exceptions=True)
    assert isinstance(failed, EngineFailed)
    assert first == llama.reference(None, short, 20)
    assert last == llama.reference(None, long, 8)
