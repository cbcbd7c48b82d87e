"""The promise of the torch engine: in one batch, each token is what PEFT gives for each request alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.engine.tiny_models import ARCHITECTURES, TinyModel, a_request, answer, write_model

from remora.engine.torch.engine import TorchEngine

ANSWER_TOKENS = 24
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


@pytest.mark.parametrize("architecture", ARCHITECTURES)
async def test_each_request_of_a_mixed_batch_equals_peft_alone(architecture: str, tmp_path: Path) -> None:
    model = TinyModel(write_model(tmp_path / "base", architecture))
    add_four_adapters(model, ["qkv_proj"] if architecture == "phi3" else ["q_proj", "v_proj"])
    expected = [model.reference(name, prompt, ANSWER_TOKENS) for name, prompt in PROMPTS.items()]
    assert len({tuple(tokens) for tokens in expected}) == len(PROMPTS)

    engine = TorchEngine.load(model.path, device="cpu", prefill_tokens_per_step=20)
    for adapter in model.adapters.values():
        applied = engine.load_adapter(adapter)
        assert applied.modules == len(adapter.modules)
        assert applied.parameters == sum(m.rank * (m.in_features + m.out_features) for m in adapter.modules)
    requests = [
        a_request(prompt, adapter=model.adapters[name] if name else None, max_tokens=ANSWER_TOKENS)
        for name, prompt in PROMPTS.items()
    ]
    answers = await asyncio.gather(*(answer(engine, request) for request in requests))
    steps = engine.stats().steps
    engine.close()

    assert answers == expected
    assert steps < 2 * ANSWER_TOKENS  # they shared steps: one after the other takes five times as many


async def test_the_same_adapter_on_and_off_the_head_differs(tmp_path: Path) -> None:
    model = TinyModel(write_model(tmp_path / "base", "llama"))
    head = model.add_adapter("head", r=4, lora_alpha=64, target_modules=["lm_head"])
    prompts = [[1, 2, 3], list(range(30)), [4]]
    engine = TorchEngine.load(model.path, device="cpu", prefill_tokens_per_step=16)
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
