"""The smollm2 example: its answers for the score are never in its training, and a real model equals PEFT.

The second needs what `make demo-real` makes (REMORA_TEST_SMOLLM2 names its folder): minutes of training.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from peft import PeftModel
from tests.engine.tiny_models import a_request, answer, peft_warnings_ignored
from transformers import AutoModelForCausalLM

from remora.adapters.adapter import Adapter
from remora.adapters.peft.inspect import inspect_adapter
from remora.engine.torch.engine import TorchEngine

EXAMPLE = Path(__file__).parents[2] / "examples" / "smollm2"
MADE = os.environ.get("REMORA_TEST_SMOLLM2", "")
MAX_TOKENS = 40
BFLOAT16_NEAR_TIE_NATS = 0.25


@pytest.fixture(scope="module")
def tasks() -> Iterator[list[Any]]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "path", [str(EXAMPLE), *sys.path])  # which the example's modules change too
        from tasks import tasks as example_tasks  # type: ignore[import-not-found]

        yield example_tasks(50)


def test_held_out_examples_are_not_learned(tasks: list[Any]) -> None:
    for task in tasks:
        learned = {example.user for example in islice(task.training(Random(1)), 3000)}  # noqa: S311 - not for secrets
        assert len(task.held_out) == 50
        assert not learned & {example.user for example in task.held_out}


def test_the_answer_to_an_order_is_what_the_order_says(tasks: list[Any]) -> None:
    task = next(each for each in tasks if each.name == "order")
    for example in task.held_out:
        order = json.loads(example.answer)
        assert all(str(value) in example.user for value in order.values())


@pytest.mark.skipif(not MADE, reason="a real model: make test-real")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
async def test_the_base_and_both_adapters_in_one_batch_equal_peft(dtype: str, tasks: list[Any]) -> None:
    root = Path(MADE)
    engine = TorchEngine.load(root / "base", dtype=dtype)
    adapters: dict[str | None, Adapter | None] = {None: None}
    for name in ("tone", "order"):
        adapters[name] = adapter = inspect_adapter(name, root / "adapters" / name, None)
        engine.load_adapter(adapter)
    asked = [example.user for task in tasks for example in task.held_out[:10]]
    prompts = [engine.tokenizer.render_chat([{"role": "user", "content": text}]) for text in asked]
    ends = engine.tokenizer.stop_token_ids
    given = {
        name: await asyncio.gather(
            *(
                answer(engine, a_request(ids, adapter=adapter, max_tokens=MAX_TOKENS, stop_token_ids=ends))
                for ids in prompts
            )
        )
        for name, adapter in adapters.items()
    }
    engine.close()
    model = peft_model(root, dtype)
    for model_name, answers in given.items():
        for prompt, tokens in zip(prompts, answers, strict=True):
            behind = distances(model, model_name, prompt, tokens)
            assert max(behind) <= (BFLOAT16_NEAR_TIE_NATS if dtype == "bfloat16" else 1e-4), (
                model_name,
                tokens,
            )


def peft_model(root: Path, dtype: str) -> Any:
    with peft_warnings_ignored():
        base = AutoModelForCausalLM.from_pretrained(root / "base", dtype=getattr(torch, dtype))
        model = PeftModel.from_pretrained(base, root / "adapters" / "tone", adapter_name="tone")
        model.load_adapter(root / "adapters" / "order", adapter_name="order")
    return model


@torch.inference_mode()
def distances(model: Any, adapter: str | None, prompt: list[int], tokens: list[int]) -> list[float]:
    """By how many nats each token of an answer is behind the likeliest one, by PEFT. 0: the same token."""
    ids = torch.tensor([[*prompt, *tokens]])
    if adapter is None:
        with model.disable_adapter():
            logits = model(input_ids=ids).logits
    else:
        model.set_adapter(adapter)
        logits = model(input_ids=ids).logits
    scores = torch.log_softmax(logits[0, len(prompt) - 1 : -1].float(), dim=-1)
    chosen = scores.gather(1, torch.tensor(tokens)[:, None])[:, 0]
    behind: list[float] = (scores.max(dim=-1).values - chosen).tolist()
    return behind
