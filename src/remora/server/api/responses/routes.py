"""POST /v1/responses, and the routes of a stored one. Owns how a response is asked for, told and kept."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from remora.engine.base import FinishReason, TokenEvent
from remora.errors import InvalidInput, RemoraError
from remora.server.access.auth import caller_of
from remora.server.api import report
from remora.server.api.responses.events import Item, ResponseEvents
from remora.server.api.responses.input import (
    MOST_LISTED,
    USUALLY_LISTED,
    listed_items,
    resolved,
    told,
    turns_of,
)
from remora.server.api.responses.store import ResponseStore
from remora.server.api.schema.responses import ResponseRequest
from remora.server.api.tool_use import ToolUse
from remora.server.generation.answering import Answerer
from remora.server.generation.choices import Choices, ask
from remora.server.generation.constraints import Constraints
from remora.server.generation.logprobs import chat_logprobs
from remora.server.generation.question import Question
from remora.server.generation.template_variables import template_variables
from remora.server.generation.thoughts import AnswerReader, pieces
from remora.server.generation.tool_calls import Thought
from remora.server.generation.turns import Turn, assistant_turn
from remora.server.settings import ServerSettings
from remora.server.wire.encoding import Chunk
from remora.server.wire.sse import EventStream, while_connected

KEPT = frozenset({"response.completed", "response.incomplete"})


def response_routes(
    answerer: Answerer, constraints: Constraints, store: ResponseStore, settings: ServerSettings
) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/responses")
    async def create(body: ResponseRequest, request: Request) -> Response:
        asked = await _asked(body, store, _owner(request), answerer, constraints)
        choices = await ask(answerer, [asked.question], 1, id_prefix="resp")
        writer = _Writer(body, choices, asked.reader)

        def keep() -> None:
            if body.store is not False:
                turns = [*asked.turns, *_answered(writer.response["output"])]
                store.put(_owner(request), writer.response, asked.items, turns)

        headers = {**report.headers(choices), **report.tools(asked.tools_told)}
        if body.stream:
            return EventStream(writer.chunks(keep), headers, settings.keep_alive_seconds, named=True)
        await while_connected(request.receive, writer.whole())
        keep()
        return JSONResponse(writer.response, headers={**headers, **report.times(choices)})

    @router.post("/v1/responses/input_tokens")
    async def count(body: ResponseRequest, request: Request) -> dict[str, Any]:
        asked = await _asked(body, store, _owner(request), answerer, constraints)
        (question,) = await answerer.tokenized([asked.question])
        return {"object": "response.input_tokens", "input_tokens": len(question.prompt_ids)}

    @router.get("/v1/responses/{response_id}")
    async def show(response_id: str, request: Request) -> dict[str, Any]:
        return store.get(_owner(request), response_id).resource

    @router.get("/v1/responses/{response_id}/input_items")
    async def input_items(
        response_id: str,
        request: Request,
        limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = USUALLY_LISTED,
        order: Literal["asc", "desc"] = "desc",
        after: str | None = None,
    ) -> dict[str, Any]:
        return listed_items(store.get(_owner(request), response_id).input_items, limit, order, after)

    @router.post("/v1/responses/{response_id}/cancel")
    async def cancel(response_id: str, request: Request) -> None:
        store.get(_owner(request), response_id)
        raise InvalidInput(
            f"the response {response_id!r} cannot be cancelled: it is no background response",
            hint="close the connection to stop an answer while it runs",
            param="response_id",
        )

    @router.delete("/v1/responses/{response_id}")
    async def delete(response_id: str, request: Request) -> dict[str, Any]:
        store.delete(_owner(request), response_id)
        return {"id": response_id, "object": "response", "deleted": True}

    return router


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request as it is answered: `items` and `turns` are the conversation so far, without instructions."""

    question: Question
    items: Sequence[Item]
    turns: Sequence[Turn]
    reader: AnswerReader | None
    tools_told: str | None


async def _asked(
    body: ResponseRequest, store: ResponseStore, owner: str, answerer: Answerer, constraints: Constraints
) -> _Asked:
    items, turns = _conversation(body, store, owner)
    tools = _tool_use(body)
    await answerer.bring(body.model)
    form, tokenizer = answerer.tool_form(body.model), answerer.tokenizer(body.model)
    tools.check(form)
    variables = template_variables(body.template_options, answerer.template(body.model))
    thoughts = await answerer.thoughts(body.model, variables)
    question = Question(
        turns=_with_instructions(body, turns),
        tools=tools.templates(form),
        tools_in_words=form.in_words,
        template_variables=variables,
        constraint=await tools.constraint(constraints, tokenizer, form, thoughts),
        constraint_tokenizer=tokenizer,
        prompt_param="input",
        limit_param="max_output_tokens",
        **body.sampling(),
    )
    return _Asked(question, items, turns, tools.reader(form, thoughts), tools.told(form))


def _owner(request: Request) -> str:
    """Who can read a response again: requests with the same key. A name could pass to another key."""
    caller = caller_of(request.scope)
    return "" if caller is None else hashlib.sha256(caller.secret.encode()).hexdigest()


