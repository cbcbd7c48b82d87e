"""One answer, from a question in words to text as it comes. Used by every route and by the chat page.

Owns the choice of adapter, how long an answer may be, counts and times; knows neither HTTP nor a page.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from remora.adapters.adapter import Adapter, short
from remora.adapters.registry import AdapterRegistry
from remora.engine.base import (
    Engine,
    FinishReason,
    GenerationRequest,
    SamplingParams,
    Tokenizer,
)
from remora.engine.text.grammar import NO_THOUGHTS, Thoughts
from remora.engine.text.pieces import TextEvent, generate_text
from remora.errors import InvalidInput, Overloaded
from remora.server.generation.answer_length import AnswerLength, TokenLimits, max_answer_tokens
from remora.server.generation.prompts import Prompts
from remora.server.generation.question import Question
from remora.server.generation.template_variables import NoTemplate, Template
from remora.server.generation.thoughts import thoughts_from, thoughts_of
from remora.server.generation.tool_form import QUESTIONS_ONLY, ToolForm, Tools, form_of

T = TypeVar("T")

TOKENIZING_THREADS = 2  # a long prompt keeps no short one waiting
QUICK_CHARACTERS = 2_000  # of all prompts of a request


class AnswerObserver:
    """Is told how answers go, for metrics, logs and traces; this one keeps nothing."""

    def began(self, answer: Answer) -> None:
        """Somebody waits for this answer now."""

    def got_first(self, answer: Answer) -> None:
        """Its first piece of text came."""

    def got_next(self, seconds: float) -> None:
        """Another piece came, so long after the one before."""

    def ended(self, answer: Answer) -> None:
        """It is through, stopped or failed; its counts are final."""


class Answer:
    """A running answer. Iterate `events()` once; counts and times are final when it is through."""

    def __init__(
        self,
        answer_id: str,
        adapter: Adapter | None,
        prompt_ids: tuple[int, ...],
        source: AsyncGenerator[TextEvent],
        observer: AnswerObserver,
        *,
        tokenizer: Tokenizer,
    ) -> None:
        self.id = answer_id
        self.created_seconds = int(time.time())
        self.adapter = adapter
        self.prompt_ids = prompt_ids
        self.tokenizer = tokenizer
        self.completion_tokens = self.cached_prompt_tokens = 0
        self.finish_reason: FinishReason | None = None
        self._source = source
        self._observer = observer
        self._asked_at = time.perf_counter()
        self._first_at: float | None = None
        self._first_tokens = 0
        self._last_at = self._asked_at

    @property
    def prompt_tokens(self) -> int:
        return len(self.prompt_ids)

    @property
    def label(self) -> str:
        """Which model answers: `tone@3f9a12cd34ef`, or `base`."""
        if self.adapter is None:
            return "base"
        return f"{self.adapter.name}@{short(self.adapter.digest)}"

    @property
    def asked_at(self) -> float:
        """When, on `time.perf_counter`."""
        return self._asked_at

    @property
    def seconds(self) -> float:
        """From the question to the last piece of text so far."""
        return self._last_at - self._asked_at

    @property
    def first_token_seconds(self) -> float:
        return (self._first_at or self._last_at) - self._asked_at

    @property
    def tokens_per_second(self) -> float:
        """Speed after the first piece of text; of the whole answer where that was all."""
        if self._first_at is not None and self._last_at > self._first_at:
            return (self.completion_tokens - self._first_tokens) / (self._last_at - self._first_at)
        elapsed = self._last_at - self._asked_at
        return self.completion_tokens / elapsed if elapsed > 0 else 0.0

    async def events(self) -> AsyncGenerator[TextEvent]:
        """The text as it comes. Closing this, or cancelling the task that waits for it, stops the engine."""
        self._observer.began(self)
        try:
            async with aclosing(self._source) as source:
                async for event in source:
                    self._note(event)
                    yield event
        finally:
            self._observer.ended(self)

    async def whole(self) -> list[TextEvent]:
        """All its pieces, when they are there."""
        async with aclosing(self.events()) as answer:
            return [event async for event in answer]

    def _note(self, event: TextEvent) -> None:
        before, self._last_at = self._last_at, time.perf_counter()
        self.cached_prompt_tokens = event.reused_prompt_tokens
        self.completion_tokens = event.token_count
        self.finish_reason = event.finish_reason
        if self._first_at is None:
            self._first_at = self._last_at
            self._first_tokens = event.token_count
            self._observer.got_first(self)
        else:
            self._observer.got_next(self._last_at - before)


async def _nothing_to_bring(_: str) -> None:
    """For an endpoint that serves what it has loaded."""


class Answerer:
    """Answers questions with one engine and the adapters of one registry."""

    def __init__(
        self,
        engine: Engine,
        models: AdapterRegistry,
        observer: AnswerObserver | None = None,
        limits: TokenLimits | None = None,
        *,
        most_answers: int = 0,
        tools: Tools = Tools.TEMPLATE,
        bring: Callable[[str], Awaitable[None]] = _nothing_to_bring,
    ) -> None:
        """`most_answers` is how many answers one request may ask for; 0 sets no limit.

        `tools` is the form that is wanted for every model. `bring` loads what a model's name means and the
        engine does not have yet: every route awaits it before it asks anything of a model.
        """
        self.bring = bring
        self.tools = tools
        self.engine = engine
        self.models = models
        self.observer = observer or AnswerObserver()
        limits = limits or TokenLimits()
        self._limits = limits
        self.most_total_tokens = min(limits.total or engine.context_length, engine.context_length)
        self._prompts = Prompts(engine.context_length, self.most_total_tokens)
        self.most_answers = most_answers
        self._threads = ThreadPoolExecutor(TOKENIZING_THREADS, thread_name_prefix="remora-tokenizing")

    async def tokenized(self, questions: Sequence[Question]) -> list[Question]:
        """The questions with their prompts in tokens, which are made off the event loop.

        What names another adapter by then is tokenized again. So a caller of `ask` without a pause after
        this asks the adapter that the tokens were made for.
        """
        loop = asyncio.get_running_loop()
        while True:
            meant = [self.models.resolve(question.model) for question in questions]
            works = [
                partial(
                    self._prompts.ids,
                    question,
                    self.models.prompt_template(adapter),
                    self._tokenizer_of(adapter),
                )
                for question, adapter in zip(questions, meant, strict=True)
            ]
            prompts = await loop.run_in_executor(self._threads, _done, works)
            if meant == [self.models.resolve(question.model) for question in questions]:
                return [
                    replace(question, prompt_ids=ids)
                    for question, ids in zip(questions, prompts, strict=True)
                ]

    def ask(self, question: Question, id_prefix: str = "chatcmpl") -> Answer:
        """Start to answer. Raises at once whatever is wrong with the question or the engine.

        Without a pause between finding the adapter and submitting: see `Roster._swap`. A prompt that
        `takes_time` is `tokenized` before.
        """
        adapter = self.models.resolve(question.model)
        tokenizer = self._tokenizer_of(adapter)
        _refuse_contradictions(question)
        if question.constraint is not None and question.constraint_tokenizer is not tokenizer:
            raise _replaced(question.model)
        prompt_ids = self._prompts.ids(question, self.models.prompt_template(adapter), tokenizer)
        request = GenerationRequest(
            request_id=f"{id_prefix}-{uuid.uuid4().hex}",
            prompt_ids=prompt_ids,
            sampling=SamplingParams(
                max_tokens=self._max_answer_tokens(len(prompt_ids), question),
                temperature=question.temperature,
                top_p=question.top_p,
                top_k=question.top_k,
                min_p=question.min_p,
                seed=question.seed,
                frequency_penalty=question.frequency_penalty,
                presence_penalty=question.presence_penalty,
                repetition_penalty=question.repetition_penalty,
                min_tokens=question.min_tokens,
                logit_bias=question.logit_bias,
                top_logprobs=question.top_logprobs,
                prompt_logprobs=question.prompt_logprobs,
            ),
            adapter=adapter.digest if adapter else None,
            stop_token_ids=question.stop_token_ids
            | (frozenset() if question.ignore_eos else tokenizer.stop_token_ids),
            adapter_scale=question.adapter_scale,
            adapter_without_layer=question.adapter_without_layer,
            constraint=question.constraint,
        )
        source = generate_text(self.engine, request, question.text_rules)
        return Answer(request.request_id, adapter, prompt_ids, source, self.observer, tokenizer=tokenizer)

    def tool_form(self, model: str) -> ToolForm:
        """How this model is told of tools and how it calls them."""
        return self.tool_form_of(self.models.resolve(model))

    def tool_form_of(self, adapter: Adapter | None) -> ToolForm:
        """The same, for an adapter (None is the base)."""
        if self.models.prompt_template(adapter) is not None:
            return QUESTIONS_ONLY
        return form_of(self.tools, self._tokenizer_of(adapter).tool_format)

    def template(self, model: str) -> Template:
        """What can be told to this model's chat template."""
        adapter = self.models.resolve(model)
        has_own = self.models.prompt_template(adapter) is not None
        return NoTemplate() if has_own else self._tokenizer_of(adapter)

    async def thoughts(self, model: str, variables: Mapping[str, Any], begun: str = "") -> Thoughts:
        """How this model thinks before it answers, its template given these variables.

        `begun` is the beginning of the answer, where that is given.
        """
        tokenizer, marks = self.tokenizer(model), self.template(model).thought_marks
        if marks is None:
            return NO_THOUGHTS
        if begun:
            return thoughts_from(marks, begun)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, thoughts_of, tokenizer, variables)

    def tokenizer(self, model: str) -> Tokenizer:
        """In whose tokens this model reads and writes. Raises ModelNotFound."""
        return self._tokenizer_of(self.models.resolve(model))

    def _tokenizer_of(self, adapter: Adapter | None) -> Tokenizer:
        return self.engine.tokenizer_of(adapter.digest if adapter else None)

    def _max_answer_tokens(self, prompt_tokens: int, question: Question) -> int:
        asked = AnswerLength(
            most=question.max_tokens,
            least=question.min_tokens,
            usual=question.default_tokens,
            prompt_param=question.prompt_param,
            limit_param=question.limit_param,
        )
        return max_answer_tokens(prompt_tokens, asked, self._limits, self.most_total_tokens)


def _refuse_contradictions(question: Question) -> None:
    """A grammar says where an answer ends: nothing else may."""
    if question.constraint is None:
        return
    for name, given in (("ignore_eos", question.ignore_eos), ("min_tokens", question.min_tokens > 0)):
        if given:
            raise InvalidInput(
                f"{name!r} contradicts a required format, which says where the answer ends",
                hint="leave one of them out",
                param=name,
            )


def _replaced(model: str) -> Overloaded:
    """A grammar is compiled off the event loop, for one vocabulary; meanwhile the adapter changed."""
    return Overloaded(
        f"the adapter behind {model!r} was replaced while the request was read", hint="send the request again"
    )


def takes_time(questions: Sequence[Question], answers_each: int) -> bool:
    """Whether to tokenize them in another thread: much text together, or a template, which may take its time.

    For anything shorter the way to another thread and back takes longer than the work, even once an answer.
    """
    texts = [question for question in questions if not question.prompt_ids]
    characters = sum(len(question.text) for question in texts) * answers_each
    return characters > QUICK_CHARACTERS or any(question.turns for question in texts)


def _done(works: Sequence[Callable[[], T]]) -> list[T]:
    return [work() for work in works]
