"""Adapters with rows of their own for tokens, in every form that PEFT saves, beside PEFT's answers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tests.engine.tiny_models import NATIVE, a_request, read, write_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from remora.adapters.adapter import Adapter
from remora.adapters.peft.base_shape import read_base
from remora.adapters.peft.inspect import inspect_adapter
from remora.engine.base import TokenEvent
from remora.engine.torch.engine import TorchEngine
from remora.errors import AdapterRejected, ContextLengthExceeded, InvalidInput, UnsupportedParameter

BASE_COUNT, RESIZED = 260, 262
ADDED = (260, 261)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TURNS = [{"role": "user", "content": "hi"}]
FORMS: dict[str, tuple[dict[str, Any], bool]] = {
    "plain": ({}, False),
    "resized": ({}, True),
    "saved": ({"modules_to_save": ["embed_tokens", "lm_head"]}, True),
    "saved-embedding": ({"modules_to_save": ["embed_tokens"]}, False),
    "saved-head": ({"modules_to_save": ["lm_head"]}, False),
    "saved-tied": ({"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}, False),
    "tokens": ({"trainable_token_indices": [3, 7, 104]}, False),
    "added-tokens": ({"trainable_token_indices": [*ADDED, 104]}, True),
    "both-tokens": ({"trainable_token_indices": {"embed_tokens": [261, 3], "lm_head": [261, 3]}}, True),
    "embedding-tokens": ({"trainable_token_indices": {"embed_tokens": [5, 104]}}, False),
}


@contextmanager
def quiet() -> Iterator[None]:
    """PEFT warns of each of these forms, which are what is wanted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def train(base: Path, folder: Path, form: str) -> None:
    """An adapter with random weights everywhere that training could change, as PEFT saves it."""
    lora, resized = FORMS[form]
    torch.manual_seed(len(form))
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if resized:
        model.resize_token_embeddings(RESIZED)
    with quiet():
        tuned = get_peft_model(
            model, LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], r=4, **lora)
        )
    for key, parameter in tuned.named_parameters():
        if "lora_B" in key or "trainable_tokens_delta" in key or "modules_to_save" in key:
            torch.nn.init.normal_(parameter, std=0.3)
    with quiet():
        tuned.save_pretrained(folder)
    if resized:
        tokenizer = AutoTokenizer.from_pretrained(base)
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
        tokenizer.eos_token = "<|im_end|>"
        tokenizer.chat_template = CHATML
        tokenizer.save_pretrained(folder)


def peft_logprobs(base: Path, folder: Path, form: str, prompt: list[int], answer: list[int]) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if FORMS[form][1]:
        model.resize_token_embeddings(RESIZED, mean_resizing=False)
    with quiet():
        model = PeftModel.from_pretrained(model, folder)
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=torch.tensor([[*prompt, *answer]])).logits
    return logits[0, len(prompt) - 1 : -1].log_softmax(-1)


class Trained:
    """A base model and an adapter of every form on it."""

    def __init__(self, root: Path, architecture: str, *, tied: bool) -> None:
        self.base = write_model(root / "base", architecture, tie_word_embeddings=tied)
        self.adapters: dict[str, Adapter] = {}
        for form in FORMS:
            if form == "saved-tied" and not tied:
                continue
            train(self.base, root / form, form)
            self.adapters[form] = inspect_adapter(form, root / form, read_base(self.base))


@pytest.fixture(
    scope="module",
    params=[("llama", False), ("llama", True), ("gemma3_text", True)],
    ids=["untied", "tied", "gemma"],
)
def trained(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    architecture, tied = request.param
    return Trained(tmp_path_factory.mktemp("trained"), architecture, tied=tied)


@pytest.fixture(scope="module", params=[NATIVE, "always"], ids=["modules", "native"])
def engine(request: Any, trained: Trained) -> Iterator[TorchEngine]:
    engine = TorchEngine.load(trained.base, dtype="float32", native=request.param)
    yield engine
    engine.close()


async def test_one_batch_answers_each_as_peft_does(trained: Trained, engine: TorchEngine) -> None:
    streams, prompts = {}, {}
    for form, adapter in [*trained.adapters.items(), ("base", None)]:
        if adapter is not None:
            engine.load_adapter(adapter)
        tokenizer = engine.tokenizer_of(adapter.digest if adapter else None)
        prompts[form] = tokenizer.render_chat(TURNS)
        asked = a_request(prompts[form], adapter=adapter, max_tokens=10, top_logprobs=RESIZED)
        streams[form] = engine.submit(asked)
    for form, stream in streams.items():
        events = [event async for event in stream]
        answer = [event.token_id for event in events]
        if form == "base":
            assert all(token < BASE_COUNT for event in events for token, _ in event.top_logprobs)
            continue
        adapter = trained.adapters[form]
        if FORMS[form][1]:
            theirs = AutoTokenizer.from_pretrained(adapter.path)
            rendered = theirs.apply_chat_template(TURNS, add_generation_prompt=True, return_dict=False)
            assert prompts[form] == list(rendered)
            assert set(ADDED) & set(prompts[form])
        expected = peft_logprobs(trained.base, adapter.path, form, prompts[form], answer)
        assert largest_difference(events, expected) < 2e-3, form
        assert answer == expected.argmax(-1).tolist(), form


def largest_difference(events: list[TokenEvent], expected: torch.Tensor) -> float:
    """Over all tokens of the vocabulary, at every token of the answer."""
    assert {len(event.top_logprobs) for event in events} == {expected.shape[-1]}
    return max(
        abs(float(row[token]) - logprob)
        for event, row in zip(events, expected, strict=True)
        for token, logprob in event.top_logprobs
    )


async def test_the_rows_go_with_the_adapter(trained: Trained, engine: TorchEngine) -> None:
    adapter = trained.adapters["resized"]
    applied = engine.load_adapter(adapter)
    assert applied.token_rows == 2 * len(ADDED)
    ended = await read(engine, a_request([260, 104], adapter=adapter, stop_token_ids=frozenset(range(262))))
    assert len(ended) == 1
    with pytest.raises(InvalidInput, match="token 262, but the model knows only 262"):
        engine.submit(a_request([262], adapter=adapter))
    with pytest.raises(InvalidInput, match="token 260, but the model knows only 260"):
        engine.submit(a_request([260]))
    with pytest.raises(UnsupportedParameter, match="no other scale"):
        engine.submit(a_request([260], adapter=adapter, adapter_scale=0.5))
    with pytest.raises(ContextLengthExceeded):
        engine.submit(a_request([260], adapter=adapter, max_tokens=1000))


def test_what_has_no_row_is_refused_by_name(trained: Trained, tmp_path: Path) -> None:
    """New tokens with rows in the embedding alone: in an untied model nothing says how they are told."""
    base = read_base(trained.base)
    model = AutoModelForCausalLM.from_pretrained(trained.base, dtype=torch.float32)
    model.resize_token_embeddings(RESIZED)
    lora = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], trainable_token_indices=[*ADDED])
    with quiet():
        tuned = get_peft_model(model, lora)
    for key, parameter in tuned.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(parameter, std=0.3)
    tuned.save_pretrained(tmp_path / "lean", save_embedding_layers=False)
    if not AutoModelForCausalLM.from_pretrained(trained.base).config.tie_word_embeddings:
        with pytest.raises(AdapterRejected, match="token 260 is new, and has a row in only one"):
            inspect_adapter("lean", tmp_path / "lean", base)
    else:
        rows = inspect_adapter("lean", tmp_path / "lean", base).token_rows
        assert rows is not None
        assert rows.token_count == RESIZED
