"""Measures what a loaded adapter changes: asks base and adapter the same prompts through any engine.

The mathematics is `adapters/proof.py`; what becomes of the verdict is its caller's.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

from remora.adapters.adapter import Digest
from remora.adapters.proof import ANSWER_TOKENS, NEUTRAL_PROMPTS, Effect, ScoredToken, effect_of
from remora.engine.base import Engine, GenerationRequest, SamplingParams, Tokenizer
from remora.errors import EngineFailed, InvalidInput, RemoraError

TOLD_TOKENS = 256  # of the likeliest; what they leave over is taken as one


async def measure_effect(
    engine: Engine,
    digest: Digest,
    texts: Sequence[str] = NEUTRAL_PROMPTS,
    *,
    answer_tokens: int = ANSWER_TOKENS,
) -> Effect:
    """What a loaded adapter changes in the greedy answers to these texts.

    Both are asked the same tokens, those of the adapter: as a user's turn in its chat template, or as plain
    text where the template refuses it, or writes tokens for which the base has no row.
    Raises EngineFailed where there are no prompts or the engine tells no log-probabilities, and whatever
    `Engine.submit` raises.
    """
    tokenizer = engine.tokenizer_of(digest)
    ends = tokenizer.stop_token_ids & engine.tokenizer.stop_token_ids  # alike for both, or lengths differ
    base: list[list[ScoredToken]] = []
    adapted: list[list[ScoredToken]] = []
    refusal: InvalidInput | None = None
    # One after the other: an endpoint that serves meanwhile is held up by one short request at a time.
    for text in texts:
        for prompt in _spellings(tokenizer, text):
            ask = _Asking(engine, prompt, answer_tokens, ends)
            try:
                told = await ask.answer(None)
            except InvalidInput as error:
                refusal = error
                continue
            base.append(told)
            adapted.append(await ask.answer(digest))
            break
    if not base:
        raise refusal or EngineFailed(
            "the model's tokenizer makes no tokens of the prompts", hint="see its tokenizer.json"
        )
    if not any(told.logprobs for answer in base for told in answer):
        raise EngineFailed("this engine tells no log-probabilities", hint="serve with the torch engine")
    return effect_of(base, adapted)


def _spellings(tokenizer: Tokenizer, text: str) -> Iterator[list[int]]:
    with suppress(RemoraError):
        yield tokenizer.render_chat([{"role": "user", "content": text}])
    if plain := tokenizer.encode(text):
        yield plain


@dataclass(frozen=True, slots=True)
class _Asking:
    """One prompt for base and adapter."""

    engine: Engine
    prompt: Sequence[int]
    answer_tokens: int
    stop_token_ids: frozenset[int]

    async def answer(self, adapter: Digest | None) -> list[ScoredToken]:
        request = GenerationRequest(
            request_id=f"proof-{uuid.uuid4().hex}",
            prompt_ids=tuple(self.prompt),
            sampling=SamplingParams(max_tokens=self.answer_tokens, temperature=0.0, top_logprobs=TOLD_TOKENS),
            adapter=adapter,
            stop_token_ids=self.stop_token_ids,
        )
        answer = []
        async with aclosing(self.engine.submit(request)) as stream:
            async for token in stream:
                answer.append(ScoredToken(token.token_id, dict(token.top_logprobs)))
                await asyncio.sleep(0)  # the event loop of an endpoint has others to serve
                if token.finish_reason is not None:
                    break
        return answer
