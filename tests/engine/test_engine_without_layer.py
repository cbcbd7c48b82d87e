"""An adapter without its update in one layer: it answers as in PEFT, and is kept apart from the whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tests.engine.tiny_models import (
    GatedModel,
    OpenModel,
    TinyModel,
    a_request,
    answer,
    peft_warnings_ignored,
    read,
    until,
)
from transformers import AutoModelForCausalLM

from remora.adapters.adapter import Digest
from remora.adapters.peft.inspect import inspect_adapter
from remora.engine.base import GenerationRequest
from remora.engine.text.chat_template import HfTokenizer
from remora.engine.torch.engine import TorchEngine
from remora.engine.torch.scheduling.sequence import name_without
from remora.errors import InvalidInput, ModelNotFound, UnsupportedParameter

PROMPT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6, 2, 6, 4]  # enough to be kept
COUNT = 12

Use = tuple[str | None, float, int | None]
"""An adapter's name, its scale, and the layer that is left out."""

USES: list[Use] = [
    ("two", 1.0, 0),
    (None, 1.0, None),
    ("two", 1.0, None),
    ("one", 1.0, 1),
    ("two", 0.5, 1),
    ("one", 1.0, None),
    ("two", 1.0, 1),
    ("one", 1.0, 0),
]


@pytest.fixture(params=["always", "never"])
def either(request: pytest.FixtureRequest, llama: TinyModel) -> Iterator[TorchEngine]:
    """An engine over native layers, where there are any, and one over the model's modules."""
    engine = TorchEngine(OpenModel(llama.path, native=request.param), HfTokenizer(llama.path))
    for adapter in (llama.adapters["one"], llama.adapters["two"]):
        engine.load_adapter(adapter)
    yield engine
    engine.close()


def asked(llama: TinyModel, use: Use, max_tokens: int, **more: Any) -> GenerationRequest:
    name, scale, layer = use
    adapter = None if name is None else llama.adapters[name]
    return a_request(
        PROMPT,
        adapter=adapter,
        adapter_scale=scale,
        adapter_without_layer=layer,
        max_tokens=max_tokens,
        **more,
    )


def expected(llama: TinyModel, use: Use) -> list[int]:
    name, scale, layer = use
    return llama.reference(name, PROMPT, COUNT, scale=scale, without_layer=layer)


async def test_in_one_batch_each_answers_as_peft_does_without_the_layer(
    either: TorchEngine, llama: TinyModel
) -> None:
    wanted = [expected(llama, use) for use in USES]
    assert len({tuple(tokens) for tokens in wanted}) == len(USES)
    got = await asyncio.gather(*(answer(either, asked(llama, use, COUNT)) for use in USES))
    assert got == wanted
    assert set(either.stats().adapters) == {llama.adapters["one"].digest, llama.adapters["two"].digest}


@pytest.mark.parametrize("layer", [0, 1])
async def test_a_prompt_is_scored_without_the_layer(
    either: TorchEngine, llama: TinyModel, layer: int
) -> None:
    with torch.no_grad():
        logits, whole = (
            llama.peft_model("two", without_layer=left_out)(torch.tensor([PROMPT])).logits[0]
            for left_out in (layer, None)
        )
    assert float((logits - whole).abs().max()) > 0.1
    (event,) = await read(either, asked(llama, ("two", 1.0, layer), 0, prompt_logprobs=5))
    rows = logits.log_softmax(-1)[:-1]
    for score, row in zip(event.prompt_scores, rows, strict=True):
        assert score.logprob == pytest.approx(float(row[score.token_id]), abs=1e-4)
        assert [value for _, value in score.top] == pytest.approx(row.topk(5).values.tolist(), abs=1e-4)


async def test_what_one_has_computed_never_serves_the_other(either: TorchEngine, llama: TinyModel) -> None:
    reused: list[int] = []
    for layer in (None, 0, 1, 0, None):
        use = "two", 1.0, layer
        events = await read(either, asked(llama, use, COUNT))
        assert [event.token_id for event in events] == expected(llama, use)
        reused.append(events[0].reused_prompt_tokens)
    assert reused == [0, 0, 0, len(PROMPT) - 1, len(PROMPT) - 1]


