"""POST /tokenize, POST /detokenize and GET /tokenizer_info, as vLLM has them. Owns their shapes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter

from remora.engine.base import Tokenizer
from remora.server.api.schema.tokens import DetokenizeRequest, TokenizeRequest
from remora.server.api.schema.tools import Choice
from remora.server.api.tool_use import ToolUse
from remora.server.generation.answering import Answerer
from remora.server.generation.question import Question
from remora.server.generation.template_variables import begun_answer, template_variables


def token_routes(answerer: Answerer) -> APIRouter:
    router = APIRouter()

    @router.post("/tokenize")
    async def tokenize(body: TokenizeRequest) -> dict[str, Any]:
        await answerer.bring(body.model or "")
        (question,) = await answerer.tokenized([_question(answerer, body)])
        ids, strings = question.prompt_ids, None
        tokenizer = answerer.tokenizer(question.model)
        if body.return_token_strs:
            strings = await asyncio.to_thread(_strings, tokenizer, ids)
        return {
            "count": len(ids),
            "max_model_len": answerer.most_total_tokens,
            "tokens": list(ids),
            "token_strs": strings,
        }

    @router.get("/tokenizer_info")
    async def tokenizer_info(model: str | None = None) -> dict[str, Any]:
        await answerer.bring(model or "")
        return dict(answerer.tokenizer(model or answerer.models.base_name).info)

    @router.post("/detokenize")
    async def detokenize(body: DetokenizeRequest) -> dict[str, str]:
        await answerer.bring(body.model or "")
        tokenizer = answerer.tokenizer(body.model or answerer.models.base_name)
        return {"prompt": await asyncio.to_thread(tokenizer.decode, body.tokens)}

    return router


def _strings(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    return [tokenizer.token_bytes(token_id).decode(errors="replace") for token_id in ids]


def _question(answerer: Answerer, body: TokenizeRequest) -> Question:
    model = body.model or answerer.models.base_name
    if body.messages is None:
        return Question(
            model=model,
            text=body.prompt or "",
            add_special_tokens=body.add_special_tokens is not False,
            prompt_param="prompt",
        )
    form = answerer.tool_form(model)
    functions = [tool.function for tool in body.tools or ()]
    tools = ToolUse(functions, Choice(), parallel=True, schema=None, schema_param="")
    tools.check(form)
    turns = [message.as_turn() for message in body.messages]
    return Question(
        model=model,
        turns=turns,
        tools=tools.templates(form),
        tools_in_words=form.in_words,
        template_variables=template_variables(body.template_options, answerer.template(model)),
        continues_last=bool(body.continue_final_message and begun_answer(turns)),
    )
