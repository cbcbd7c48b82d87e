"""Ollama's POST /api/chat and /api/generate. Owns the shape of their answers, whole and in lines of JSON."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from remora.engine.base import FinishReason, TokenEvent
from remora.server.api import report
from remora.server.api.ollama.input import turns_of
from remora.server.api.ollama.models import known_name
from remora.server.api.schema.ollama import OllamaChatRequest, OllamaGenerateRequest, OllamaRequest
from remora.server.api.schema.tools import Choice
from remora.server.api.tool_use import ToolUse
from remora.server.generation.answering import Answerer
from remora.server.generation.choices import Choices, ask
from remora.server.generation.constraints import Constraints
from remora.server.generation.logprobs import chat_logprobs
from remora.server.generation.question import Question
from remora.server.generation.template_variables import begun_answer, template_variables
from remora.server.generation.thoughts import AnswerReader, pieces
from remora.server.generation.tool_calls import CallArguments, CallBegin, CallEnd, Content, Piece, Thought
from remora.server.generation.turns import Turn, given_arguments
from remora.server.wire.encoding import Chunk
from remora.server.wire.sse import LineStream, while_connected

NANOSECONDS = 1_000_000_000


def ollama_routes(answerer: Answerer, constraints: Constraints) -> APIRouter:
    router = APIRouter()

    async def answered(body: OllamaRequest, prompt: _Prompt, request: Request) -> Response:
        model = known_name(answerer.models, body.model)
        question, reader = await _asked(body, model, prompt, answerer, constraints)
        choices = await ask(answerer, [question], 1, id_prefix="ollama")
        writer = _Writer(body, choices, reader)
        headers = {**report.headers(choices), **report.tools(prompt.tools.told(answerer.tool_form(model)))}
        if body.is_streamed:
            return LineStream(writer.lines(), headers)
        whole = await while_connected(request.receive, writer.whole())
        return JSONResponse(whole, headers={**headers, **report.times(choices)})

    @router.post("/api/chat")
    async def chat(body: OllamaChatRequest, request: Request) -> Response:
        if not body.messages:
            return await _loaded(answerer, body, {"message": {"role": "assistant", "content": ""}})
        functions = [tool.function for tool in body.tools or ()]
        tools = ToolUse(functions, Choice(), parallel=True, schema=body.wanted_schema, schema_param="format")
        return await answered(body, _Prompt(turns_of(body.messages), tools), request)

    @router.post("/api/generate")
    async def generate(body: OllamaGenerateRequest, request: Request) -> Response:
        if not body.prompt:
            return await _loaded(answerer, body, {"response": ""})
        tools = ToolUse([], Choice(), parallel=True, schema=body.wanted_schema, schema_param="format")
        if body.raw:
            return await answered(body, _Prompt((), tools, body.prompt), request)
        system = [{"role": "system", "content": body.system}] if body.system else []
        turns = [*system, {"role": "user", "content": body.prompt}]
        return await answered(body, _Prompt(turns, tools), request)

    return router


@dataclass(frozen=True, slots=True)
class _Prompt:
    """What is asked: turns of a conversation, or without them plain text."""

    turns: Sequence[Turn]
    tools: ToolUse
    text: str = ""


async def _asked(
    body: OllamaRequest, model: str, prompt: _Prompt, answerer: Answerer, constraints: Constraints
) -> tuple[Question, AnswerReader | None]:
    turns, tools = prompt.turns, prompt.tools
    await answerer.bring(model)
    form, tokenizer = answerer.tool_form(model), answerer.tokenizer(model)
    tools.check(form)
    variables = template_variables(body.template_options, answerer.template(model))
    begun = begun_answer(turns, "messages") if turns and turns[-1]["role"] == "assistant" else ""
    thoughts = await answerer.thoughts(model, variables, begun)
    question = Question(
        model=model,
        turns=turns,
        text=prompt.text,
        tools=tools.templates(form),
        tools_in_words=form.in_words,
        template_variables=variables,
        continues_last=bool(begun),
        constraint=await tools.constraint(constraints, tokenizer, form, thoughts),
        constraint_tokenizer=tokenizer,
        prompt_param="messages" if turns else "prompt",
        **body.sampling(),
    )
    return question, tools.reader(form, thoughts, thoughts_shown=body.think is not False)


async def _loaded(answerer: Answerer, body: OllamaRequest, empty: Mapping[str, Any]) -> Response:
    """A question without words, by which Ollama loads a model: this one is, or there is none."""
    model = known_name(answerer.models, body.model)
    await answerer.bring(model)
    answerer.models.resolve(model)
    return JSONResponse(
        {"model": body.model, "created_at": _now(), **empty, "done": True, "done_reason": "load"}
    )


class _Writer:
    """Writes one answer, whole or in lines."""

    def __init__(self, body: OllamaRequest, choices: Choices, reader: AnswerReader | None) -> None:
        self._body = body
        self._choices = choices
        self._reader = reader
        self._is_chat = isinstance(body, OllamaChatRequest)
        self._call = ""  # the name of the call that is being written
        self._arguments = ""

    async def whole(self) -> dict[str, Any]:
        """The answer as one object."""
        fields: dict[str, Any] = {}
        logprobs: list[Any] = []
        last: Chunk = {}
        async with aclosing(self.lines()) as lines:
            async for line in lines:
                last = line
                logprobs += line.get("logprobs", ())
                said = (
                    line.get("message") if self._is_chat else {"response": line["response"], **_thought(line)}
                )
                for name, value in (said or {}).items():
                    fields[name] = value if name == "role" else fields.get(name, type(value)()) + value
        content = {"message": fields} if self._is_chat else fields
        return {**last, **content, **({"logprobs": logprobs} if logprobs else {})}

    async def lines(self) -> AsyncGenerator[Chunk]:
        waiting: list[TokenEvent] = []  # of text that may turn out to be a call
        reason: FinishReason | None = None
        async with aclosing(self._choices.events()) as events:
            async for _, event in events:
                reason = event.finish_reason
                waiting += event.tokens
                for said in self._said(pieces(self._reader, event.text, event.finish_reason)):
                    yield self._line(said, waiting)
                    waiting = []
        yield {**self._line({"content": ""}, ()), **self._ending(reason)}

    def _said(self, pieces: Iterator[Piece]) -> Iterator[dict[str, Any]]:
        """A call is told when it is whole."""
        for piece in pieces:
            match piece:
                case Thought(text):
                    yield {"content": "", "thinking": text}
                case Content(text):
                    yield {"content": text}
                case CallBegin(_, _, name):
                    self._call, self._arguments = name, ""
                case CallArguments(_, text):
                    self._arguments += text
                case CallEnd():
                    yield self._called()

    def _called(self) -> dict[str, Any]:
        """A call; one whose arguments are no object, as models write them that no grammar holds, is text."""
        arguments = given_arguments(self._arguments)
        if arguments is None:
            return {"content": self._arguments}
        return {"content": "", "tool_calls": [{"function": {"name": self._call, "arguments": arguments}}]}

    def _line(self, said: Mapping[str, Any], tokens: Sequence[TokenEvent]) -> dict[str, Any]:
        if self._is_chat:
            content: dict[str, Any] = {"message": {"role": "assistant", **said}}
        else:
            content = {"response": said["content"], **_thought(said)}
        line = {"model": self._body.model, "created_at": _now(), **content, "done": False}
        if tokens and self._body.wanted_logprobs is not None:
            line["logprobs"] = chat_logprobs(self._choices.tokenizer, tokens)["content"]
        return line

    def _ending(self, reason: FinishReason | None) -> dict[str, Any]:
        """Counts, and times in nanoseconds; what is loaded takes no time to load."""
        answer = self._choices.answers[0]
        first = int(answer.first_token_seconds * NANOSECONDS)
        total = int(answer.seconds * NANOSECONDS)
        return {
            "done": True,
            "done_reason": "length" if reason is FinishReason.LENGTH else "stop",
            "total_duration": total,
            "load_duration": 0,
            "prompt_eval_count": self._choices.prompt_tokens,
            "prompt_eval_duration": first,
            "eval_count": self._choices.completion_tokens,
            "eval_duration": total - first,
            "remora": report.remora(self._choices),
        }


def _thought(said: Mapping[str, Any]) -> dict[str, Any]:
    return {"thinking": said["thinking"]} if "thinking" in said else {}


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
