"""POST /v1/chat/completions. Owns the shape of OpenAI's chat answers; how they come about is `answering`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from remora.engine.base import FinishReason, TokenEvent, Tokenizer
from remora.server import report
from remora.server.answering import Answerer, Question
from remora.server.choices import Choices, WholeChoice, ask
from remora.server.constraints import Constraints
from remora.server.logprobs import chat_logprobs
from remora.server.schema.chat import ChatRequest
from remora.server.settings import ServerSettings
from remora.server.sse import Event, EventStream, TextEvents, while_connected
from remora.server.tool_calls import CallArguments, CallBegin, CallReader, Content, Piece
from remora.server.tool_use import ToolUse

Logprobs = dict[str, Any] | None


def chat_routes(answerer: Answerer, constraints: Constraints, settings: ServerSettings) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/chat/completions")
    async def create(body: ChatRequest, request: Request) -> Response:
        tools = _tool_use(body)
        form = answerer.tool_format(body.model)
        tools.check(form)
        question = Question(
            model=body.model,
            turns=[message.as_turn() for message in body.messages],
            tools=tools.templates(form),
            constraint=await tools.constraint(constraints),
            max_tokens=body.token_limit,
            top_logprobs=body.wanted_logprobs,
            **body.sampling(),
        )
        choices = ask(answerer, [question], body.choice_count)
        readers = [tools.reader(form) for _ in range(body.choice_count)]
        writer = _Writer(body, choices, answerer.engine.tokenizer, readers)
        if body.stream:
            return EventStream(writer.chunks(), report.headers(choices), settings.keep_alive_seconds)
        whole = await while_connected(request.receive, choices.whole())
        headers = {**report.headers(choices), **report.times(choices)}
        return JSONResponse(writer.completion(whole), headers=headers)

    return router


def _tool_use(body: ChatRequest) -> ToolUse:
    schema = body.response_format.wanted_schema if body.response_format else None
    mode = body.tool_choice if isinstance(body.tool_choice, str) else "auto"
    return ToolUse(
        functions=[tool.function for tool in body.tools or ()],
        mode=mode,
        chosen=body.chosen_function,
        parallel=body.parallel_tool_calls is not False,
        schema=schema,
        schema_param="response_format",
    )


class _Writer:
    """Writes one answer, whole or in chunks."""

    def __init__(
        self,
        body: ChatRequest,
        choices: Choices,
        tokenizer: Tokenizer,
        readers: Sequence[CallReader | None],
    ) -> None:
        self._body = body
        self._choices = choices
        self._tokenizer = tokenizer
        self._readers = readers

    def completion(self, whole: Sequence[WholeChoice]) -> dict[str, Any]:
        return {
            **self._head("chat.completion"),
            "choices": [self._whole_choice(index, choice) for index, choice in enumerate(whole)],
            "usage": report.usage(self._choices),
            "remora": report.remora(self._choices),
        }

    async def chunks(self) -> AsyncGenerator[Event]:
        """For each choice a chunk with the role, one for each piece, one with the reason; then the usage."""
        head = self._head("chat.completion.chunk")
        if self._body.wants_usage:
            head["usage"] = None
        async with aclosing(self._choices.events()) as events:
            for index in range(len(self._readers)):
                yield {**head, "choices": [_delta(index, {"role": "assistant", "content": ""})]}
            last = len(self._readers)
            waiting: list[list[TokenEvent]] = [[] for _ in self._readers]
            texts = [self._text_events(head, index) for index in range(last)]
            async for index, event in events:
                reader = self._readers[index]
                if reader is None:
                    if event.text and self._body.wanted_logprobs is None:
                        yield texts[index].event(event.text)
                    elif event.text:
                        logprobs = self._logprobs(event.tokens)
                        yield {**head, "choices": [_delta(index, {"content": event.text}, None, logprobs)]}
                else:
                    waiting[index] += event.tokens  # of text that may turn out to be a call
                    for delta in _deltas(_pieces(reader, event.text, event.finish_reason)):
                        logprobs = self._logprobs(waiting[index]) if waiting[index] else None
                        yield {**head, "choices": [_delta(index, delta, None, logprobs)]}
                        waiting[index] = []
                if event.finish_reason is not None:
                    last -= 1
                    chunk = {**head, "choices": [_delta(index, {}, _reason(event.finish_reason, reader))]}
                    yield chunk if last else {**chunk, "remora": report.remora(self._choices)}
        if self._body.wants_usage:
            yield {**head, "choices": [], "usage": report.usage(self._choices)}

    def _text_events(self, head: Mapping[str, Any], index: int) -> TextEvents:
        return TextEvents(lambda text: {**head, "choices": [_delta(index, {"content": text})]})

    def _whole_choice(self, index: int, choice: WholeChoice) -> dict[str, Any]:
        reader = self._readers[index]
        message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
        if reader is not None:
            message |= _called(_pieces(reader, choice.text, choice.finish_reason))
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs(choice.tokens),
            "finish_reason": _reason(choice.finish_reason, reader),
        }

    def _logprobs(self, tokens: Sequence[TokenEvent]) -> Logprobs:
        return None if self._body.wanted_logprobs is None else chat_logprobs(self._tokenizer, tokens)

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._choices.id,
            "object": kind,
            "created": self._choices.created_seconds,
            "model": self._body.model,
            "system_fingerprint": self._choices.label,
        }


def _pieces(reader: CallReader, text: str, reason: FinishReason | None) -> Iterable[Piece]:
    yield from reader.feed(text)
    if reason is not None:
        yield from reader.flush()


def _deltas(pieces: Iterable[Piece]) -> Iterable[dict[str, Any]]:
    for piece in pieces:
        match piece:
            case Content(text):
                yield {"content": text}
            case CallBegin(index, call_id, name):
                function = {"name": name, "arguments": ""}
                yield {
                    "tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]
                }
            case CallArguments(index, text):
                yield {"tool_calls": [{"index": index, "function": {"arguments": text}}]}


def _called(pieces: Iterable[Piece]) -> dict[str, Any]:
    """The fields of a message in which calls may be."""
    text, calls = "", list[dict[str, Any]]()
    for piece in pieces:
        match piece:
            case Content(more):
                text += more
            case CallBegin(_, call_id, name):
                calls.append({"id": call_id, "type": "function", "function": {"name": name, "arguments": ""}})
            case CallArguments(index, more):
                calls[index]["function"]["arguments"] += more
    return {"content": text or None, "tool_calls": calls} if calls else {"content": text}


def _reason(reason: FinishReason | None, reader: CallReader | None) -> str | None:
    called = reader is not None and reader.call_count > 0
    return "tool_calls" if called and reason is FinishReason.STOP else reason


def _delta(
    index: int, delta: dict[str, Any], finish_reason: str | None = None, logprobs: Logprobs = None
) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
