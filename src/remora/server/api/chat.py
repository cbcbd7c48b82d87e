"""POST /v1/chat/completions. Owns the shape of OpenAI's chat answers; how they come about is `answering`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from remora.engine.base import FinishReason, TokenEvent
from remora.server.api import report
from remora.server.api.chat_extras import ChunkExtras, prompt_extras
from remora.server.api.schema.chat import ChatRequest
from remora.server.api.schema.tools import choice_of
from remora.server.api.structured import structured_constraint
from remora.server.api.tool_use import ToolUse
from remora.server.generation.answering import Answerer
from remora.server.generation.choices import Choices, WholeChoice, ask
from remora.server.generation.constraints import Constraints
from remora.server.generation.logprobs import chat_logprobs
from remora.server.generation.question import Question
from remora.server.generation.template_variables import begun_answer, template_variables
from remora.server.generation.thoughts import AnswerReader, pieces
from remora.server.generation.tool_calls import CallArguments, CallBegin, Content, Piece, Thought
from remora.server.settings import ServerSettings
from remora.server.wire.encoding import Event
from remora.server.wire.sse import EventStream, TextEvents, while_connected

Logprobs = dict[str, Any] | None


def chat_routes(
    answerer: Answerer,
    constraints: Constraints,
    settings: ServerSettings,
    path: str = "/v1/chat/completions",
    *,
    shortens: bool = False,
) -> APIRouter:
    """With `shortens` an answer is as long as fits where `max_tokens` asks for more, instead of refused."""
    router = APIRouter()

    @router.post(path)
    async def create(body: ChatRequest, request: Request) -> Response:
        await answerer.bring(body.model)
        tools = _tool_use(body)
        form, tokenizer = answerer.tool_form(body.model), answerer.tokenizer(body.model)
        tools.check(form)
        variables = template_variables(body.template_options, answerer.template(body.model))
        turns = [message.as_turn() for message in body.messages]
        begun = begun_answer(turns) if body.continue_final_message else ""
        thoughts = await answerer.thoughts(body.model, variables, begun)
        constraint = await tools.constraint(constraints, tokenizer, form, thoughts)
        other = "tools" if tools.may_call and constraint else "response_format" if constraint else None
        question = Question(
            model=body.model,
            turns=turns,
            tools=tools.templates(form),
            tools_in_words=form.in_words,
            template_variables=variables,
            continues_last=bool(begun),
            constraint=await structured_constraint(body, constraints, tokenizer, other) or constraint,
            constraint_tokenizer=tokenizer,
            max_tokens=None if shortens else body.token_limit,
            default_tokens=(body.token_limit or 0) if shortens else 0,
            top_logprobs=body.wanted_logprobs,
            **body.sampling(),
        )
        choices = await ask(answerer, [question], body.choice_count)
        shown = body.include_reasoning is not False
        readers = [tools.reader(form, thoughts, thoughts_shown=shown) for _ in range(body.choice_count)]
        writer = _Writer(body, choices, readers)
        headers = {**report.headers(choices), **report.tools(tools.told(form))}
        if body.stream:
            return EventStream(writer.chunks(), headers, settings.keep_alive_seconds)
        whole = await while_connected(request.receive, choices.whole())
        headers |= report.times(choices)
        return JSONResponse(writer.completion(whole), headers=headers)

    return router


def _tool_use(body: ChatRequest) -> ToolUse:
    schema = body.response_format.wanted_schema if body.response_format else None
    return ToolUse(
        functions=[tool.function for tool in body.tools or ()],
        choice=choice_of(body.tool_choice),
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
        readers: Sequence[AnswerReader | None],
    ) -> None:
        self._body = body
        self._choices = choices
        self._readers = readers

    def completion(self, whole: Sequence[WholeChoice]) -> dict[str, Any]:
        return {
            **self._head("chat.completion"),
            "choices": [self._whole_choice(index, choice) for index, choice in enumerate(whole)],
            **prompt_extras(self._body, self._choices, whole[0].prompt_scores),
            "usage": report.usage(self._choices),
            "remora": report.remora(self._choices),
        }

    async def chunks(self) -> AsyncGenerator[Event]:
        """For each choice a chunk with the role, one for each piece, one with the reason; then the usage."""
        head = self._head("chat.completion.chunk")
        if self._body.wants_usage:
            head["usage"] = None
        async with aclosing(self._choices.events()) as events:
            extras = [ChunkExtras(self._body, self._choices) for _ in self._readers]
            plain = self._body.plain_pieces
            for index, extra in enumerate(extras):
                yield extra.first(head, _delta(index, {"role": "assistant", "content": ""}))
            last = len(self._readers)
            waiting: list[list[TokenEvent]] = [[] for _ in self._readers]
            texts = [self._text_events(head, index) for index in range(last)]
            async for index, event in events:
                reader, extra = self._readers[index], extras[index]
                extra.add(event)
                if reader is None:
                    if event.text and plain:
                        yield texts[index].event(event.text)
                    elif event.text:
                        logprobs = self._logprobs(event.tokens)
                        yield extra.chunk(head, _delta(index, {"content": event.text}, None, logprobs))
                else:
                    waiting[index] += event.tokens  # of text that may turn out to be a call
                    for delta in _deltas(pieces(reader, event.text, event.finish_reason)):
                        logprobs = self._logprobs(waiting[index]) if waiting[index] else None
                        yield extra.chunk(head, _delta(index, delta, None, logprobs))
                        waiting[index] = []
                if event.finish_reason is not None:
                    last -= 1
                    chunk = extra.chunk(head, _delta(index, {}, _reason(event.finish_reason, reader)))
                    yield chunk if last else {**chunk, "remora": report.remora(self._choices)}
        if self._body.wants_usage:
            yield {**head, "choices": [], "usage": report.usage(self._choices)}

    def _text_events(self, head: Mapping[str, Any], index: int) -> TextEvents:
        return TextEvents(lambda text: {**head, "choices": [_delta(index, {"content": text})]})

    def _whole_choice(self, index: int, choice: WholeChoice) -> dict[str, Any]:
        reader = self._readers[index]
        message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
        if reader is not None:
            message |= _called(pieces(reader, choice.text, choice.finish_reason))
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs(choice.tokens),
            "finish_reason": _reason(choice.finish_reason, reader),
            **({"token_ids": list(choice.token_ids)} if self._body.return_token_ids else {}),
        }

    def _logprobs(self, tokens: Sequence[TokenEvent]) -> Logprobs:
        return None if self._body.wanted_logprobs is None else chat_logprobs(self._choices.tokenizer, tokens)

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._choices.id,
            "object": kind,
            "created": self._choices.created_seconds,
            "model": self._body.model,
            "system_fingerprint": self._choices.label,
        }


def _deltas(pieces: Iterable[Piece]) -> Iterable[dict[str, Any]]:
    for piece in pieces:
        match piece:
            case Thought(text):
                yield {"reasoning_content": text}
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
    """The fields of a message in which thoughts and calls may be."""
    thought, text, calls = "", "", list[dict[str, Any]]()
    for piece in pieces:
        match piece:
            case Thought(more):
                thought += more
            case Content(more):
                text += more
            case CallBegin(_, call_id, name):
                calls.append({"id": call_id, "type": "function", "function": {"name": name, "arguments": ""}})
            case CallArguments(index, more):
                calls[index]["function"]["arguments"] += more
    message = {"content": text or None, "tool_calls": calls} if calls else {"content": text}
    return {**message, "reasoning_content": thought} if thought else message


def _reason(reason: FinishReason | None, reader: AnswerReader | None) -> str | None:
    called = reader is not None and reader.call_count > 0
    return "tool_calls" if called and reason is FinishReason.STOP else reason


def _delta(
    index: int, delta: dict[str, Any], finish_reason: str | None = None, logprobs: Logprobs = None
) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
