"""POST /v1/completions. Owns the shape of OpenAI's text answers; how they come about is `answering`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from remora.engine.base import Constraint, TokenEvent, Tokenizer
from remora.engine.text.pieces import TextEvent
from remora.server.api import report
from remora.server.api.schema.completion import DEFAULT_COMPLETION_TOKENS, CompletionRequest, Prompt
from remora.server.api.structured import structured_constraint
from remora.server.generation.answering import Answerer
from remora.server.generation.choices import Choices, WholeChoice, ask
from remora.server.generation.constraints import Constraints
from remora.server.generation.logprobs import completion_logprobs, echoed, prompt_logprobs
from remora.server.generation.question import Question
from remora.server.settings import ServerSettings
from remora.server.wire.encoding import Event
from remora.server.wire.sse import EventStream, TextEvents, while_connected

Logprobs = dict[str, Any] | None


def completion_routes(answerer: Answerer, constraints: Constraints, settings: ServerSettings) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/completions")
    async def create(body: CompletionRequest, request: Request) -> Response:
        await answerer.bring(body.model)
        tokenizer = answerer.tokenizer(body.model)
        constraint = await structured_constraint(body, constraints, tokenizer)
        questions = [_question(body, prompt, constraint, tokenizer) for prompt in body.prompts]
        choices = await ask(
            answerer,
            questions,
            body.candidate_count,
            id_prefix="cmpl",
            count_param="n" if body.best_of is None else "best_of",
        )
        writer = _Writer(body, choices)
        if body.stream:
            return EventStream(writer.chunks(), report.headers(choices), settings.keep_alive_seconds)
        whole = await while_connected(request.receive, choices.whole())
        headers = {**report.headers(choices), **report.times(choices)}
        return JSONResponse(writer.completion(whole), headers=headers)

    return router


def _question(
    body: CompletionRequest, prompt: Prompt, constraint: Constraint | None, tokenizer: Tokenizer
) -> Question:
    ranked = body.candidate_count > body.choice_count
    sampling = body.sampling() | {"prompt_logprobs": body.scored}
    return Question(
        model=body.model,
        text=prompt if isinstance(prompt, str) else "",
        prompt_ids=() if isinstance(prompt, str) else tuple(prompt),
        constraint=constraint.copy() if constraint else None,
        constraint_tokenizer=tokenizer,
        max_tokens=body.max_tokens,
        default_tokens=DEFAULT_COMPLETION_TOKENS,
        add_special_tokens=body.add_special_tokens is not False,
        prompt_param="prompt",
        top_logprobs=0 if ranked and body.logprobs is None else body.logprobs,
        **sampling,
    )


class _Writer:
    """Writes one answer, whole or in chunks. The choices of one prompt are neighbours."""

    def __init__(self, body: CompletionRequest, choices: Choices) -> None:
        self._body = body
        self._choices = choices
        self._echoes = [self._echo(prompt) for prompt in body.prompts]

    def completion(self, whole: Sequence[WholeChoice]) -> dict[str, Any]:
        shown = []
        for first in range(0, len(whole), self._body.candidate_count):
            best = _best(whole[first : first + self._body.candidate_count], self._body.choice_count)
            shown += [(first // self._body.candidate_count, choice) for choice in best]
        return {
            **self._head(),
            "choices": [
                self._whole_choice(index, prompt, choice) for index, (prompt, choice) in enumerate(shown)
            ],
            "usage": report.usage(self._choices),
            "remora": report.remora(self._choices),
        }

    def _whole_choice(self, index: int, prompt: int, choice: WholeChoice) -> dict[str, Any]:
        prompt_ids = self._choices.prompt_ids(prompt)
        tokens = [*choice.tokens]
        if self._body.echo:
            # The token that ended the answer too: who reads the prompt's scores counts from the end.
            tokens = echoed(prompt_ids, choice.prompt_scores) + tokens + ([choice.end] if choice.end else [])
        text = self._echoes[prompt] + choice.text
        shown = _choice(index, text, choice.finish_reason, self._logprobs(tokens, 0))
        if self._body.return_token_ids:
            shown |= {"prompt_token_ids": list(prompt_ids), "token_ids": list(choice.token_ids)}
        if self._body.prompt_logprobs is not None:
            shown["prompt_logprobs"] = prompt_logprobs(
                self._choices.tokenizer, choice.prompt_scores, self._body.prompt_logprobs
            )
        return shown

    async def chunks(self) -> AsyncGenerator[Event]:
        """The prompt where it is echoed, the pieces of text, the reason of each choice; then the usage."""
        head = self._head()
        if self._body.wants_usage:
            head["usage"] = None
        count = len(self._choices.answers)
        last = count
        plain = self._body.plain_pieces
        texts = [TextEvents(partial(self._text_chunk, head, index)) for index in range(count)]
        pieces = [_Pieces(self._body, self._choices, self._echo_of(index), index) for index in range(count)]
        async with aclosing(self._choices.events()) as events:
            if plain:
                for index in range(count):
                    if echo := self._echo_of(index):
                        yield {**head, "choices": [_choice(index, echo)]}
            async for index, event in events:
                if plain:
                    if event.text:
                        yield texts[index].event(event.text)
                else:
                    for choice in pieces[index].choices(event):
                        yield {**head, **self._usage_so_far(), "choices": [choice]}
                if event.finish_reason is not None:
                    last -= 1
                    chunk = {**head, **self._usage_so_far()}
                    chunk["choices"] = [_choice(index, "", event.finish_reason)]
                    yield chunk if last else {**chunk, "remora": report.remora(self._choices)}
        if self._body.wants_usage:
            yield {**head, "choices": [], "usage": report.usage(self._choices)}

    def _usage_so_far(self) -> dict[str, Any]:
        return {"usage": report.usage(self._choices)} if self._body.wants_continuous_usage else {}

    def _text_chunk(self, head: Mapping[str, Any], index: int, text: str) -> dict[str, Any]:
        return {**head, "choices": [_choice(index, text)]}

    def _echo_of(self, index: int) -> str:
        return self._echoes[index // self._body.choice_count]

    def _echo(self, prompt: Prompt) -> str:
        if not self._body.echo:
            return ""
        return prompt if isinstance(prompt, str) else self._choices.tokenizer.decode(prompt)

    def _logprobs(self, tokens: Sequence[TokenEvent], offset: int) -> Logprobs:
        if self._body.logprobs is None:
            return None
        return completion_logprobs(self._choices.tokenizer, tokens, offset)

    def _head(self) -> dict[str, Any]:
        return {
            "id": self._choices.id,
            "object": "text_completion",
            "created": self._choices.created_seconds,
            "model": self._body.model,
            "system_fingerprint": self._choices.label,
        }


class _Pieces:
    """The streamed pieces of one choice that have more to them than text."""

    def __init__(self, body: CompletionRequest, choices: Choices, echo: str, index: int) -> None:
        self._body = body
        self._tokenizer = choices.tokenizer
        self._prompt_ids = choices.prompt_ids(index // body.choice_count)
        self._echo = echo
        self._index = index
        self._offset = 0
        self._has_begun = False

    def choices(self, event: TextEvent) -> Iterator[dict[str, Any]]:
        tokens = [*event.tokens]
        if not self._has_begun:
            self._has_begun = True
            if self._body.echo or self._body.return_token_ids:
                first = self._piece(self._echo, echoed(self._prompt_ids, event.prompt_scores), ())
                if self._body.return_token_ids:
                    first["prompt_token_ids"] = list(self._prompt_ids)
                yield first
        if self._body.echo and event.end:
            tokens.append(event.end)
        if event.text or tokens or (event.token_ids and self._body.return_token_ids):
            yield self._piece(event.text, tokens, event.token_ids)

    def _piece(self, text: str, tokens: Sequence[TokenEvent], ids: Sequence[int]) -> dict[str, Any]:
        logprobs = None
        if self._body.logprobs is not None:
            logprobs = completion_logprobs(self._tokenizer, tokens, self._offset)
        self._offset += len(text)
        piece = _choice(self._index, text, None, logprobs)
        return piece | {"token_ids": list(ids)} if self._body.return_token_ids else piece


def _best(candidates: Sequence[WholeChoice], count: int) -> Sequence[WholeChoice]:
    """The likeliest by the mean log-probability of their tokens, as OpenAI ranks them."""
    if len(candidates) == count:
        return candidates
    return sorted(candidates, key=lambda choice: -choice.mean_logprob)[:count]


def _choice(
    index: int, text: str, finish_reason: str | None = None, logprobs: Logprobs = None
) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}
