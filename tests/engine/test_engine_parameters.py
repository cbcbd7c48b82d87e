"""Parameters of a request beside the draw, held to what transformers and PEFT compute for themselves."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
import torch
from tests.engine.tiny_models import TinyModel, a_request, answer, read
from transformers import RepetitionPenaltyLogitsProcessor

from remora.engine.base import FinishReason, TokenEvent
from remora.engine.text.grammar import Arguments, call_grammar, hermes_grammar, json_grammar
from remora.engine.text.pieces import generate_text
from remora.engine.torch.engine import TorchEngine
from remora.engine.vllm.wire import request_body
from remora.errors import InvalidInput

PROMPT = [3, 1, 4, 1, 5]
A_PERSON = {
    "type": "object",
    "properties": {
        "name": {"enum": ["Ada", "Grace"]},
        "age": {"type": "integer", "minimum": 1, "maximum": 99},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


def reference_logprobs(llama: TinyModel, adapter: str | None, tokens: list[int]) -> torch.Tensor:
    """A row for each token of an answer to PROMPT."""
    logits = logits_of(llama.peft_model(adapter), tokens)
    return logits[len(PROMPT) - 1 : -1].log_softmax(-1)


def logits_of(model: Any, tokens: list[int]) -> torch.Tensor:
    """For PROMPT and tokens, a row for each: what comes next."""
    with torch.no_grad():
        logits: torch.Tensor = model(torch.tensor([[*PROMPT, *tokens]])).logits[0]
    return logits


@pytest.mark.parametrize("adapter", [None, "two"])
async def test_log_probabilities_are_those_of_the_model(
    engine: TorchEngine, llama: TinyModel, adapter: str | None
) -> None:
    chosen = None if adapter is None else llama.adapters[adapter]
    if chosen is not None:
        engine.load_adapter(chosen)
    # What changes the choice must not change them.
    request = a_request(
        PROMPT, adapter=chosen, temperature=1.7, seed=3, top_k=20, presence_penalty=1.0, top_logprobs=5
    )
    events = await read(engine, request)
    expected = reference_logprobs(llama, adapter, [event.token_id for event in events])
    for event, row in zip(events, expected, strict=True):
        assert event.logprob == pytest.approx(float(row[event.token_id]), abs=1e-4)
        ids, values = zip(*event.top_logprobs, strict=True)
        top = row.topk(5)
        assert list(ids) == top.indices.tolist()
        assert list(values) == pytest.approx(top.values.tolist(), abs=1e-4)


@pytest.mark.parametrize(("count", "given"), [(0, 0), (260, 260), (9999, 260)])
async def test_as_many_likeliest_tokens_as_wanted(engine: TorchEngine, count: int, given: int) -> None:
    (event,) = await read(engine, a_request(max_tokens=1, top_logprobs=count))
    assert event.logprob is not None
    assert len(event.top_logprobs) == given


async def test_without_the_wish_there_are_none(engine: TorchEngine) -> None:
    (event,) = await read(engine, a_request(max_tokens=1))
    assert event == TokenEvent(event.token_id, FinishReason.LENGTH, None, ())


@pytest.mark.parametrize(("frequency", "presence"), [(1.9, 0.0), (0.0, 1.5), (1.2, -0.4)])
async def test_penalties_are_taken_from_what_was_said(
    engine: TorchEngine, llama: TinyModel, frequency: float, presence: float
) -> None:
    got = await answer(
        engine, a_request(PROMPT, max_tokens=24, frequency_penalty=frequency, presence_penalty=presence)
    )
    expected: list[int] = []
    model = llama.peft_model(None)
    for _ in got:
        logits = logits_of(model, expected)[-1]
        for token, count in Counter(expected).items():
            logits[token] -= count * frequency + presence
        expected.append(int(logits.argmax()))
    assert got == expected
    assert got != llama.reference(None, PROMPT, 24)


@pytest.mark.parametrize("penalty", [1.8, 0.7])
async def test_repetition_is_penalised_as_transformers_does_it(
    engine: TorchEngine, llama: TinyModel, penalty: float
) -> None:
    got = await answer(engine, a_request(PROMPT, max_tokens=24, repetition_penalty=penalty))
    process, model, expected = RepetitionPenaltyLogitsProcessor(penalty), llama.peft_model(None), list[int]()
    for _ in got:
        logits = logits_of(model, expected)[-1:]
        expected.append(int(process(torch.tensor([[*PROMPT, *expected]]), logits).argmax()))
    assert got == expected
    assert got != llama.reference(None, PROMPT, 24)


async def test_no_stop_token_comes_before_the_least_number_of_tokens(
    engine: TorchEngine, llama: TinyModel
) -> None:
    first, second = llama.reference(None, PROMPT, 2)
    ends = frozenset({first})
    assert await answer(engine, a_request(PROMPT, stop_token_ids=ends)) == [first]
    held_back = await answer(engine, a_request(PROMPT, stop_token_ids=ends, min_tokens=3))
    assert first not in held_back[:3]
    forced = a_request(PROMPT, stop_token_ids=ends, min_tokens=3, logit_bias={first: 100})
    assert (await answer(engine, forced))[3:] == [first]
    with pytest.raises(InvalidInput, match="token 260") as unknown:
        engine.submit(a_request(stop_token_ids=frozenset({second, 260})))
    assert unknown.value.param == "stop_token_ids"


async def test_a_bias_forbids_and_forces(engine: TorchEngine, llama: TinyModel) -> None:
    first = llama.reference(None, PROMPT, 1)[0]
    assert first not in await answer(engine, a_request(PROMPT, logit_bias={first: -100}))
    assert await answer(engine, a_request(PROMPT, max_tokens=3, logit_bias={77: 100})) == [77] * 3
    with pytest.raises(InvalidInput, match="token 260") as unknown:
        engine.submit(a_request(logit_bias={260: 1}))
    assert unknown.value.param == "logit_bias"


@pytest.mark.parametrize("name", ["one", "two"])
@pytest.mark.parametrize("scale", [0.5, 1.5])
async def test_a_scale_multiplies_the_adapter(
    engine: TorchEngine, llama: TinyModel, name: str, scale: float
) -> None:
    adapter = llama.adapters[name]
    engine.load_adapter(adapter)
    got = await answer(engine, a_request(PROMPT, adapter=adapter, adapter_scale=scale, max_tokens=20))
    assert got == llama.reference(name, PROMPT, 20, scale=scale)
    assert got != llama.reference(name, PROMPT, 20)


def test_vllm_gets_no_repetition_penalty_that_is_too_small_for_its_float32() -> None:
    request = a_request(PROMPT, repetition_penalty=1e-46)
    assert request_body(request)["repetition_penalty"] == 1e-30
    assert request_body(a_request(PROMPT, repetition_penalty=0.5))["repetition_penalty"] == 0.5


@pytest.mark.parametrize("scale", [5e-324, 1e-46, 1e-45, 1e-39, 1.1754943508222875e-38, 1e-30])
async def test_a_scale_at_the_lower_edge_of_float32_answers_as_the_base_does(
    engine: TorchEngine, llama: TinyModel, scale: float
) -> None:
    adapter = llama.adapters["two"]
    engine.load_adapter(adapter)
    got = await answer(engine, a_request(PROMPT, adapter=adapter, adapter_scale=scale, max_tokens=20))
    assert got == llama.reference(None, PROMPT, 20)


async def test_every_request_of_a_batch_has_its_own_scale(engine: TorchEngine, llama: TinyModel) -> None:
    adapter = llama.adapters["two"]
    engine.load_adapter(adapter)
    scales = [0.0, 1.0, 0.5, 1.0, 0.0]
    requests = [a_request(PROMPT, adapter=adapter, adapter_scale=scale, max_tokens=20) for scale in scales]
    base, whole = llama.reference(None, PROMPT, 20), llama.reference("two", PROMPT, 20)
    half = llama.reference("two", PROMPT, 20, scale=0.5)
    assert await asyncio.gather(*(answer(engine, each) for each in requests)) == [
        base, whole, half, whole, base
    ]  # fmt: skip


@pytest.mark.parametrize("temperature", [0.0, 1.0, 2.0])
async def test_a_schema_is_kept_to_by_a_model_that_talks_nonsense(
    engine: TorchEngine, temperature: float
) -> None:
    constraint = engine.tokenizer.constrain(json_grammar(A_PERSON))
    requests = [
        a_request(
            PROMPT,
            constraint=constraint.copy(),
            temperature=temperature,
            seed=seed,
            max_tokens=60,
            stop_token_ids=engine.tokenizer.stop_token_ids,
        )
        for seed in range(4)
    ]
    for request in requests:
        pieces = [event async for event in generate_text(engine, request)]
        person = json.loads("".join(piece.text for piece in pieces))
        assert person["name"] in {"Ada", "Grace"}
        assert 1 <= person["age"] <= 99
        assert pieces[-1].finish_reason == FinishReason.STOP


FUNCTIONS: dict[str, dict[str, object]] = {
    "who": A_PERSON,
    "nothing": {"type": "object", "additionalProperties": False},
}

CALLS = {name: Arguments(schema, exact=True) for name, schema in FUNCTIONS.items()}


async def test_a_call_is_forced(engine: TorchEngine) -> None:
    constraint = engine.tokenizer.constrain(call_grammar(CALLS))
    for seed in range(3):
        request = a_request(PROMPT, constraint=constraint.copy(), temperature=1.0, seed=seed, max_tokens=120)
        text = "".join([event.text async for event in generate_text(engine, request)])
        call = json.loads(text)
        assert call["name"] in FUNCTIONS
        assert set(call["arguments"]) == ({"name", "age"} if call["name"] == "who" else set())


async def test_calls_in_text_keep_to_their_schema(engine: TorchEngine) -> None:
    constraint = engine.tokenizer.constrain(hermes_grammar(CALLS))
    for token in engine.tokenizer.encode("anything < at all <tool_call>"):
        assert not constraint.advance(token)
    request = a_request(
        PROMPT,
        constraint=constraint,
        temperature=1.0,
        seed=1,
        max_tokens=60,
    )
    text = "".join([event.text async for event in generate_text(engine, request)])
    call, end, _ = text.partition("\n</tool_call>")
    assert end
    assert json.loads(call)["name"] in FUNCTIONS


def test_what_is_no_schema_is_refused(engine: TorchEngine) -> None:
    with pytest.raises(InvalidInput, match="Invalid type: strang"):
        engine.tokenizer.constrain(json_grammar({"type": "strang"}))


async def test_a_grammar_that_turns_out_too_expensive_ends_only_its_own_answer(
    engine: TorchEngine, llama: TinyModel
) -> None:
    class Broken:
        grammar = ""

        def copy(self) -> Broken:
            return self

        def mask(self) -> bytes:
            raise InvalidInput("too expensive")

        def advance(self, _: int) -> bool:
            raise AssertionError

    other = asyncio.create_task(answer(engine, a_request(PROMPT, max_tokens=20)))
    with pytest.raises(InvalidInput, match="too expensive"):
        await read(engine, a_request(PROMPT, constraint=Broken()))
    assert await other == llama.reference(None, PROMPT, 20)
    assert engine.stats().running_requests == 0
