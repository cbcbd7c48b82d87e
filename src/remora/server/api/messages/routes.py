"""Anthropic's API: POST /v1/messages and /v1/messages/count_tokens. Owns how a message is asked and told."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from remora.engine.base import FinishReason
from remora.engine.text.pieces import TextEvent
from remora.server.api import report
from remora.server.api.messages.events import MessageEvents
from remora.server.api.messages.input import turns_of
from remora.server.api.schema.messages import CountTokensRequest, MessagesRequest
from remora.server.api.tool_use import ToolUse
from remora.server.generation.answering import Answerer
from remora.server.generation.choices import Choices, ask
from remora.server.generation.constraints import Constraints
from remora.server.generation.question import Question
from remora.server.generation.template_variables import SWITCH, begun_answer, template_variables
from remora.server.generation.thoughts import AnswerReader, pieces
from remora.server.settings import ServerSettings
from remora.server.wire.dialects import MESSAGES_PATH
from remora.server.wire.encoding import Chunk
from remora.server.wire.sse import EventStream, while_connected


def message_routes(answerer: Answerer, constraints: Constraints, settings: ServerSettings) -> APIRouter:
    router = APIRouter()

    @router.post(MESSAGES_PATH)
    async def create(body: MessagesRequest, request: Request) -> Response:
        asked = await _asked(body, answerer, constraints, body.sampling())
        choices = await ask(answerer, [asked.question], 1, id_prefix="msg")
        writer = _Writer(body, choices, asked.reader)
        headers = {**report.headers(choices), **report.tools(asked.tools_told)}
        if body.stream:
            return EventStream(writer.chunks(), headers, settings.keep_alive_seconds, named=True)
        await while_connected(request.receive, writer.whole())
        return JSONResponse(writer.message, headers={**headers, **report.times(choices)})

    @router.post(f"{MESSAGES_PATH}/count_tokens")
    async def count(body: CountTokensRequest) -> dict[str, Any]:
        asked = await _asked(body, answerer, constraints, {})
        (question,) = await answerer.tokenized([asked.question])
        return {"input_tokens": len(question.prompt_ids)}

    return router


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request as it is answered."""

    question: Question
    reader: AnswerReader | None
    tools_told: str | None


async def _asked(
    body: CountTokensRequest, answerer: Answerer, constraints: Constraints, sampling: dict[str, Any]
) -> _Asked:
    tools = ToolUse(
        functions=body.functions,
        choice=body.choice,
        parallel=body.is_parallel,
        schema=body.wanted_schema,
        schema_param="output_config.format",
    )
    await answerer.bring(body.model)
    form, tokenizer = answerer.tool_form(body.model), answerer.tokenizer(body.model)
    tools.check(form)
    turns, template = turns_of(body.system, body.messages), answerer.template(body.model)
    begun = begun_answer(turns, "messages") if body.continues else ""
    options = body.template_options(switchable=SWITCH in template.template_names)
    variables = template_variables(options, template)
    thoughts = await answerer.thoughts(body.model, variables, begun)
    question = Question(
        model=body.model,
        turns=turns,
        tools=tools.templates(form),
        tools_in_words=form.in_words,
        template_variables=variables,
        continues_last=bool(begun),
        constraint=await tools.constraint(constraints, tokenizer, form, thoughts),
        constraint_tokenizer=tokenizer,
        **sampling,
    )
    reader = tools.reader(form, thoughts, thoughts_shown=body.shows_thoughts)
    return _Asked(question, reader, tools.told(form))


class _Writer:
    """Writes one message, whole or in events."""

    def __init__(self, body: MessagesRequest, choices: Choices, reader: AnswerReader | None) -> None:
        self._choices = choices
        self._reader = reader
        self._events = MessageEvents(
            {
                "id": choices.id,
                "type": "message",
                "role": "assistant",
                "model": body.model,
                "stop_reason": None,
                "stop_sequence": None,
                "usage": self._usage(),
            }
        )

    @property
    def message(self) -> dict[str, Any]:
        return self._events.message

    async def whole(self) -> None:
        """Go through the answer; then `message` is complete."""
        async with aclosing(self.chunks()) as chunks:
            async for _ in chunks:
                pass

    async def chunks(self) -> AsyncGenerator[Chunk]:
        for chunk in self._events.begin():
            yield chunk
        last: TextEvent | None = None
        async with aclosing(self._choices.events()) as events:
            async for _, event in events:
                last = event
                for chunk in self._events.feed(pieces(self._reader, event.text, event.finish_reason)):
                    yield chunk
        reason, stop = self._ending(last)
        ending = {"stop_reason": reason, "stop_sequence": stop, "usage": self._usage()}
        for chunk in self._events.end(**ending, remora=report.remora(self._choices)):
            yield chunk

    def _ending(self, last: TextEvent | None) -> tuple[str, str | None]:
        """Anthropic's stop_reason, and the stop sequence where one ended the answer."""
        if last is not None and last.finish_reason is FinishReason.LENGTH:
            return "max_tokens", None
        if any(block["type"] == "tool_use" for block in self.message["content"]):
            return "tool_use", None
        if last is not None and last.stop is not None:
            return "stop_sequence", last.stop
        return "end_turn", None

    def _usage(self) -> dict[str, Any]:
        """What was read from the cache is counted by itself."""
        cached = self._choices.cached_prompt_tokens
        return {
            "input_tokens": self._choices.prompt_tokens - cached,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": cached,
            "output_tokens": self._choices.completion_tokens,
        }
