"""A cache that is too small, and one that remembers: answers stay what PEFT gives."""

from __future__ import annotations

import asyncio

import pytest
from tests.engine.tiny_models import (
    DEVICE,
    NATIVE,
    GatedModel,
    OpenModel,
    TinyModel,
    a_request,
    answer,
    read,
    until,
)

from remora.engine.text.chat_template import HfTokenizer
from remora.engine.text.pieces import generate_text
from remora.engine.torch.engine import TorchEngine
from remora.errors import Overloaded


async def test_answers_survive_stepping_aside(llama: TinyModel) -> None:
    # The answers alone need 5 x 69 of the 90 tokens, so most of them lose their rows at least once.
    engine = TorchEngine.load(
        llama.path, device=DEVICE, native=NATIVE, kv_cache_tokens=90, max_running_requests=4
    )
    names = (None, "one", "two", "one", "two")
    for adapter in llama.adapters.values():
        engine.load_adapter(adapter)
    answers = await asyncio.gather(
        *(
            answer(
                engine,
                a_request(
                    range(n, n + 9), adapter=llama.adapters[name] if name else None, max_tokens=60, seed=n
                ),
            )
            for n, name in enumerate(names)
        )
    )
    stats = engine.stats()
    engine.close()
    assert list(answers) == [llama.reference(name, range(n, n + 9), 60) for n, name in enumerate(names)]
    assert (stats.kv_tokens_used, stats.kv_tokens_total) == (0, 90)


@pytest.mark.parametrize("keeps_prefixes", [False, True])
async def test_a_conversation_that_goes_on_equals_one_from_scratch(
    llama: TinyModel, keeps_prefixes: bool
) -> None:
    engine = TorchEngine(OpenModel(llama.path), HfTokenizer(llama.path), keeps_prefixes=keeps_prefixes)
    for adapter in llama.adapters.values():
        engine.load_adapter(adapter)
    prompt = list(range(60, 90))
    reused = []
    for _ in range(3):
        for name in (None, "one", "two"):
            request = a_request(prompt, adapter=llama.adapters[name] if name else None, max_tokens=12)
            events = await read(engine, request)
            assert [event.token_id for event in events] == llama.reference(name, prompt, 12)
            assert not any(event.reused_prompt_tokens for event in events[1:])
            reused.append(events[0].reused_prompt_tokens)
        prompt += [*llama.reference("one", prompt, 12), 5, 6]
    engine.close()
    # The second turn of `one` begins with all that its first one computed (its last token was not), those of
    # the others with the prompt alone.
    expected = [0, 0, 0, 30, 41, 30, 44, 55, 44] if keeps_prefixes else [0] * 9
    assert reused == expected


async def test_a_full_queue_lets_in_an_adapter_that_nobody_uses(
    gated: TorchEngine, gated_model: GatedModel, llama: TinyModel
) -> None:
    loading = [
        asyncio.create_task(asyncio.to_thread(gated.load_adapter, adapter))
        for adapter in llama.adapters.values()
    ]
    await asyncio.gather(*loading)
    one, two = llama.adapters["one"], llama.adapters["two"]
    hot = [gated.submit(a_request(adapter=one, request_id=f"hot {n}", max_tokens=2)) for n in range(4)]
    with pytest.raises(Overloaded):
        gated.submit(a_request(adapter=one))
    cold = gated.submit(a_request(adapter=two, request_id="cold", max_tokens=2))
    with pytest.raises(Overloaded):
        gated.submit(a_request(adapter=two))
    await until(lambda: len(gated_model.steps) == 1)
    gated_model.let(20)
    assert [event.token_id async for event in cold] == llama.reference("two", [1, 2, 3], 2)
    for stream in hot:
        assert [event.token_id async for event in stream] == llama.reference("one", [1, 2, 3], 2)
    # The first two ran already; then the turn is the other adapter's, before the rest of the hot one.
    first_steps = [
        next(i for i, step in enumerate(gated_model.steps) if name in step) for name in ("cold", "hot 3")
    ]
    assert first_steps[0] <= first_steps[1]


async def test_text_tells_how_much_of_its_prompt_was_computed_before(engine: TorchEngine) -> None:
    request = a_request(list(range(1, 60)), max_tokens=4)
    first = [event.reused_prompt_tokens async for event in generate_text(engine, request)]
    again = [event.reused_prompt_tokens async for event in generate_text(engine, request)]
    assert set(first) == {0}
    assert len(set(again)) == 1
    assert 0 < again[0] < 59  # the last one is always computed: the next token follows from it
