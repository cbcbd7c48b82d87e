"""Measures what a loaded adapter changes: asks base and adapter the same prompts through any engine.

The mathematics is `adapters/proof.py`; what becomes of the verdict is its caller's.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import aclosing

from remora.adapters.adapter import Digest
from remora.adapters.proof import Effect, Told, effect_of
from remora.engine.base import Engine, GenerationRequest, SamplingParams, Tokenizer
from remora.errors import EngineFailed, RemoraError

NEUTRAL_PROMPTS = (
    "Hello!",
    "Tell me about your day.",
    "What should I do next?",
    "The weather is fine, and I finally got the job I wanted.",
)
"""Asked where there are no golden prompts."""

ANSWER_TOKENS = 8
TOLD_TOKENS = 256  # of the likeliest; what they leave over is taken as one


async def measure_effect(
    engine: Engine,
    digest: Digest,
    prompts: Sequence[Sequence[int]],
    *,
    answer_tokens: int = ANSWER_TOKENS,
) -> Effect:
    """What a loaded adapter changes in the greedy answers to these prompts (token ids).

    Raises EngineFailed where there are no prompts or the engine tells no log-probabilities, and whatever
    `Engine.submit` raises.
    """
    if not prompts:
        raise EngineFailed(
            "the model's tokenizer makes no tokens of the prompts", hint="see its tokenizer.json"
        )
    # One after the other: an endpoint that serves meanwhile is held up by one short request at a time.
    base = [await _answer(engine, None, prompt, answer_tokens) for prompt in prompts]
    adapted = [await _answer(engine, digest, prompt, answer_tokens) for prompt in prompts]
    if not any(told.logprobs for answer in base for told in answer):
        raise EngineFailed("this engine tells no log-probabilities", hint="serve with the torch engine")
    return effect_of(base, adapted)


def prompts_for_proof(tokenizer: Tokenizer, texts: Sequence[str] = NEUTRAL_PROMPTS) -> list[list[int]]:
    """These texts as a user's turn in the model's chat template; as plain text where it refuses them."""
    prompts = []
    for text in texts:
        try:
            prompts.append(tokenizer.render_chat([{"role": "user", "content": text}]))
        except RemoraError:
            prompts.append(tokenizer.encode(text))
    return [prompt for prompt in prompts if prompt]


async def _answer(
    engine: Engine, adapter: Digest | None, prompt: Sequence[int], answer_tokens: int
) -> list[Told]:
    request = GenerationRequest(
        request_id=f"proof-{uuid.uuid4().hex}",
        prompt_ids=tuple(prompt),
        sampling=SamplingParams(max_tokens=answer_tokens, temperature=0.0, top_logprobs=TOLD_TOKENS),
        adapter=adapter,
        stop_token_ids=engine.tokenizer.stop_token_ids,
    )
    answer = []
    async with aclosing(engine.submit(request)) as stream:
        async for token in stream:
            answer.append(Told(token.token_id, dict(token.top_logprobs)))
            await asyncio.sleep(0)  # the event loop of an endpoint has others to serve
            if token.finish_reason is not None:
                break
    return answer
