"""Answers with guesses at what comes next: the same as without, in fewer steps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.families import LONGROPE
from tests.engine.test_engine_native import CACHE_TOKENS, LIBRARY, TILED, a_slot_model, needs_compiler
from tests.engine.tiny_models import (
    OpenModel,
    TinyModel,
    a_request,
    answer,
    read,
    until,
    write_model,
)

from remora.engine.base import EngineStats, FinishReason, GenerationRequest, TokenEvent
from remora.engine.text.chat_template import HfTokenizer
from remora.engine.text.pieces import TextRules, generate_text
from remora.engine.torch.cache.slots import SlotAllocator
from remora.engine.torch.engine import TorchEngine
from remora.engine.torch.sampling import TokenSampler
from remora.engine.torch.scheduling.scheduler import Chunk
from remora.engine.torch.scheduling.sequence import Sequence

PROMPT = [3, 1, 4]
REPEATING = [*range(20), *range(20)]


@dataclass(frozen=True)
class Both:
    """One model with guesses and without. Nothing else differs."""

    guessing: TorchEngine
    plain: TorchEngine
    is_native: bool

    def check_equal(self, guessed: list[TokenEvent], plain: list[TokenEvent]) -> None:
        if self.is_native:  # there a row's numbers do not depend on what else is in the step
            assert guessed == plain
            return
        assert [_without_numbers(event) for event in guessed] == [_without_numbers(event) for event in plain]
        for event, other in zip(guessed, plain, strict=True):
            assert event.logprob == (
                None if other.logprob is None else pytest.approx(other.logprob, abs=1e-4)
            )


def _without_numbers(event: TokenEvent) -> tuple[object, ...]:
    return event.token_id, event.finish_reason, [token_id for token_id, _ in event.top_logprobs]


def an_engine(model: TinyModel, native: str, speculation: str, **how: Any) -> TorchEngine:
    """Guesses have as many rows on every processor."""
    opened = OpenModel(model.path, native=native, cache_tokens=how.pop("cache_tokens", 4096))
    opened.rows_at_once = 16
    engine = TorchEngine(opened, HfTokenizer(model.path), speculation=speculation, **how)
    for adapter in model.adapters.values():
        engine.load_adapter(adapter)
    return engine


@pytest.fixture(scope="module")
def looping(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """Its weights are random, and small enough for answers that say the same for a while."""
    folder = tmp_path_factory.mktemp("looping") / "base"
    model = TinyModel(write_model(folder, "llama", initializer_range=0.1))
    model.add_adapter("one", r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
    model.add_adapter("two", r=2, lora_alpha=6, target_modules="all-linear")
    return model


@pytest.fixture(scope="module", params=["never", "always"], ids=["modules", "native"])
def both(looping: TinyModel, request: pytest.FixtureRequest) -> Iterator[Both]:
    guessing, plain = (
        an_engine(looping, request.param, speculation, keeps_prefixes=False)
        for speculation in ("auto", "off")
    )
    yield Both(guessing, plain, is_native="native" in plain.stack.engine)
    guessing.close()
    plain.close()


def since(before: EngineStats, engine: TorchEngine) -> tuple[int, int, int, int]:
    """Steps, tokens, guesses and right guesses."""
    after = engine.stats()
    return (
        (after.steps or 0) - (before.steps or 0),
        after.generated_tokens - before.generated_tokens,
        after.drafted_tokens - before.drafted_tokens,
        after.accepted_tokens - before.accepted_tokens,
    )


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"temperature": 0.3, "top_k": 3, "seed": 3},
        {"temperature": 0.1, "seed": 4},
        {"temperature": 0.2, "top_p": 0.7, "min_p": 0.02, "seed": 5},
        {"frequency_penalty": 0.15, "logit_bias": {5: 9, 9: 9, 11: 9}},
        {"presence_penalty": 0.1, "temperature": 0.1, "seed": 6},
        {"repetition_penalty": 1.02},
        {"min_tokens": 40, "stop_token_ids": frozenset({107, 153})},
        {"top_logprobs": 3},
        {"prompt_logprobs": 2, "top_logprobs": 0, "temperature": 0.1, "seed": 7},
    ],
    ids=lambda how: " ".join(how) or "greedy",
)
async def test_an_answer_is_the_same_in_fewer_steps(both: Both, how: dict[str, Any]) -> None:
    before = both.guessing.stats()
    answers = []
    for prompt in (PROMPT, REPEATING):
        request = a_request(prompt, max_tokens=60, **how)
        guessed, plain = await read(both.guessing, request), await read(both.plain, request)
        both.check_equal(guessed, plain)
        answers += guessed
    steps, tokens, drafted, accepted = since(before, both.guessing)
    assert tokens == len(answers)
    assert steps == tokens - accepted
    assert 0 < accepted <= drafted


async def test_an_answer_may_have_any_length(both: Both) -> None:
    whole = await answer(both.plain, a_request(PROMPT, max_tokens=60))
    ends = range(1, 60)
    cut = await asyncio.gather(*(read(both.guessing, a_request(PROMPT, max_tokens=end)) for end in ends))
    for events, end in zip(cut, ends, strict=True):
        assert [event.token_id for event in events] == whole[:end]
        assert [event.finish_reason for event in events] == [None] * (end - 1) + [FinishReason.LENGTH]


async def test_a_guess_ends_before_a_token_that_ends_the_answer(both: Both) -> None:
    tokenizer = both.guessing.tokenizer
    (comma,) = tokenizer.encode(",")
    before = both.guessing.stats()
    request = a_request(
        tokenizer.encode("[ab, ab, "),  # which the answer says again
        constraint=tokenizer.constrain('start: "[" ("ab, "){12}'),
        stop_token_ids=frozenset({comma}),
    )
    events = await read(both.guessing, request)
    assert [event.token_id for event in events] == tokenizer.encode("[ab,")
    assert [event.finish_reason for event in events] == [None] * 3 + [FinishReason.STOP]
    assert since(before, both.guessing) == (3, 4, 1, 1)


async def test_a_stop_string_within_a_guess_ends_the_text_there(both: Both) -> None:
    tokens = await answer(both.plain, a_request(PROMPT, max_tokens=60))
    whole = both.plain.tokenizer.decode(tokens)
    for start in (10, 25, 40):
        rules = TextRules([whole[start : start + 2]])
        pieces = [
            [event async for event in generate_text(engine, a_request(PROMPT, max_tokens=60), rules)]
            for engine in (both.guessing, both.plain)
        ]
        assert pieces[0] == pieces[1]
        assert "".join(piece.text for piece in pieces[0]) == whole[: whole.index(whole[start : start + 2])]
        await until(lambda: both.guessing.stats().running_requests == 0)


async def test_a_grammar_goes_on_token_by_token_and_ends_within_a_guess(both: Both) -> None:
    constraint = both.guessing.tokenizer.constrain('start: "[" ("ab, "){12}')
    before = both.guessing.stats()
    request = a_request(PROMPT, max_tokens=100, constraint=constraint)
    events = await read(both.guessing, request)
    assert both.guessing.tokenizer.decode([event.token_id for event in events]) == "[" + "ab, " * 12
    assert events[-1].finish_reason == FinishReason.STOP
    steps, tokens, _, accepted = since(before, both.guessing)
    assert steps == tokens - accepted < tokens / 3


async def test_many_at_once_with_their_own_adapters(both: Both, looping: TinyModel) -> None:
    adapters = (None, *looping.adapters.values())
    asked = [
        a_request(
            REPEATING[number:],
            adapter=adapters[number % 3],
            max_tokens=50,
            seed=number,
            temperature=number % 2 / 3,
        )
        for number in range(9)
    ]
    before = both.guessing.stats()
    together = await asyncio.gather(*(answer(both.guessing, request) for request in asked))
    assert list(together) == [await answer(both.plain, request) for request in asked]
    assert since(before, both.guessing)[3] > 0


async def test_who_leaves_half_way_leaves_nothing_wrong_behind(looping: TinyModel) -> None:
    engine = an_engine(looping, "always", "auto")
    stream = engine.submit(a_request(REPEATING, max_tokens=200))
    begun = [(await anext(aiter(stream))).token_id for _ in range(7)]
    await stream.aclose()
    await until(lambda: engine.stats().cancelled_requests == 1)
    assert engine.stats().running_requests == engine.stats().kv_tokens_used == 0
    longer = [*REPEATING, *begun, 5, 6]  # what is kept of the first one is a part of it
    events = await read(engine, a_request(longer, max_tokens=40))
    engine.close()
    assert len(REPEATING) <= events[0].reused_prompt_tokens < len(longer)
    assert begun == looping.reference(None, REPEATING, 7)
    assert [event.token_id for event in events] == looping.reference(None, longer, 40)


@pytest.mark.parametrize("keeps_prefixes", [False, True])
async def test_few_rows_of_cache_change_no_answer(looping: TinyModel, *, keeps_prefixes: bool) -> None:
    engine = an_engine(
        looping, "always", "auto", cache_tokens=90, max_running_requests=4, keeps_prefixes=keeps_prefixes
    )
    prompts = [[number, *PROMPT] * 3 for number in range(6)]
    answers = await asyncio.gather(*(answer(engine, a_request(prompt, max_tokens=60)) for prompt in prompts))
    stats = engine.stats()
    engine.close()
    assert list(answers) == [looping.reference(None, prompt, 60) for prompt in prompts]
    assert stats.accepted_tokens > 0


async def test_texts_grow_long_at_the_same_token(tmp_path: Path) -> None:
    long_from = LONGROPE | {"original_max_position_embeddings": 64, "initializer_range": 0.1}
    model = TinyModel(write_model(tmp_path / "base", "phi3", **long_from))
    for native in ("never", "always"):
        engine = an_engine(model, native, "auto")
        got = await answer(engine, a_request(REPEATING, max_tokens=60))
        stats = engine.stats()
        engine.close()
        plain = an_engine(model, native, "off")
        assert got == await answer(plain, a_request(REPEATING, max_tokens=60))
        plain.close()
        assert stats.accepted_tokens > 0


async def test_wrong_guesses_are_soon_given_up(llama: TinyModel) -> None:
    engine = an_engine(llama, "always", "auto")
    varied: dict[str, Any] = {"temperature": 5.0, "logit_bias": dict.fromkeys(range(12), 60.0), "seed": 1}
    await answer(engine, a_request(PROMPT, max_tokens=240, **varied))  # any of twelve tokens, again and again
    stats = engine.stats()
    engine.close()
    assert 0 < stats.drafted_tokens < 60
    assert stats.accepted_tokens < 10


async def test_it_can_be_switched_off(both: Both) -> None:
    before = both.plain.stats()
    await answer(both.plain, a_request([5] * 6, max_tokens=30))
    assert since(before, both.plain) == (30, 30, 0, 0)


def a_text(tokens: list[int], slots: SlotAllocator) -> Sequence:
    request: GenerationRequest = a_request(tokens, max_tokens=30)
    sequence = Sequence(request, deliver=lambda _event: True, sampler=TokenSampler(request.sampling))
    sequence.slot = slots.reserve(sequence.most_tokens)
    return sequence


@needs_compiler
@pytest.mark.parametrize(
    ("architecture", "changes"),
    [("qwen2", TILED), ("mistral", {"sliding_window": 4}), ("qwen3", {"head_dim": 64})],
)
@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_rows_of_a_guess_have_the_numbers_of_steps_of_their_own(
    tmp_path: Path, architecture: str, changes: dict[str, int], quantize: str
) -> None:
    model, _ = a_slot_model(write_model(tmp_path, architecture, **changes), torch.bfloat16, quantize, LIBRARY)
    slots = SlotAllocator(CACHE_TOKENS)
    prompts, guess = [list(range(21)), [7, 8, 9], list(range(30, 60))], (4, 5, 250, 6, 4)
    with torch.inference_mode():
        one_by_one, at_once = ([a_text(prompt, slots) for prompt in prompts] for _ in range(2))
        model.forward([Chunk(text, 0, len(text.tokens) - 1) for text in (*one_by_one, *at_once)])
        lasts = [len(prompt) - 1 for prompt in prompts]
        together = model.forward(
            [Chunk(text, last, 1, guess) for text, last in zip(at_once, lasts, strict=True)]
        ).clone()
        for row in range(len(guess) + 1):
            steps = [Chunk(text, last + row, 1) for text, last in zip(one_by_one, lasts, strict=True)]
            assert torch.equal(model.forward(steps), together[row :: len(guess) + 1])
            for text in one_by_one:
                text.tokens.extend(guess[row : row + 1])
