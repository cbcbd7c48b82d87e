"""The promise of the torch engine: in one batch, each token is what PEFT gives for each request alone."""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.engine.tiny_models import (
    ARCHITECTURES,
    DEVICE,
    GatedModel,
    OpenModel,
    TinyModel,
    a_request,
    answer,
    write_model,
)

from remora.engine.echo import EchoTokenizer
from remora.engine.torch.engine import TorchEngine
from remora.engine.torch.native.build import native_library
from remora.engine.torch.native.layers import MODEL_TYPES

ANSWER_TOKENS = 24
SEEDS = int(os.environ.get("REMORA_PARITY_SEEDS", "2"))
PROMPTS: dict[str | None, list[int]] = {
    None: list(range(40, 47)),
    "narrow": [5],
    "stable": list(range(200, 170, -1)),
    "pattern": [9, 9, 77, 3],
    "wide": [(7 * index) % 250 for index in range(53)],
}


def add_four_adapters(model: TinyModel, attention: list[str]) -> None:
    model.add_adapter("narrow", r=1, lora_alpha=2, target_modules=attention[:1])
    model.add_adapter("stable", r=8, lora_alpha=5, use_rslora=True, target_modules=attention)
    model.add_adapter(
        "pattern",
        r=4,
        lora_alpha=4,
        target_modules=[attention[0], "down_proj"],
        rank_pattern={"down_proj": 3},
        alpha_pattern={"layers.1.mlp.down_proj": 9},
    )
    model.add_adapter("wide", r=16, lora_alpha=16, target_modules="all-linear")


@pytest.fixture(params=["always", "never"])
def native(request: pytest.FixtureRequest) -> str:
    """Layers in native code, where the model is one for it, and by the model's own modules."""
    if request.param == "always" and (DEVICE != "cpu" or native_library() is None):
        pytest.skip("native code needs a CPU and a C++ compiler")
    return str(request.param)


@pytest.mark.parametrize(
    ("architecture", "native"),
    [(name, "never") for name in ARCHITECTURES]
    + [(name, "always") for name in ARCHITECTURES if name in MODEL_TYPES],
    indirect=["native"],
)
async def test_each_request_of_a_mixed_batch_equals_peft_alone(
    architecture: str, native: str, tmp_path: Path
) -> None:
    model = TinyModel(write_model(tmp_path / "base", architecture))
    add_four_adapters(model, ["qkv_proj"] if architecture == "phi3" else ["q_proj", "v_proj"])
    expected = [model.reference(name, prompt, ANSWER_TOKENS) for name, prompt in PROMPTS.items()]
    assert len({tuple(tokens) for tokens in expected}) == len(PROMPTS)

    engine = TorchEngine.load(model.path, device=DEVICE, prefill_tokens_per_step=20, native=native)
    assert ("native" in engine.stack.engine) == (native == "always")
    for adapter in model.adapters.values():
        applied = engine.load_adapter(adapter)
        assert applied.modules == len(adapter.modules)
        assert applied.parameters == sum(m.rank * (m.in_features + m.out_features) for m in adapter.modules)
    requests = [
        a_request(prompt, adapter=model.adapters[name] if name else None, max_tokens=ANSWER_TOKENS)
        for name, prompt in PROMPTS.items()
    ]
    answers = await asyncio.gather(*(answer(engine, request) for request in requests))
    steps = engine.stats().steps or 0
    engine.close()

    assert answers == expected
    assert 0 < steps < 2 * ANSWER_TOKENS  # they shared steps: one after the other takes five times as many


