"""POST /v1/completions. Owns the shape of OpenAI's text answers; how they come about is `answering`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from remora.server import report
from remora.server.answering import Answer, Answerer, Question
from remora.server.schemas import CompletionRequest
from remora.server.settings import ServerSettings
from remora.server.sse import Chunk, EventStream, while_connected


def completion_routes(answerer: Answerer, settings: ServerSettings) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/completions")
    async def create(body: CompletionRequest, request: Request) -> Response:
        answer = answerer.ask(_question(body), id_prefix="cmpl")
        if body.stream:
            chunks = _chunks(body, answer)
            return EventStream(chunks, report.headers(answer), settings.keep_alive_seconds)
        text = await while_connected(request.receive, answer.text())
        completion = {
            **_head(body, answer),
            "choices": [_choice(text, answer.finish_reason)],
            "usage": report.usage(answer),
            "remora": report.remora(answer),
        }
        return JSONResponse(completion, headers=report.headers(answer))

    return router


def _question(body: CompletionRequest) -> Question:
    return Question(model=body.model, text=body.prompt[0], max_tokens=body.token_limit, **body.sampling())


async def _chunks(body: CompletionRequest, answer: Answer) -> AsyncGenerator[Chunk]:
    head = _head(body, answer)
    if body.wants_usage:
        head["usage"] = None
    async with aclosing(answer.events()) as events:
        async for event in events:
            if event.text:
                yield {**head, "choices": [_choice(event.text)]}
    yield {**head, "choices": [_choice("", answer.finish_reason)], "remora": report.remora(answer)}
    if body.wants_usage:
        yield {**head, "choices": [], "usage": report.usage(answer)}


def _choice(text: str, finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}


def _head(body: CompletionRequest, answer: Answer) -> dict[str, Any]:
    return {
        "id": answer.id,
        "object": "text_completion",
        "created": answer.created_seconds,
        "model": body.model,
        "system_fingerprint": answer.label,
    }
