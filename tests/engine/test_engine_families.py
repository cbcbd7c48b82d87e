"""Each family of decoders: base and adapter in one batch answer as transformers and PEFT do, or why not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tests.engine import models_page
from tests.engine.families import LONGROPE, MULTIMODAL, REFUSED, SERVED, Family
from tests.engine.tiny_models import (
    DEVICE,
    TinyModel,
    a_request,
    peft_warnings_ignored,
    read,
    write_model,
    write_tokenizer,
)
from transformers import AutoModelForImageTextToText
from transformers.utils import logging as transformers_logging

from remora.adapters.adapter import Adapter
from remora.adapters.peft.base_shape import read_base
from remora.adapters.peft.inspect import inspect_adapter
from remora.engine.torch.engine import TorchEngine
from remora.engine.torch.layers.attention import UnsupportedAttention, slot_attention
from remora.engine.torch.model.trial import check_without_weights
from remora.engine.torch.native.build import native_library
from remora.engine.torch.native.layers import has_native_layers
from remora.errors import AdapterRejected, Refused
from remora.project.architectures import why_not_on_torch

ANSWER_TOKENS = 6
PROMPTS = (list(range(40, 52)), [(7 * index) % 250 for index in range(23)])
SHOWN = 5
LOGPROB_ERROR = 2e-3  # float32, whose sums have another order in a batch


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Configurations so small are odd to transformers."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    yield
    transformers_logging.set_verbosity(verbosity)


class Reference:
    """Base and adapter as transformers and PEFT run them, alone."""

    def __init__(self, peft_model: Any) -> None:
        self._model = peft_model.eval()

    def answer(
        self, prompt: list[int], *, adapted: bool, count: int = ANSWER_TOKENS
    ) -> tuple[list[int], torch.Tensor]:
        """The greedy tokens, and all log-probabilities at each of them."""
        ids = torch.tensor([prompt])
        with nullcontext() if adapted else self._model.disable_adapter():
            made = self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=count,
                eos_token_id=None,
                pad_token_id=0,
                output_logits=True,
                return_dict_in_generate=True,
            )
        tokens: list[int] = made.sequences[0, len(prompt) :].tolist()
        return tokens, torch.cat(made.logits).log_softmax(-1)


@pytest.mark.parametrize("family", SERVED, ids=str)
async def test_base_and_adapter_in_one_batch_equal_peft(family: Family, tmp_path: Path) -> None:
    tiny = TinyModel(write_model(tmp_path / "base", family.kind, **family.config))
    made = tiny.add_adapter("a", r=4, lora_alpha=16, **family.lora)
    adapter = inspect_adapter("a", made.path, read_base(tiny.path))  # as the files alone say it
    await compare(family, tiny.path, adapter, Reference(tiny.peft_model("a")))


async def compare(family: Family, base: Path, adapter: Adapter, reference: Reference) -> None:
    """Ask the engine all questions at once, and the reference one by one."""
    questions = [(prompt, adapted) for prompt in PROMPTS for adapted in (False, True)]
    expected = [reference.answer(prompt, adapted=adapted) for prompt, adapted in questions]
    engine = TorchEngine.load(
        base, dtype="float32", device=DEVICE, prefill_tokens_per_step=8, native="always"
    )
    try:
        engine.load_adapter(adapter)
        requests = [
            a_request(
                prompt, adapter=adapter if adapted else None, max_tokens=ANSWER_TOKENS, top_logprobs=SHOWN
            )
            for prompt, adapted in questions
        ]
        answers = await asyncio.gather(*(read(engine, request) for request in requests))
    finally:
        engine.close()
    if native_library() is not None:  # else there is no compiler here
        assert ("native" in engine.stack.engine) == has_native_layers(family.served_config)
    for events, (tokens, logprobs) in zip(answers, expected, strict=True):
        assert [event.token_id for event in events] == tokens
        for event, row in zip(events, logprobs, strict=True):
            ids, shown = (list(part) for part in zip(*event.top_logprobs, strict=True))
            assert torch.tensor(shown) == pytest.approx(row[ids], abs=LOGPROB_ERROR)
    assert not torch.allclose(expected[0][1][0], expected[1][1][0], atol=0.05)  # the adapter has an effect


@pytest.mark.parametrize("family", MULTIMODAL, ids=str)
async def test_the_language_model_of_several_inputs_equals_peft(family: Family, tmp_path: Path) -> None:
    """The adapter was trained on the whole model, by whose names its tensors are called."""
    torch.manual_seed(7)
    whole = AutoModelForImageTextToText.from_config(family.full_config)
    whole.save_pretrained(tmp_path / "base")
    write_tokenizer(tmp_path / "base")
    made = adapted(whole, r=4, lora_alpha=16, target_modules=r".*language_model.*q_proj")
    for name, parameter in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    made.save_pretrained(tmp_path / "a", save_embedding_layers=False)
    adapter = inspect_adapter("a", tmp_path / "a", read_base(tmp_path / "base"))
    await compare(family, tmp_path / "base", adapter, Reference(made))


def test_an_adapter_on_images_is_refused_by_what_it_adapts(tmp_path: Path) -> None:
    whole = AutoModelForImageTextToText.from_config(MULTIMODAL[0].full_config)
    whole.save_pretrained(tmp_path / "base")
    made = adapted(whole, r=4, target_modules=["q_proj"], init_lora_weights=False)
    made.save_pretrained(tmp_path / "a", save_embedding_layers=False)
    with pytest.raises(AdapterRejected, match=r"vision_tower\..*q_proj: of the part for images or sound"):
        inspect_adapter("a", tmp_path / "a", read_base(tmp_path / "base"))


async def test_texts_below_at_and_beyond_the_length_where_longrope_switches(tmp_path: Path) -> None:
    """Short and long texts share steps, and some become long while they are answered."""
    tiny = TinyModel(
        write_model(tmp_path / "base", "phi3", **LONGROPE | {"original_max_position_embeddings": 32})
    )
    adapter = tiny.add_adapter("a", r=4, lora_alpha=16, target_modules="all-linear")
    lengths = [3, 20, 31, 32, 33, 50, 20]
    questions = [([(7 * index) % 250 for index in range(length)], length % 2 == 0) for length in lengths]
    reference = Reference(tiny.peft_model("a"))
    expected = [reference.answer(prompt, adapted=adapted, count=20)[0] for prompt, adapted in questions]
    engine = TorchEngine.load(tiny.path, dtype="float32", device=DEVICE, prefill_tokens_per_step=8)
    try:
        assert engine.context_length == 256  # and not 32
        engine.load_adapter(adapter)
        for _ in range(2):  # again, from the prefixes of the first round
            requests = [
                a_request(prompt, adapter=adapter if adapted else None, max_tokens=20)
                for prompt, adapted in questions
            ]
            answers = await asyncio.gather(*(read(engine, request) for request in requests))
            assert [[event.token_id for event in events] for events in answers] == expected
        assert answers[5][0].reused_prompt_tokens > 32
    finally:
        engine.close()


def test_an_option_that_attention_does_not_know_refuses_the_model() -> None:
    """It may change the scores of long texts only, which no proof with short ones would see."""
    part = torch.zeros(1, 1, 1, 8)
    with pytest.raises(UnsupportedAttention, match="attention with block_indices"):
        slot_attention(torch.nn.Module(), part, part, part, None, block_indices=part)


def test_mxfp4_weights_are_refused_with_the_way_to_other_ones(tmp_path: Path) -> None:
    config = family_of("gpt_oss").full_config
    config.quantization_config = {"quant_method": "mxfp4"}
    config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(Refused, match="is an MXFP4 checkpoint") as caught:
        check_without_weights(tmp_path)
    assert "Mxfp4Config(dequantize=True)" in caught.value.hint


def adapted(model: Any, **lora: Any) -> Any:
    with peft_warnings_ignored():
        return get_peft_model(model, LoraConfig(**lora))


def family_of(kind: str) -> Family:
    return next(family for family in SERVED if family.kind == kind)


def test_the_page_of_models_is_up_to_date() -> None:
    text = models_page.PAGE.read_text(encoding="utf-8")
    assert models_page.page(text) == text, "run: make docs"


@pytest.mark.parametrize("family", REFUSED, ids=str)
def test_what_is_not_computed_here_is_refused_by_what_it_has(family: Family, tmp_path: Path) -> None:
    family.full_config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").touch()  # which nobody reads
    with pytest.raises(Refused, match=f"cannot run the {family.kind} model in .*: it has ") as caught:
        check_without_weights(tmp_path)
    assert why_not_on_torch(family.full_config.to_dict()) in caught.value.message
    assert 'engine = "vllm"' in caught.value.hint
