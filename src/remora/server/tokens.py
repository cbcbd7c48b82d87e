"""POST /tokenize and /detokenize, in vLLM's shape. Owns showing what a prompt is to the model."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from remora.server.answering import Answerer, Question
from remora.server.schema.tokens import DetokenizeRequest, TokenizeRequest
from remora.server.tool_use import ToolUse


def token_routes(answerer: Answerer) -> APIRouter:
    router = APIRouter()
    tokenizer = answerer.engine.tokenizer

    @router.post("/tokenize")
    async def tokenize(body: TokenizeRequest) -> dict[str, Any]:
        ids = answerer.prompt_ids(_question(answerer, body))
        strings = None
        if body.return_token_strs:
            strings = [tokenizer.token_bytes(token_id).decode(errors="replace") for token_id in ids]
        return {
            "count": len(ids),
            "max_model_len": answerer.most_total_tokens,
            "tokens": list(ids),
            "token_strs": strings,
        }

    @router.post("/detokenize")
    async def detokenize(body: DetokenizeRequest) -> dict[str, str]:
        answerer.models.resolve(body.model)
        return {"prompt": tokenizer.decode(body.tokens)}

    return router


def _question(answerer: Answerer, body: TokenizeRequest) -> Question:
    if body.messages is None:
        return Question(model=body.model, text=body.prompt or "", prompt_param="prompt")
    form = answerer.tool_format(body.model)
    functions = [tool.function for tool in body.tools or ()]
    tools = ToolUse(functions, "auto", None, parallel=True, schema=None, schema_param="")
    tools.check(form)
    turns = [message.as_turn() for message in body.messages]
    return Question(model=body.model, turns=turns, tools=tools.templates(form))
