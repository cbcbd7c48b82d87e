"""How likely a prompt's own tokens are: as transformers and PEFT compute it, whatever else runs."""

from __future__ import annotations

import asyncio

import pytest
import torch
from tests.engine.tiny_models import OpenModel, TinyModel, a_request, read

from remora.engine.base import FinishReason, TokenEvent
from remora.engine.text.chat_template import HfTokenizer
from remora.engine.torch.engine import TorchEngine
from remora.errors import ContextLengthExceeded, InvalidInput

PROMPT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6, 2, 6, 4]


def expected(llama: TinyModel, adapter: str | None, prompt: list[int]) -> torch.Tensor:
    """A row for each token of the prompt but the last: what comes next."""
    with torch.no_grad():
        logits: torch.Tensor = llama.peft_model(adapter)(torch.tensor([prompt])).logits[0]
    return logits.float().log_softmax(-1)


def check(event: TokenEvent, rows: torch.Tensor, prompt: list[int], top: int) -> None:
    assert [score.token_id for score in event.prompt_scores] == prompt[1:]
    for score, row in zip(event.prompt_scores, rows[:-1], strict=True):
        assert score.logprob == pytest.approx(float(row[score.token_id]), abs=1e-4)
        assert abs(score.rank - 1 - int((row > row[score.token_id]).sum())) <= 1
        assert [value for _, value in score.top] == pytest.approx(row.topk(top).values.tolist(), abs=1e-4)


@pytest.mark.parametrize("adapter", [None, "one", "two"])
@pytest.mark.parametrize("max_tokens", [0, 1, 5])
async def test_a_prompt_is_scored_as_the_model_does_it(
    engine: TorchEngine, llama: TinyModel, adapter: str | None, max_tokens: int
) -> None:
    chosen = None if adapter is None else llama.adapters[adapter]
    if chosen is not None:
        engine.load_adapter(chosen)
    events = await read(engine, a_request(PROMPT, adapter=chosen, max_tokens=max_tokens, prompt_logprobs=3))
    check(events[0], expected(llama, adapter, PROMPT), PROMPT, 3)
    assert len(events) == max(max_tokens, 1)
    assert events[-1].finish_reason is FinishReason.LENGTH
    assert all(not event.prompt_scores for event in events[1:])


async def test_a_prompt_of_several_chunks_and_a_known_beginning_are_scored_whole(llama: TinyModel) -> None:
    long = PROMPT * 5
    engine = TorchEngine(OpenModel(llama.path), HfTokenizer(llama.path), prefill_tokens_per_step=7)
    try:
        await read(engine, a_request(long, max_tokens=2))  # leaves what a later prompt may begin with
        two = llama.adapters["two"]
        engine.load_adapter(two)
        other = asyncio.create_task(read(engine, a_request([7, 7, 7, *PROMPT], adapter=two, max_tokens=20)))
        (event,) = await read(engine, a_request(long, max_tokens=0, prompt_logprobs=2))
        check(event, expected(llama, None, long), long, 2)
        assert event.reused_prompt_tokens == 0
        plain = await read(engine, a_request(long, max_tokens=1))
        assert plain[0].reused_prompt_tokens > 0
        await other
    finally:
        engine.close()


async def test_a_prompt_may_fill_the_context_where_nothing_is_to_follow(engine: TorchEngine) -> None:
    full = (PROMPT * 100)[: engine.context_length]
    (event,) = await read(engine, a_request(full, max_tokens=0, prompt_logprobs=0))
    assert len(event.prompt_scores) == len(full) - 1
    with pytest.raises(ContextLengthExceeded):
        engine.submit(a_request(full, max_tokens=1, prompt_logprobs=0))


async def test_one_token_has_no_scores_and_nothing_at_all_is_refused(engine: TorchEngine) -> None:
    (event,) = await read(engine, a_request([3], max_tokens=0, prompt_logprobs=0))
    assert event.prompt_scores == ()
    with pytest.raises(InvalidInput) as refused:
        engine.submit(a_request([3], max_tokens=0))
    assert refused.value.param == "max_tokens"