def _conversation(
    body: ResponseRequest, store: ResponseStore, owner: str
) -> tuple[Sequence[Item], Sequence[Turn]]:
    """What was said so far: the response that this one goes on from, then the input."""
    given = resolved(body.input, partial(store.item, owner))
    items, turns = [told(item) for item in given], turns_of(given)
    if body.previous_response_id is None:
        return items, turns
    before = store.get(owner, body.previous_response_id, param="previous_response_id")
    return [*before.input_items, *before.resource["output"], *items], [*before.turns, *turns]


def _with_instructions(body: ResponseRequest, turns: Sequence[Turn]) -> Sequence[Turn]:
    """Instructions hold for one response only, so they are no part of the conversation.

    They and what the system says first are one turn: few templates take two.
    """
    says = [body.instructions] if body.instructions else []
    rest = list(turns)
    while rest and rest[0]["role"] == "system":
        says.append(rest.pop(0)["content"])
    return [{"role": "system", "content": "\n\n".join(says)}, *rest] if says else rest


def _tool_use(body: ResponseRequest) -> ToolUse:
    schema = body.text.format.wanted_schema if body.text and body.text.format else None
    return ToolUse(
        functions=body.functions,
        choice=body.choice,
        parallel=body.parallel_tool_calls is not False,
        schema=schema,
        schema_param="text.format",
    )


def _answered(output: Sequence[Item]) -> list[Turn]:
    """The answer as a turn of the conversation."""
    text, thoughts = (
        "".join(part["text"] for item in output if item["type"] == kind for part in item["content"])
        for kind in ("message", "reasoning")
    )
    calls = [item for item in output if item["type"] == "function_call" and item["status"] == "completed"]
    named = ((call["call_id"], call["name"], call["arguments"]) for call in calls)
    thought = {"reasoning_content": thoughts} if thoughts else {}
    try:
        return [{**assistant_turn(text, named, param="input"), **thought}]
    except InvalidInput:  # a model that is held by no grammar may write arguments that are no JSON
        said = [text, *(call["arguments"] for call in calls)]
        return [{"role": "assistant", "content": "".join(said)}]


class _Writer:
    """Writes one response, whole or in events."""

    def __init__(self, body: ResponseRequest, choices: Choices, reader: AnswerReader | None) -> None:
        self._body = body
        self._choices = choices
        self._reader = reader
        self._events = ResponseEvents(
            {
                **body.settings(),
                "id": f"resp_{uuid.uuid4().hex}",
                "object": "response",
                "created_at": choices.created_seconds,
                "completed_at": None,
                "status": "in_progress",
                "error": None,
                "incomplete_details": None,
                "usage": None,
            },
            body.namespaces,
        )
        self._reasoning_tokens = 0

    @property
    def response(self) -> Item:
        return self._events.response

    async def whole(self) -> None:
        """Go through the answer; then `response` is complete."""
        async with aclosing(self._steps()) as steps:
            async for _ in steps:
                pass

    async def chunks(self, keep: Callable[[], None]) -> AsyncGenerator[Chunk]:
        """The events; an answer that fails ends as a failed response."""
        for event in self._events.begin():
            yield event
        try:
            async with aclosing(self._steps()) as steps:
                async for event in steps:
                    if event["type"] in KEPT:
                        keep()
                    yield event
        except RemoraError as error:
            failure = {"code": "server_error", "message": error.message}
            for event in self._events.end("failed", error=failure):
                yield event

    async def _steps(self) -> AsyncGenerator[Chunk]:
        reason: FinishReason | None = None
        waiting: list[TokenEvent] = []  # of text that may turn out to be a call
        async with aclosing(self._choices.events()) as events:
            async for _, event in events:
                reason = event.finish_reason
                waiting += event.tokens
                read = list(pieces(self._reader, event.text, event.finish_reason))
                if any(isinstance(piece, Thought) for piece in read):
                    self._reasoning_tokens = event.token_count
                for step in self._events.feed(read, self._logprobs(waiting) if read else ()):
                    yield step
                if read:
                    waiting = []
        for step in self._events.end(**self._ending(reason)):
            yield step

    def _logprobs(self, tokens: Sequence[TokenEvent]) -> Sequence[Item]:
        if self._body.wanted_logprobs is None:
            return ()
        entries: Sequence[Item] = chat_logprobs(self._choices.tokenizer, tokens)["content"]
        return entries

    def _ending(self, reason: FinishReason | None) -> dict[str, Any]:
        usage = {
            "input_tokens": self._choices.prompt_tokens,
            "input_tokens_details": {
                "cached_tokens": self._choices.cached_prompt_tokens,
                "cache_write_tokens": 0,
            },
            "output_tokens": self._choices.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": self._reasoning_tokens},
            "total_tokens": self._choices.prompt_tokens + self._choices.completion_tokens,
        }
        fields = {"usage": usage, "remora": report.remora(self._choices)}
        if reason is FinishReason.LENGTH:
            return {**fields, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        return {**fields, "status": "completed", "completed_at": int(time.time())}
