"""POST /v1/completions. Owns the shape of OpenAI's text answers; how they come about is `answering`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from remora.engine.base import TokenEvent, Tokenizer
from remora.server import report
from remora.server.answering import Answerer, Question
from remora.server.choices import Choices, WholeChoice, ask
from remora.server.logprobs import completion_logprobs
from remora.server.schema.completion import CompletionRequest, Prompt
from remora.server.settings import ServerSettings
from remora.server.sse import Event, EventStream, TextEvents, while_connected

Logprobs = dict[str, Any] | None


def completion_routes(answerer: Answerer, settings: ServerSettings) -> APIRouter:
    router = APIRouter()
    tokenizer = answerer.engine.tokenizer

    @router.post("/v1/completions")
    async def create(body: CompletionRequest, request: Request) -> Response:
        questions = [_question(body, prompt) for prompt in body.prompts]
        choices = ask(answerer, questions, body.candidate_count, id_prefix="cmpl")
        writer = _Writer(body, choices, tokenizer)
        if body.stream:
            return EventStream(writer.chunks(), report.headers(choices), settings.keep_alive_seconds)
        whole = await while_connected(request.receive, choices.whole())
        headers = {**report.headers(choices), **report.times(choices)}
        return JSONResponse(writer.completion(whole), headers=headers)

    return router


def _question(body: CompletionRequest, prompt: Prompt) -> Question:
    ranked = body.candidate_count > body.choice_count
    return Question(
        model=body.model,
        text=prompt if isinstance(prompt, str) else "",
        prompt_ids=() if isinstance(prompt, str) else tuple(prompt),
        max_tokens=body.token_limit,
        prompt_param="prompt",
        top_logprobs=0 if ranked and body.logprobs is None else body.logprobs,
        **body.sampling(),
    )


class _Writer:
    """Writes one answer, whole or in chunks. The choices of one prompt are neighbours."""

    def __init__(self, body: CompletionRequest, choices: Choices, tokenizer: Tokenizer) -> None:
        self._body = body
        self._choices = choices
        self._tokenizer = tokenizer
        self._echoes = [self._echo(prompt) for prompt in body.prompts]

    def completion(self, whole: Sequence[WholeChoice]) -> dict[str, Any]:
        shown = []
        for first in range(0, len(whole), self._body.candidate_count):
            best = _best(whole[first : first + self._body.candidate_count], self._body.choice_count)
            echo = self._echoes[first // self._body.candidate_count]
            shown += [(echo + choice.text, choice) for choice in best]
        return {
            **self._head(),
            "choices": [
                _choice(index, text, choice.finish_reason, self._logprobs(choice.tokens, 0))
                for index, (text, choice) in enumerate(shown)
            ],
            "usage": report.usage(self._choices),
            "remora": report.remora(self._choices),
        }

    async def chunks(self) -> AsyncGenerator[Event]:
        """The prompt where it is echoed, the pieces of text, the reason of each choice; then the usage."""
        head = self._head()
        if self._body.wants_usage:
            head["usage"] = None
        count = len(self._choices.answers)
        offsets = [0] * count
        last = count
        async with aclosing(self._choices.events()) as events:
            for index in range(count):
                if echo := self._echoes[index // self._body.choice_count]:
                    yield {**head, "choices": [_choice(index, echo)]}
            texts = [self._text_events(head, index) for index in range(count)]
            async for index, event in events:
                if event.text and self._body.logprobs is None:
                    yield texts[index].event(event.text)
                elif event.text:
                    logprobs = self._logprobs(event.tokens, offsets[index])
                    offsets[index] += len(event.text)
                    yield {**head, "choices": [_choice(index, event.text, None, logprobs)]}
                if event.finish_reason is not None:
                    last -= 1
                    chunk = {**head, "choices": [_choice(index, "", event.finish_reason)]}
                    yield chunk if last else {**chunk, "remora": report.remora(self._choices)}
        if self._body.wants_usage:
            yield {**head, "choices": [], "usage": report.usage(self._choices)}

    def _text_events(self, head: Mapping[str, Any], index: int) -> TextEvents:
        return TextEvents(lambda text: {**head, "choices": [_choice(index, text)]})

    def _echo(self, prompt: Prompt) -> str:
        if not self._body.echo:
            return ""
        return prompt if isinstance(prompt, str) else self._tokenizer.decode(prompt)

    def _logprobs(self, tokens: Sequence[TokenEvent], offset: int) -> Logprobs:
        return None if self._body.logprobs is None else completion_logprobs(self._tokenizer, tokens, offset)

    def _head(self) -> dict[str, Any]:
        return {
            "id": self._choices.id,
            "object": "text_completion",
            "created": self._choices.created_seconds,
            "model": self._body.model,
            "system_fingerprint": self._choices.label,
        }


def _best(candidates: Sequence[WholeChoice], count: int) -> Sequence[WholeChoice]:
    """The likeliest by the mean log-probability of their tokens, as OpenAI ranks them."""
    if len(candidates) == count:
        return candidates
    return sorted(candidates, key=lambda choice: -choice.mean_logprob)[:count]


def _choice(
    index: int, text: str, finish_reason: str | None = None, logprobs: Logprobs = None
) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}
