"""POST /v1/chat/completions. Owns the shape of OpenAI's chat answers; how they come about is `answering`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from remora.engine.base import TokenEvent, Tokenizer
from remora.server import report
from remora.server.answering import Answer, Answerer, Question
from remora.server.logprobs import chat_logprobs
from remora.server.schemas import ChatRequest
from remora.server.settings import ServerSettings
from remora.server.sse import Chunk, EventStream, while_connected

Logprobs = dict[str, Any] | None


def chat_routes(answerer: Answerer, settings: ServerSettings) -> APIRouter:
    router = APIRouter()
    tokenizer = answerer.engine.tokenizer

    @router.post("/v1/chat/completions")
    async def create(body: ChatRequest, request: Request) -> Response:
        answer = answerer.ask(_question(body))
        if body.stream:
            chunks = _chunks(body, answer, tokenizer)
            return EventStream(chunks, report.headers(answer), settings.keep_alive_seconds)
        text, tokens = await while_connected(request.receive, answer.whole())
        logprobs = _logprobs(body, tokenizer, tokens)
        return JSONResponse(_completion(body, answer, text, logprobs), headers=report.headers(answer))

    return router


def _question(body: ChatRequest) -> Question:
    return Question(
        model=body.model,
        turns=[message.as_turn() for message in body.messages],
        max_tokens=body.token_limit,
        top_logprobs=body.wanted_logprobs,
        **body.sampling(),
    )


def _completion(body: ChatRequest, answer: Answer, text: str, logprobs: Logprobs) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": answer.finish_reason}
    return {
        **_head(body, answer, "chat.completion"),
        "choices": [choice],
        "usage": report.usage(answer),
        "remora": report.remora(answer),
    }


async def _chunks(body: ChatRequest, answer: Answer, tokenizer: Tokenizer) -> AsyncGenerator[Chunk]:
    """A chunk with the role, one for each piece of text, one with the reason, and the usage if asked for."""
    head = _head(body, answer, "chat.completion.chunk")
    if body.wants_usage:
        head["usage"] = None
    async with aclosing(answer.events()) as events:
        yield {**head, "choices": [_delta({"role": "assistant", "content": ""})]}
        async for event in events:
            if event.text:
                logprobs = _logprobs(body, tokenizer, event.tokens)
                yield {**head, "choices": [_delta({"content": event.text}, logprobs=logprobs)]}
    yield {**head, "choices": [_delta({}, answer.finish_reason)], "remora": report.remora(answer)}
    if body.wants_usage:
        yield {**head, "choices": [], "usage": report.usage(answer)}


def _delta(
    delta: dict[str, str], finish_reason: str | None = None, logprobs: Logprobs = None
) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}


def _logprobs(body: ChatRequest, tokenizer: Tokenizer, tokens: Sequence[TokenEvent]) -> Logprobs:
    return None if body.wanted_logprobs is None else chat_logprobs(tokenizer, tokens)


def _head(body: ChatRequest, answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": answer.id,
        "object": kind,
        "created": answer.created_seconds,
        "model": body.model,
        "system_fingerprint": answer.label,
    }
