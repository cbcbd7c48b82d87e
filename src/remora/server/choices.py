"""Several answers to one question, side by side. Owns their order, their seeds and their common counts.

Every choice is a request of its own to the engine, which batches them; they share the prompt's ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from remora.adapters.adapter import Adapter
from remora.engine.base import FinishReason, TokenEvent
from remora.engine.text import TextEvent
from remora.server.answering import Answer, Answerer, Question

SEED_COUNT = 2**63

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WholeChoice:
    """A choice that is through; its tokens where log-probabilities were asked for."""

    text: str
    finish_reason: FinishReason | None
    tokens: Sequence[TokenEvent]

    @property
    def mean_logprob(self) -> float:
        """Of its tokens; 0 where there are none."""
        logprobs = [token.logprob or 0.0 for token in self.tokens]
        return sum(logprobs) / len(logprobs) if logprobs else 0.0


class Choices:
    """Running answers. Iterate `events()` once, or await `whole()`."""

    def __init__(self, answers: Sequence[Answer], prompt_count: int) -> None:
        self.answers = tuple(answers)
        self.id = answers[0].id
        self.created_seconds = answers[0].created_seconds
        self.adapter: Adapter | None = answers[0].adapter
        self.label = answers[0].label
        self._first_of_prompts = self.answers[:: len(answers) // prompt_count]
        self.prompt_tokens = sum(answer.prompt_tokens for answer in self._first_of_prompts)

    @property
    def completion_tokens(self) -> int:
        return sum(answer.completion_tokens for answer in self.answers)

    @property
    def cached_prompt_tokens(self) -> int:
        """Of the prompts, each counted once: what the engine had computed before."""
        return sum(answer.cached_prompt_tokens for answer in self._first_of_prompts)

    @property
    def first_token_seconds(self) -> float:
        return min(answer.first_token_seconds for answer in self.answers)

    @property
    def tokens_per_second(self) -> float:
        return sum(answer.tokens_per_second for answer in self.answers)

    def events(self) -> AsyncGenerator[tuple[int, TextEvent]]:
        """Pieces of text with the index of their choice; closing it stops all of them."""
        return _one(self.answers[0]) if len(self.answers) == 1 else _merged(self.answers)

    async def whole(self) -> list[WholeChoice]:
        """All choices, when all are there; where one fails, the others are stopped."""
        if len(self.answers) == 1:
            return [await _whole(self.answers[0])]
        return await _together([_whole(answer) for answer in self.answers])


def ask(
    answerer: Answerer, questions: Sequence[Question], count: int, id_prefix: str = "chatcmpl"
) -> Choices:
    """`count` answers to each of these questions, in their order. Raises what `Answerer.ask` raises."""
    answers: list[Answer] = []
    for question in questions:
        first = answerer.ask(question, id_prefix)
        answers.append(first)
        known = replace(question, prompt_ids=first.prompt_ids)
        answers += [answerer.ask(_variant(known, index), id_prefix) for index in range(1, count)]
    return Choices(answers, len(questions))


def _variant(question: Question, index: int) -> Question:
    """The same question, drawn otherwise: its seed is that of the request plus the choice's index."""
    return replace(
        question,
        seed=None if question.seed is None else (question.seed + index) % SEED_COUNT,
        constraint=None if question.constraint is None else question.constraint.copy(),
    )


async def _whole(answer: Answer) -> WholeChoice:
    text, tokens = await answer.whole()
    return WholeChoice(text, answer.finish_reason, tokens)


async def _one(answer: Answer) -> AsyncGenerator[tuple[int, TextEvent]]:
    async with aclosing(answer.events()) as events:
        async for event in events:
            yield 0, event


async def _merged(answers: Sequence[Answer]) -> AsyncGenerator[tuple[int, TextEvent]]:
    pieces: asyncio.Queue[tuple[int, TextEvent] | None] = asyncio.Queue()

    async def forward(index: int, answer: Answer) -> None:
        async with aclosing(_one(answer)) as events:
            async for _, event in events:
                pieces.put_nowait((index, event))

    async def forward_all() -> None:
        try:
            await _together([forward(index, answer) for index, answer in enumerate(answers)])
        finally:
            pieces.put_nowait(None)

    forwarding = asyncio.create_task(forward_all())
    try:
        while (piece := await pieces.get()) is not None:
            yield piece
        await forwarding
    finally:
        forwarding.cancel()
        await asyncio.wait({forwarding})


async def _together(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all; where one fails the others are cancelled, and what it raised is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]
