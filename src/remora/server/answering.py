"""One answer, from a question in words to text as it comes. Used by every route and by the chat page.

Owns the choice of adapter, the room in the context, counts and times; knows neither HTTP nor a page.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from remora.adapters.adapter import Adapter, short
from remora.adapters.registry import AdapterRegistry
from remora.engine.base import (
    Constraint,
    Engine,
    FinishReason,
    GenerationRequest,
    SamplingParams,
    TokenEvent,
    ToolFormat,
)
from remora.engine.text import TextEvent, generate_text
from remora.errors import ContextLengthExceeded, InvalidInput
from remora.project.prompt_template import PromptTemplate
from remora.server.turns import Turn, character_count

# No tokenizer packs more into a token in earnest; what is longer is refused before it costs any work.
MOST_CHARACTERS_PER_TOKEN = 64


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """How long a prompt, and prompt and answer together, may be; 0 is what the model's context holds."""

    prompt: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """What to answer and how.

    `prompt_ids` are a prompt in tokens; without them `turns` are a conversation; without those `text` is a
    plain prompt. `tools` are OpenAI's, for a template that knows tools.

    `max_tokens` None means what fits, up to the endpoint's default. `prompt_param` and `limit_param` are what
    the route calls the prompt and that limit, for errors.
    """

    model: str
    turns: Sequence[Turn] = ()
    text: str = ""
    prompt_ids: tuple[int, ...] = ()
    tools: Sequence[Mapping[str, Any]] = ()
    constraint: Constraint | None = None
    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: Sequence[str] = ()
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    top_logprobs: int | None = None
    adapter_scale: float = 1.0
    prompt_param: str = "messages"
    limit_param: str = "max_tokens"


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
    ) -> None:
        self.id = answer_id
        self.created_seconds = int(time.time())
        self.adapter = adapter
        self.prompt_ids = prompt_ids
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
        """The text as it comes. Closing this, or cancelling whoever waits for it, stops the engine."""
        self._observer.began(self)
        try:
            async with aclosing(self._source) as source:
                async for event in source:
                    self._note(event)
                    yield event
        finally:
            self._observer.ended(self)

    async def whole(self) -> tuple[str, list[TokenEvent]]:
        """The whole text, when it is there, and its tokens where log-probabilities were asked for."""
        async with aclosing(self.events()) as answer:
            events = [event async for event in answer]
        return "".join(event.text for event in events), [token for event in events for token in event.tokens]

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


class Answerer:
    """Answers questions with one engine and the adapters of one registry."""

    def __init__(
        self,
        engine: Engine,
        models: AdapterRegistry,
        default_max_tokens: int,
        observer: AnswerObserver | None = None,
        limits: TokenLimits | None = None,
    ) -> None:
        self.engine = engine
        self.models = models
        self.default_max_tokens = default_max_tokens
        self.observer = observer or AnswerObserver()
        limits = limits or TokenLimits()
        self.most_total_tokens = min(limits.total or engine.context_length, engine.context_length)
        self.most_prompt_tokens = limits.prompt

    def ask(self, question: Question, id_prefix: str = "chatcmpl") -> Answer:
        """Start to answer. Raises at once whatever is wrong with the question or the engine."""
        adapter = self.models.resolve(question.model)
        prompt_ids = self._prompt_ids(question, self.models.prompt_template(adapter))
        request = GenerationRequest(
            request_id=f"{id_prefix}-{uuid.uuid4().hex}",
            prompt_ids=prompt_ids,
            sampling=SamplingParams(
                max_tokens=self._room(len(prompt_ids), question),
                temperature=question.temperature,
                top_p=question.top_p,
                top_k=question.top_k,
                seed=question.seed,
                frequency_penalty=question.frequency_penalty,
                presence_penalty=question.presence_penalty,
                logit_bias=question.logit_bias,
                top_logprobs=question.top_logprobs,
            ),
            adapter=adapter.digest if adapter else None,
            stop_token_ids=self.engine.tokenizer.stop_token_ids,
            adapter_scale=question.adapter_scale,
            constraint=question.constraint,
        )
        source = generate_text(self.engine, request, question.stop)
        return Answer(request.request_id, adapter, prompt_ids, source, self.observer)

    def tool_format(self, model: str) -> ToolFormat | None:
        """How this model calls tools; None where its template, or its adapter's own, knows none."""
        if self.models.prompt_template(self.models.resolve(model)) is not None:
            return None
        return self.engine.tokenizer.tool_format

    def prompt_ids(self, question: Question) -> tuple[int, ...]:
        """Ids of the question as they would go to the engine."""
        return self._prompt_ids(question, self.models.prompt_template(self.models.resolve(question.model)))

    def _prompt_ids(self, question: Question, template: PromptTemplate | None) -> tuple[int, ...]:
        """Ids of the prompt: a conversation in the adapter's own template, else in that of the base."""
        if question.prompt_ids:
            return question.prompt_ids
        characters = len(question.text) + sum(character_count(turn) for turn in question.turns)
        if characters > self.engine.context_length * MOST_CHARACTERS_PER_TOKEN:
            raise ContextLengthExceeded(
                f"the prompt has {characters} characters, far more than fit into this model's context of "
                f"{self.engine.context_length} tokens",
                hint="shorten the prompt",
                param=question.prompt_param,
            )
        tokenizer = self.engine.tokenizer
        if question.turns and template is not None:
            ids = tokenizer.encode(template.fill_from(question.turns))
        elif question.turns:
            ids = tokenizer.render_chat(question.turns, question.tools)
        else:
            ids = tokenizer.encode(question.text)
        if not ids:
            raise InvalidInput("the prompt is empty", hint="send some text", param=question.prompt_param)
        return tuple(ids)

    def _room(self, prompt_tokens: int, question: Question) -> int:
        """How many tokens the answer may have; refuses what does not fit, with both numbers."""
        wanted_tokens = question.max_tokens
        context = self.most_total_tokens
        free = context - prompt_tokens
        if self.most_prompt_tokens and prompt_tokens > self.most_prompt_tokens:
            raise ContextLengthExceeded(
                f"the prompt has {prompt_tokens} tokens, but this endpoint takes {self.most_prompt_tokens}",
                hint="shorten the conversation",
                param=question.prompt_param,
            )
        if free < 1 or (wanted_tokens is not None and wanted_tokens > free):
            wanted = f" and the answer may have {wanted_tokens}" if wanted_tokens is not None else ""
            raise ContextLengthExceeded(
                f"the prompt has {prompt_tokens} tokens{wanted}, but {self._what_holds()} {context}",
                hint="shorten the conversation" if free < 1 else f"ask for at most {free} tokens",
                param=question.prompt_param if free < 1 else question.limit_param,
            )
        return min(free, self.default_max_tokens) if wanted_tokens is None else wanted_tokens

    def _what_holds(self) -> str:
        own = self.most_total_tokens < self.engine.context_length
        return "this endpoint takes" if own else "this model's context holds"