async def test_without_its_only_layer_an_adapter_is_the_base(llama: TinyModel, either: TorchEngine) -> None:
    made = TinyModel(llama.path, dict(llama.adapters))
    only = made.add_adapter("only", r=4, lora_alpha=8, target_modules=["q_proj"], layers_to_transform=[1])
    either.load_adapter(only)
    base, whole = made.reference(None, PROMPT, COUNT), made.reference("only", PROMPT, COUNT)
    assert base != whole
    request = a_request(PROMPT, adapter=only, max_tokens=COUNT)
    assert await answer(either, request) == whole
    assert await answer(either, replace(request, adapter_without_layer=1)) == base
    with pytest.raises(InvalidInput, match=r"no update in layer 0; those with one: 1$") as refused:
        either.submit(replace(request, adapter_without_layer=0))
    assert refused.value.param == "adapter_without_layer"


async def test_it_goes_with_the_adapter_and_its_last_request(
    gated: TorchEngine, gated_model: GatedModel, llama: TinyModel
) -> None:
    adapter = llama.adapters["two"]
    gated.load_adapter(adapter)
    request = asked(llama, ("two", 1.0, 0), COUNT)
    stream = gated.submit(request)
    assert gated.stats().adapters == (adapter.digest,)
    left = gated_model.lora.adapters[name_without(adapter.digest, 0)]
    whole = gated_model.lora.adapters[adapter.digest]
    assert {name.split(".")[2] for name in left} == {"1"}
    assert all(left[name] is whole[name] for name in left)  # nothing is copied
    gated.unload_adapter(adapter.digest)
    with pytest.raises(ModelNotFound):
        gated.submit(request)
    gated_model.let(10_000)
    assert [event.token_id async for event in stream] == expected(llama, ("two", 1.0, 0))
    await until(lambda: not gated_model.lora.adapters)
    gated.load_adapter(adapter)
    (event,) = await read(gated, replace(request, sampling=replace(request.sampling, max_tokens=1)))
    assert event.reused_prompt_tokens == 0  # what was kept of it is gone too


async def test_what_has_no_such_layer_is_refused_by_name(engine: TorchEngine, llama: TinyModel) -> None:
    two = llama.adapters["two"]
    engine.load_adapter(two)
    for layer in (2, -1):
        with pytest.raises(InvalidInput, match=rf"no update in layer {layer}; those with one: 0, 1$"):
            engine.submit(a_request(adapter=two, adapter_without_layer=layer))
    with pytest.raises(InvalidInput, match="the base model has no adapter") as refused:
        engine.submit(a_request(adapter_without_layer=0))
    assert refused.value.param == "adapter_without_layer"
    with pytest.raises(ModelNotFound):
        engine.submit(a_request(adapter=replace(two, digest=Digest("0" * 64)), adapter_without_layer=0))
    assert await answer(engine, a_request(adapter=two)) == llama.reference("two", [1, 2, 3], 8)


async def test_an_adapter_of_more_than_pairs_is_refused(
    engine: TorchEngine, llama: TinyModel, tmp_path: Path
) -> None:
    base = AutoModelForCausalLM.from_pretrained(llama.path, dtype=torch.float32)
    config = LoraConfig(target_modules=["q_proj"], use_dora=True, init_lora_weights=False)
    with peft_warnings_ignored():
        peft_model = get_peft_model(base, config)
    for name, parameter in peft_model.named_parameters():
        if "magnitude" in name:
            parameter.data *= 1.5
    peft_model.save_pretrained(tmp_path)
    dora = inspect_adapter("dora", tmp_path, None)
    engine.load_adapter(dora)
    with pytest.raises(UnsupportedParameter, match="more than pairs") as refused:
        engine.submit(a_request(adapter=dora, adapter_without_layer=0))
    assert refused.value.param == "adapter_without_layer"
