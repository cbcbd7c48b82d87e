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
from remora.engine.base import FinishReason, TokenEvent, TokenScore
from remora.engine.text.pieces import TextEvent
from remora.errors import InvalidInput
from remora.server.generation.answering import Answer, Answerer, takes_time
from remora.server.generation.question import Question

SEED_COUNT = 2**63

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WholeChoice:
    """A choice that is through; its tokens where log-probabilities were asked for.

    `end` is the token that ended it, where one did; `prompt_scores` are those of the prompt's tokens from the
    second on, where they were asked for.
    """

    text: str
    finish_reason: FinishReason | None
    tokens: Sequence[TokenEvent]
    token_ids: Sequence[int] = ()
    end: TokenEvent | None = None
    prompt_scores: Sequence[TokenScore] = ()

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
        self.tokenizer = answers[0].tokenizer
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

    def prompt_ids(self, prompt: int) -> Sequence[int]:
        """The tokens of one of the prompts."""
        return self._first_of_prompts[prompt].prompt_ids

    def events(self) -> AsyncGenerator[tuple[int, TextEvent]]:
        """Pieces of text with the index of their choice; closing it stops all of them."""
        return _one(self.answers[0]) if len(self.answers) == 1 else _merged(self.answers)

    async def whole(self) -> list[WholeChoice]:
        """All choices, when all are there; where one fails, the others are stopped."""
        if len(self.answers) == 1:
            return [await _whole(self.answers[0])]
        return await _together([_whole(answer) for answer in self.answers])


async def ask(
    answerer: Answerer,
    questions: Sequence[Question],
    count: int,
    id_prefix: str = "chatcmpl",
    *,
    count_param: str = "n",
) -> Choices:
    """`count` answers to each of these questions, in their order. Raises what `Answerer.ask` raises.

    More than could ever run and wait here together are InvalidInput, naming `count_param` or the prompts.
    """
    total, most = len(questions) * count, answerer.most_answers
    if most and total > most:
        raise InvalidInput(
            f"{total} answers are asked for at once, but this endpoint has places for {most}",
            hint=f"ask for at most {most} in one request",
            param=questions[0].prompt_param if count == 1 else count_param,
        )
    if takes_time(questions, count):
        questions = await answerer.tokenized(questions)
    # From here on without a pause: all choices are of one adapter, the one that the prompt was made for.
    answers = [
        answerer.ask(_variant(question, index), id_prefix) for question in questions for index in range(count)
    ]
    return Choices(answers, len(questions))


def _variant(question: Question, index: int) -> Question:
    """The same question, drawn otherwise: its seed is that of the request plus the choice's index."""
    if index == 0:
        return question
    return replace(
        question,
        seed=None if question.seed is None else (question.seed + index) % SEED_COUNT,
        constraint=None if question.constraint is None else question.constraint.copy(),
    )


async def _whole(answer: Answer) -> WholeChoice:
    events = await answer.whole()
    return WholeChoice(
        text="".join(event.text for event in events),
        finish_reason=answer.finish_reason,
        tokens=[token for event in events for token in event.tokens],
        token_ids=[token_id for event in events for token_id in event.token_ids],
        end=events[-1].end if events else None,
        prompt_scores=[score for event in events for score in event.prompt_scores],
    )


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
