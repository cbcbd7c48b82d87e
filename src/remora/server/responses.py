"""POST /v1/responses, and GET and DELETE of a stored one. Owns how a response is asked for, told and kept."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from remora.engine.base import FinishReason, TokenEvent, Tokenizer
from remora.engine.text import TextEvent
from remora.errors import InvalidInput, RemoraError
from remora.server import report
from remora.server.answering import Answerer, Question
from remora.server.auth import caller_of
from remora.server.choices import Choices, ask
from remora.server.constraints import Constraints
from remora.server.logprobs import chat_logprobs
from remora.server.response_events import Item, ResponseEvents
from remora.server.response_store import ResponseStore
from remora.server.schema.responses import ChosenFunctionTool, ResponseRequest
from remora.server.settings import ServerSettings
from remora.server.sse import Chunk, EventStream, while_connected
from remora.server.tool_calls import CallReader, Content, Piece
from remora.server.tool_use import ToolUse
from remora.server.turns import Turn, assistant_turn

KEPT = frozenset({"response.completed", "response.incomplete"})


def response_routes(
    answerer: Answerer, constraints: Constraints, store: ResponseStore, settings: ServerSettings
) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/responses")
    async def create(body: ResponseRequest, request: Request) -> Response:
        owner = _owner(request)
        turns = _conversation(body, store, owner)
        tools = _tool_use(body)
        form = answerer.tool_format(body.model)
        tools.check(form)
        question = Question(
            turns=_with_instructions(body, turns),
            tools=tools.templates(form),
            constraint=await tools.constraint(constraints),
            prompt_param="input",
            limit_param="max_output_tokens",
            **body.sampling(),
        )
        choices = ask(answerer, [question], 1, id_prefix="resp")
        writer = _Writer(body, choices, answerer.engine.tokenizer, tools.reader(form))

        def keep() -> None:
            if body.store is not False:
                store.put(owner, writer.response, [*turns, *_answered(writer.response["output"])])

        if body.stream:
            chunks = writer.chunks(keep)
            return EventStream(chunks, report.headers(choices), settings.keep_alive_seconds, named=True)
        await while_connected(request.receive, writer.whole())
        keep()
        headers = {**report.headers(choices), **report.times(choices)}
        return JSONResponse(writer.response, headers=headers)

    @router.get("/v1/responses/{response_id}")
    async def show(response_id: str, request: Request) -> dict[str, Any]:
        return store.get(_owner(request), response_id).resource

    @router.delete("/v1/responses/{response_id}")
    async def delete(response_id: str, request: Request) -> dict[str, Any]:
        store.delete(_owner(request), response_id)
        return {"id": response_id, "object": "response", "deleted": True}

    return router


def _owner(request: Request) -> str:
    """Who may see a response again: whoever shows the same key. Not its name, which another key may get."""
    caller = caller_of(request.scope)
    return "" if caller is None else hashlib.sha256(caller.secret.encode()).hexdigest()


def _conversation(body: ResponseRequest, store: ResponseStore, owner: str) -> list[Turn]:
    """What was said so far: the response that this one goes on from, then the input."""
    if body.previous_response_id is None:
        return body.turns()
    before = store.get(owner, body.previous_response_id, param="previous_response_id")
    return [*before.turns, *body.turns()]


def _with_instructions(body: ResponseRequest, turns: list[Turn]) -> list[Turn]:
    """Instructions hold for one response only, so they are no part of the conversation."""
    return [{"role": "system", "content": body.instructions}, *turns] if body.instructions else turns


def _tool_use(body: ResponseRequest) -> ToolUse:
    named = body.tool_choice.name if isinstance(body.tool_choice, ChosenFunctionTool) else None
    schema = body.text.format.wanted_schema if body.text and body.text.format else None
    return ToolUse(
        functions=[tool.function for tool in body.tools or ()],
        mode=body.tool_choice if isinstance(body.tool_choice, str) else "auto",
        chosen=named,
        parallel=body.parallel_tool_calls is not False,
        schema=schema,
        schema_param="text.format",
    )


def _answered(output: Sequence[Item]) -> list[Turn]:
    """The answer as a turn of the conversation."""
    text = "".join(part["text"] for item in output for part in item.get("content", ()))
    calls = [item for item in output if item["type"] == "function_call" and item["status"] == "completed"]
    named = ((call["call_id"], call["name"], call["arguments"]) for call in calls)
    try:
        return [assistant_turn(text, named, param="input")]
    except InvalidInput:  # a model that is held by no grammar may write arguments that are no JSON
        said = [text, *(call["arguments"] for call in calls)]
        return [{"role": "assistant", "content": "".join(said)}]


class _Writer:
    """Writes one response, whole or in events."""

    def __init__(
        self, body: ResponseRequest, choices: Choices, tokenizer: Tokenizer, reader: CallReader | None
    ) -> None:
        self._body = body
        self._choices = choices
        self._tokenizer = tokenizer
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
            }
        )

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
                pieces = list(self._pieces(event))
                for step in self._events.feed(pieces, self._logprobs(waiting) if pieces else ()):
                    yield step
                if pieces:
                    waiting = []
        for step in self._events.end(**self._ending(reason)):
            yield step

    def _pieces(self, event: TextEvent) -> Iterable[Piece]:
        if self._reader is None:
            if event.text:
                yield Content(event.text)
            return
        yield from self._reader.feed(event.text)
        if event.finish_reason is not None:
            yield from self._reader.flush()

    def _logprobs(self, tokens: Sequence[TokenEvent]) -> Sequence[Item]:
        if self._body.wanted_logprobs is None:
            return ()
        entries: Sequence[Item] = chat_logprobs(self._tokenizer, tokens)["content"]
        return entries

    def _ending(self, reason: FinishReason | None) -> dict[str, Any]:
        usage = {
            "input_tokens": self._choices.prompt_tokens,
            "input_tokens_details": {
                "cached_tokens": self._choices.cached_prompt_tokens,
                "cache_write_tokens": 0,
            },
            "output_tokens": self._choices.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self._choices.prompt_tokens + self._choices.completion_tokens,
        }
        fields = {"usage": usage, "remora": report.remora(self._choices)}
        if reason is FinishReason.LENGTH:
            return {**fields, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        return {**fields, "status": "completed", "completed_at": int(time.time())}
