"""The life of requests in the torch engine: batching, sampling, endings, cancellation, overload, death."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import torch
from tests.engine.tiny_models import DEVICE, NATIVE, GatedModel, TinyModel, a_request, answer, read, until

from remora.engine.base import FinishReason, GenerationRequest, TokenEvent, TokenStream
from remora.engine.echo import EchoTokenizer
from remora.engine.text.chat_template import HfTokenizer
from remora.engine.text.pieces import TextRules, generate_text
from remora.engine.torch.engine import TorchEngine
from remora.engine.torch.scheduling.scheduler import Chunk
from remora.errors import ContextLengthExceeded, EngineFailed, InvalidInput, Overloaded


async def next_of(stream: TokenStream) -> TokenEvent:
    async with asyncio.timeout(120):
        return await anext(aiter(stream))


async def rest_of(stream: AsyncIterator[TokenEvent]) -> list[TokenEvent]:
    async with asyncio.timeout(120):
        return [event async for event in stream]


async def test_an_answer_ends_after_max_tokens(engine: TorchEngine, llama: TinyModel) -> None:
    events = await read(engine, a_request([3, 1, 4], max_tokens=5))
    assert [event.token_id for event in events] == llama.reference(None, [3, 1, 4], 5)
    assert [event.finish_reason for event in events] == [None] * 4 + [FinishReason.LENGTH]


async def test_a_stop_token_is_delivered_and_is_the_last(engine: TorchEngine, llama: TinyModel) -> None:
    tokens = llama.reference(None, [3, 1, 4], 8)
    stop = next(token for token in tokens if token != tokens[0])
    events = await read(engine, a_request([3, 1, 4], stop_token_ids=frozenset({stop})))
    assert [event.token_id for event in events] == tokens[: tokens.index(stop) + 1]
    assert events[-1] == TokenEvent(stop, FinishReason.STOP)


async def test_text_of_a_real_model_ends_before_a_stop_string(engine: TorchEngine, llama: TinyModel) -> None:
    whole = engine.tokenizer.decode(llama.reference(None, [3, 1, 4], 40))
    stop = whole[10:13]
    pieces = [
        event async for event in generate_text(engine, a_request([3, 1, 4], max_tokens=40), TextRules([stop]))
    ]
    assert "".join(piece.text for piece in pieces) == whole[: whole.index(stop)]
    assert pieces[-1].finish_reason == FinishReason.STOP
    assert pieces[-1].token_count < 40


@pytest.mark.parametrize("limits", [{"max_running_requests": 0}, {"prefill_tokens_per_step": 0}])
def test_limits_that_stop_all_work_are_refused(gated_model: GatedModel, limits: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="never answer"):
        TorchEngine(gated_model, EchoTokenizer(), **limits)


async def test_a_request_joins_others_half_way(gated: TorchEngine, gated_model: GatedModel) -> None:
    first = gated.submit(a_request(request_id="first", max_tokens=4))
    gated_model.let(2)
    await until(lambda: len(gated_model.steps) == 3)  # the third has begun and waits
    second = gated.submit(a_request(request_id="second", max_tokens=4))
    gated_model.let(6)
    await asyncio.gather(rest_of(first), rest_of(second))
    assert gated_model.steps == [["first"]] * 3 + [["first", "second"]] + [["second"]] * 3


async def test_a_long_prompt_does_not_stop_the_others(gated: TorchEngine, gated_model: GatedModel) -> None:
    short = gated.submit(a_request(request_id="short", max_tokens=6))
    long = gated.submit(a_request(range(20), request_id="long", max_tokens=1))
    gated_model.let(10)
    await asyncio.gather(rest_of(short), rest_of(long))
    together = [step for step in gated_model.steps if step == ["short", "long"]]
    assert len(together) >= 3  # 20 tokens of prompt, 8 a step


async def test_a_seed_gives_the_same_answer_alone_and_in_company(
    engine: TorchEngine, llama: TinyModel
) -> None:
    adapter = llama.adapters["one"]
    engine.load_adapter(adapter)
    request = a_request([8, 9], adapter=adapter, temperature=1.5, top_p=0.95, seed=11, max_tokens=20)
    alone = await answer(engine, request)
    company = [a_request(range(n), temperature=2.0, max_tokens=20) for n in range(3, 30, 5)]
    together, *_ = await asyncio.gather(
        answer(engine, request), *(answer(engine, other) for other in company)
    )
    other_seed = await answer(
        engine, a_request([8, 9], adapter=adapter, temperature=1.5, top_p=0.95, seed=12, max_tokens=20)
    )
    assert alone == together
    assert alone != other_seed


async def test_without_a_seed_answers_differ(engine: TorchEngine) -> None:
    request = a_request(temperature=5.0, max_tokens=20)
    assert await answer(engine, request) != await answer(engine, request)


async def test_the_most_likely_token_alone_is_greedy(engine: TorchEngine) -> None:
    greedy = await answer(engine, a_request([5, 6], max_tokens=16))
    assert await answer(engine, a_request([5, 6], max_tokens=16, temperature=3.0, top_k=1)) == greedy
    assert await answer(engine, a_request([5, 6], max_tokens=16, temperature=3.0, top_p=1e-9)) == greedy


async def test_closing_a_stream_frees_its_place_within_a_step(
    gated: TorchEngine, gated_model: GatedModel
) -> None:
    doomed = gated.submit(a_request(request_id="doomed", max_tokens=50))
    other = gated.submit(a_request(request_id="other", max_tokens=50))
    gated_model.let(1)
    await next_of(doomed)
    await doomed.aclose()
    await doomed.aclose()
    steps_at_close = len(gated_model.steps)
    gated_model.let(2)
    await next_of(other)
    await next_of(other)
    await until(lambda: gated.stats().cancelled_requests == 1)
    assert sum("doomed" in step for step in gated_model.steps) <= steps_at_close + 1
    assert gated.stats().running_requests == 1
    with pytest.raises(StopAsyncIteration):
        await anext(aiter(doomed))
    await other.aclose()


async def test_closing_wakes_whoever_reads(gated: TorchEngine) -> None:
    stream = gated.submit(a_request())
    reader = asyncio.ensure_future(rest_of(stream))
    await asyncio.sleep(0)
    await stream.aclose()
    assert await reader == []


async def test_a_stream_that_is_dropped_is_cancelled(gated: TorchEngine, gated_model: GatedModel) -> None:
    stream = gated.submit(a_request(max_tokens=50))
    gated_model.let(1)
    await next_of(stream)
    del stream
    gc.collect()
    gated_model.let(1)
    await until(lambda: gated.stats().cancelled_requests == 1)
    assert gated.stats().running_requests == 0


async def test_text_that_nobody_reads_is_cancelled(gated: TorchEngine, gated_model: GatedModel) -> None:
    never_started = generate_text(gated, a_request(max_tokens=50))
    started = generate_text(gated, a_request(max_tokens=50))
    gated_model.let(4)
    assert (await anext(started)).text
    await started.aclose()
    await never_started.aclose()
    del never_started, started
    gated_model.let(2)
    await until(lambda: gated.stats().cancelled_requests == 2)


async def test_a_finished_answer_is_not_counted_as_cancelled(engine: TorchEngine) -> None:
    stream = engine.submit(a_request(max_tokens=3))
    await rest_of(stream)
    stats = engine.stats()
    await stream.aclose()
    await answer(engine, a_request(max_tokens=2))
    assert (stats.running_requests, stats.queued_requests, stats.generated_tokens) == (0, 0, 3)
    assert engine.stats().cancelled_requests == 0


async def test_a_full_queue_refuses_and_recovers(gated: TorchEngine, gated_model: GatedModel) -> None:
    streams = [gated.submit(a_request(max_tokens=2)) for _ in range(4)]
    with pytest.raises(Overloaded, match="4 requests"):
        gated.submit(a_request())
    gated_model.let(1)
    await next_of(streams[0])
    stats = gated.stats()
    assert (stats.running_requests, stats.queued_requests) == (2, 2)
    assert 0 < stats.kv_tokens_used < stats.kv_tokens_total
    gated_model.let(7)
    await asyncio.gather(*(rest_of(stream) for stream in streams))
    await rest_of(gated.submit(a_request(max_tokens=1)))


async def test_a_small_cache_makes_requests_wait_for_rows(llama: TinyModel) -> None:
    engine = TorchEngine.load(llama.path, device=DEVICE, native=NATIVE, kv_cache_tokens=40)
    assert engine.context_length == 40
    requests = [a_request(range(n, n + 9), max_tokens=16) for n in range(5)]
    answers = await asyncio.gather(*(answer(engine, request) for request in requests))
    engine.close()
    assert list(answers) == [llama.reference(None, range(n, n + 9), 16) for n in range(5)]


@pytest.mark.parametrize(
    ("request_", "error", "says"),
    [
        (a_request(range(250), max_tokens=7), ContextLengthExceeded, "250 prompt tokens and 7 .* 256"),
        (a_request([]), InvalidInput, "prompt is empty"),
        (a_request(max_tokens=0), InvalidInput, "max_tokens is 0"),
        (a_request([1, 260]), InvalidInput, "token 260"),
    ],
)
async def test_a_request_that_cannot_run_is_refused_at_once(
    engine: TorchEngine, request_: GenerationRequest, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        engine.submit(request_)
    assert len(await answer(engine, a_request(range(250), max_tokens=6))) == 6


class BreakingModel(GatedModel):
    """Breaks in its third step."""

    def forward(self, chunks: Sequence[Chunk]) -> torch.Tensor:
        self.let(1)
        if len(self.steps) == 2:
            raise MemoryError("no memory for this step")
        return super().forward(chunks)


async def test_when_the_thread_dies_every_stream_says_so(
    llama: TinyModel, caplog: pytest.LogCaptureFixture
) -> None:
    engine = TorchEngine(BreakingModel(llama.path), HfTokenizer(llama.path), max_running_requests=1)
    running, waiting = engine.submit(a_request(max_tokens=9)), engine.submit(a_request(max_tokens=9))
    await next_of(running)
    await next_of(running)
    for stream in (running, waiting):
        with pytest.raises(EngineFailed, match="MemoryError"):
            await rest_of(stream)
    assert not engine.stats().alive
    with pytest.raises(EngineFailed, match="MemoryError"):
        engine.submit(a_request())
    with pytest.raises(EngineFailed):
        engine.load_adapter(llama.adapters["one"])
    assert "no memory for this step" in caplog.text
    engine.close()


async def test_close_ends_streams_and_thread_and_may_be_repeated(llama: TinyModel) -> None:
    threads_before = set(threading.enumerate())
    engine = TorchEngine.load(llama.path, device=DEVICE, native=NATIVE)
    stream = engine.submit(a_request(max_tokens=200))
    await next_of(stream)
    engine.close()
    engine.close()
    with pytest.raises(EngineFailed, match="closed"):
        await rest_of(stream)
    assert not engine.stats().alive
    assert set(threading.enumerate()) <= threads_before


def test_the_loop_of_a_stream_may_be_gone(engine: TorchEngine) -> None:
    async def leave_early() -> TokenStream:
        stream = engine.submit(a_request(max_tokens=250 - 3))
        await next_of(stream)
        return stream

    stream = asyncio.run(leave_early())
    asyncio.run(until(lambda: engine.stats().cancelled_requests == 1))
    assert engine.stats().running_requests == 0
    del stream