async def test_the_same_adapter_on_and_off_the_head_differs(native: str, tmp_path: Path) -> None:
    model = TinyModel(write_model(tmp_path / "base", "llama"))
    head = model.add_adapter("head", r=4, lora_alpha=64, target_modules=["lm_head"])
    prompts = [[1, 2, 3], list(range(30)), [4]]
    engine = TorchEngine.load(model.path, device=DEVICE, prefill_tokens_per_step=16, native=native)
    engine.load_adapter(head)
    answers = await asyncio.gather(
        answer(engine, a_request(prompts[0], adapter=head)),
        answer(engine, a_request(prompts[1])),
        answer(engine, a_request(prompts[2], adapter=head)),
    )
    engine.close()
    assert list(answers) == [
        model.reference("head", prompts[0], 8),
        model.reference(None, prompts[1], 8),
        model.reference("head", prompts[2], 8),
    ]


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_joins_and_leaves_at_random_steps_change_no_answer(
    seed: int, native: str, tmp_path: Path
) -> None:
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    model = TinyModel(write_model(tmp_path / "base", "qwen2"))
    add_four_adapters(model, ["q_proj", "v_proj"])
    gated = GatedModel(model.path, native=native)
    engine = TorchEngine(gated, EchoTokenizer(), max_running_requests=6, prefill_tokens_per_step=7)
    for adapter in model.adapters.values():
        engine.load_adapter(adapter)
    asked, running = [], []
    for _ in range(12):
        name = chance.choice(list(PROMPTS))
        prompt = [chance.randrange(250) for _ in range(chance.randint(1, 40))]
        count = chance.randint(1, 20)
        chosen = model.adapters[name] if name else None
        asked.append((name, prompt, count))
        running.append(
            asyncio.create_task(answer(engine, a_request(prompt, adapter=chosen, max_tokens=count)))
        )
        if chance.random() < 0.3:  # someone whose answer nobody waits for
            leaving = engine.submit(a_request(prompt, adapter=chosen, max_tokens=50))
            gated.let(2)
            await leaving.aclose()
        gated.let(chance.randint(1, 6))
        await asyncio.sleep(0)
    gated.let(100_000)
    answers = await asyncio.gather(*running)
    engine.close()
    assert answers == [model.reference(*question) for question in asked]


async def test_a_name_that_is_given_to_another_adapter_and_back(llama: TinyModel, native: str) -> None:
    engine = TorchEngine.load(llama.path, device=DEVICE, native=native)
    prompt = list(range(20, 50))  # long enough to be remembered
    for name in ("one", "two", "one"):
        adapter = replace(llama.adapters[name], name="tone")
        engine.load_adapter(adapter)
        for _ in range(2):
            assert await answer(engine, a_request(prompt, adapter=adapter)) == llama.reference(
                name, prompt, 8
            )
        engine.unload_adapter(adapter.digest)
        assert engine.stats().adapters == ()
    engine.close()


@pytest.mark.parametrize("architecture", ["mistral", "gemma3_text"])  # both look back 9 tokens only
async def test_a_prompt_may_be_cut_anywhere(architecture: str, tmp_path: Path) -> None:
    model = TinyModel(write_model(tmp_path / "base", architecture))
    adapter = model.add_adapter("one", r=4, lora_alpha=8, target_modules="all-linear")
    prompt = [(17 * index) % 250 for index in range(23)]
    expected = model.reference("one", prompt, 6)
    opened = OpenModel(model.path)
    for prefill in range(1, len(prompt) + 1):
        engine = TorchEngine(opened, EchoTokenizer(), prefill_tokens_per_step=prefill, speculation="off")
        engine.load_adapter(adapter)
        assert await answer(engine, a_request(prompt, adapter=adapter, max_tokens=6)) == expected
        assert engine.stats().steps == -(-len(prompt) // prefill) + 5
        engine.close()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
async def test_a_gpu_answers_as_peft_does(tmp_path: Path) -> None:
    model = TinyModel(write_model(tmp_path / "base", "qwen2"))
    add_four_adapters(model, ["q_proj", "v_proj"])
    for quantize in ("none", "int8"):
        engine = TorchEngine.load(model.path, device="cuda", quantize=quantize)
        for adapter in model.adapters.values():
            engine.load_adapter(adapter)
        answers = await asyncio.gather(
            *(
                answer(engine, a_request(prompt, adapter=model.adapters[name] if name else None))
                for name, prompt in PROMPTS.items()
            )
        )
        engine.close()
        if quantize == "none":
            assert answers == [model.reference(name, prompt, 8) for name, prompt in PROMPTS.items()]
