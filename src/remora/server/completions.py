"""POST /v1/completions. Owns the shape of OpenAI's text answers; how they come about is `answering`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from remora.engine.base import TokenEvent, Tokenizer
from remora.server import report
from remora.server.answering import Answer, Answerer, Question
from remora.server.logprobs import completion_logprobs
from remora.server.schemas import CompletionRequest
from remora.server.settings import ServerSettings
from remora.server.sse import Chunk, EventStream, while_connected

Logprobs = dict[str, Any] | None


def completion_routes(answerer: Answerer, settings: ServerSettings) -> APIRouter:
    router = APIRouter()
    tokenizer = answerer.engine.tokenizer

    @router.post("/v1/completions")
    async def create(body: CompletionRequest, request: Request) -> Response:
        answer = answerer.ask(_question(body), id_prefix="cmpl")
        if body.stream:
            chunks = _chunks(body, answer, tokenizer)
            return EventStream(chunks, report.headers(answer), settings.keep_alive_seconds)
        text, tokens = await while_connected(request.receive, answer.whole())
        logprobs = _logprobs(body, tokenizer, tokens, 0)
        completion = {
            **_head(body, answer),
            "choices": [_choice(text, answer.finish_reason, logprobs)],
            "usage": report.usage(answer),
            "remora": report.remora(answer),
        }
        return JSONResponse(completion, headers=report.headers(answer))

    return router


def _question(body: CompletionRequest) -> Question:
    return Question(
        model=body.model,
        text=body.prompt[0],
        max_tokens=body.token_limit,
        top_logprobs=body.logprobs,
        **body.sampling(),
    )


async def _chunks(body: CompletionRequest, answer: Answer, tokenizer: Tokenizer) -> AsyncGenerator[Chunk]:
    offset = 0
    head = _head(body, answer)
    if body.wants_usage:
        head["usage"] = None
    async with aclosing(answer.events()) as events:
        async for event in events:
            if event.text:
                logprobs = _logprobs(body, tokenizer, event.tokens, offset)
                offset += len(event.text)
                yield {**head, "choices": [_choice(event.text, logprobs=logprobs)]}
    yield {**head, "choices": [_choice("", answer.finish_reason)], "remora": report.remora(answer)}
    if body.wants_usage:
        yield {**head, "choices": [], "usage": report.usage(answer)}


def _choice(text: str, finish_reason: str | None = None, logprobs: Logprobs = None) -> dict[str, Any]:
    return {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}


def _logprobs(
    body: CompletionRequest, tokenizer: Tokenizer, tokens: Sequence[TokenEvent], offset: int
) -> Logprobs:
    return None if body.logprobs is None else completion_logprobs(tokenizer, tokens, offset)


def _head(body: CompletionRequest, answer: Answer) -> dict[str, Any]:
    return {
        "id": answer.id,
        "object": "text_completion",
        "created": answer.created_seconds,
        "model": body.model,
        "system_fingerprint": answer.label,
    }
