"""How far the base model and an adapter differ at each token of an answer, for the side-by-side page.

Owns that route and its figures. Both models score the same tokens: those of the adapter's own prompt, and of
the answer that the page shows. The distance is the lower bound of `remora.adapters.proof`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import JSONResponse

from remora.adapters.proof import kl_lower_bound
from remora.engine.base import Tokenizer, TokenScore
from remora.errors import InvalidInput
from remora.server.access.admitted import PAGE_COLOURS_PATH
from remora.server.api.schema.body import RequestBody
from remora.server.api.schema.chat import ChatMessage
from remora.server.api.schema.sampling import MOST_TOP_LOGPROBS, Scale
from remora.server.generation.answering import Answerer
from remora.server.generation.question import Question
from remora.server.wire.sse import while_connected

SHOWN_TOKENS = 5


class ColourRequest(RequestBody):
    """An adapter, and a conversation that ends with an answer."""

    model: str
    adapter_scale: Scale = 1.0
    messages: Annotated[list[ChatMessage], Field(min_length=2)]


def token_colour_routes(answerer: Answerer) -> APIRouter:
    router = APIRouter()

    @router.post(PAGE_COLOURS_PATH)
    async def colours(body: ColourRequest, request: Request) -> JSONResponse:
        tokens = await while_connected(request.receive, _coloured(answerer, body))
        return JSONResponse({"tokens": tokens})

    return router


async def _coloured(answerer: Answerer, body: ColourRequest) -> list[dict[str, Any]]:
    await answerer.bring(body.model)
    base, tokenizer = answerer.models.base_name, answerer.tokenizer(body.model)
    if tokenizer is not answerer.tokenizer(base):
        raise InvalidInput(
            f"{body.model!r} has a tokenizer of its own: its tokens are not those of {base!r}",
            hint="compare the texts",
            param="model",
        )
    *asked, answer = (message.as_turn() for message in body.messages)
    (question,) = await answerer.tokenized([Question(model=body.model, turns=asked)])
    answer_ids = await asyncio.to_thread(tokenizer.encode, answer["content"], add_special_tokens=False)
    ids = (*question.prompt_ids, *answer_ids)
    both = await asyncio.gather(
        _scores(answerer, base, 1.0, ids), _scores(answerer, body.model, body.adapter_scale, ids)
    )
    # The first token of a prompt has no score.
    reference, model = (scores[len(question.prompt_ids) - 1 :] for scores in both)
    return _told(tokenizer, reference, model)


async def _scores(
    answerer: Answerer, model: str, adapter_scale: float, ids: tuple[int, ...]
) -> list[TokenScore]:
    scored = Question(
        model=model,
        prompt_ids=ids,
        max_tokens=0,
        prompt_logprobs=MOST_TOP_LOGPROBS,
        adapter_scale=adapter_scale,
    )
    return [score for event in await answerer.ask(scored).whole() for score in event.prompt_scores]


def _told(
    tokenizer: Tokenizer, reference: Sequence[TokenScore], model: Sequence[TokenScore]
) -> list[dict[str, Any]]:
    told, unfinished = [], b""
    for ours, theirs in zip(reference, model, strict=True):
        unfinished += tokenizer.token_bytes(ours.token_id)
        text = unfinished.decode(errors="replace")
        # A character may have several tokens: the last one shows it.
        text, unfinished = ("", unfinished) if text.endswith("\ufffd") else (text, b"")
        base, adapted = _logprobs(ours), _logprobs(theirs)
        told.append(
            {
                "text": text,
                "kl": round(kl_lower_bound(base, adapted), 4),
                "base": _likeliest(tokenizer, base),
                "model": _likeliest(tokenizer, adapted),
            }
        )
    return told


def _logprobs(score: TokenScore) -> Mapping[int, float]:
    return {score.token_id: score.logprob, **dict(score.top)}


def _likeliest(tokenizer: Tokenizer, logprobs: Mapping[int, float]) -> list[tuple[str, float]]:
    """Texts with their probabilities, the likeliest first."""
    ranked = sorted(logprobs.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_TOKENS]
    return [
        (tokenizer.token_bytes(token_id).decode(errors="replace"), round(math.exp(logprob), 4))
        for token_id, logprob in ranked
    ]
