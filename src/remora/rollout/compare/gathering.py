"""Collects what a comparison needs from the endpoints. Owns the order of the requests; computes no figure.

Each model answers every prompt greedily. Then it scores the expected answers, and, with the reference, texts
that both are given: the answers of the model (for the token heat-map) and the reference's answers to the
general prompts (for the drift).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import TypeVar

from remora.adapters.adapter import Digest, short
from remora.errors import InvalidInput, NotReady, listed
from remora.rollout.compare.asking import Asker, ScoredPosition, Told
from remora.rollout.compare.contestants import Contestant
from remora.rollout.compare.heat import HeatToken, distances, heat_of
from remora.rollout.compare.questions import GENERAL_PROMPTS
from remora.rollout.evaluation.questions import Question

GENERAL_TOKENS = 24

T = TypeVar("T")
_Scores = tuple[ScoredPosition, ...]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is asked. `heat_prompts` is how many answers get a token heat-map."""

    max_tokens: int = 64
    heat_prompts: int = 12
    parallel: int = 16


@dataclass(frozen=True, slots=True)
class Expected:
    """How likely the expected answer is to the model: the sum over its tokens, and their number."""

    log_likelihood: float
    tokens: int


@dataclass(slots=True)
class Gathered:
    """What one model said. All lists are in the order of the prompts.

    `expected` has None where no answer is expected, or the endpoint scores no prompts. `heat` has the first
    few answers, `drift` the distances at each token of the reference's answers to the general prompts; both
    are empty for the reference itself.
    """

    who: Contestant
    answers: list[Told] = field(default_factory=list)
    expected: list[Expected | None] = field(default_factory=list)
    heat: list[tuple[HeatToken, ...]] = field(default_factory=list)
    general: list[Told] = field(default_factory=list)
    drift: list[tuple[float, ...]] = field(default_factory=list)

    @property
    def digest(self) -> str:
        return self.answers[0].digest


def gather(
    contestants: Sequence[Contestant],
    questions: Sequence[Question],
    limits: Limits,
    tell: Progress = lambda *_: None,
) -> list[Gathered]:
    """Ask all models everything; the first is the reference. `tell` gets the numbers of requests.

    Raises NotReady if an adapter changes meanwhile, and the errors of the endpoint. Ctrl+C ends the answers.
    """
    return asyncio.run(_gather(contestants, questions, limits, tell))


async def _gather(
    contestants: Sequence[Contestant], questions: Sequence[Question], limits: Limits, tell: Progress
) -> list[Gathered]:
    async with Asker(contestants, limits.parallel) as asker:
        work = _Work(asker, questions, limits, _Count(_requests(len(contestants), questions, limits), tell))
        found = [Gathered(who) for who in contestants]
        await _all(work.ask(one) for one in found)
        own = await work.score_general(found[0], found[0])
        await _all(work.compare(found[0], own, one) for one in found[1:])
    for one in found:
        _check_same_digest(one)
    return found


class _Count:
    """Counts the requests that are done."""

    def __init__(self, total: int, tell: Progress) -> None:
        self._total = total
        self._tell = tell
        self._done = 0

    async def of(self, request: Awaitable[T]) -> T:
        result = await request
        self._done += 1
        self._tell(self._done, self._total)
        return result


def _requests(models: int, questions: Sequence[Question], limits: Limits) -> int:
    asked = models * (len(questions) + len(GENERAL_PROMPTS))
    expected = 2 * models * sum(bool(one.answer) for one in questions)
    heat = 2 * (models - 1) * min(limits.heat_prompts, len(questions))
    return asked + expected + heat + models * len(GENERAL_PROMPTS)


class _Work:
    """The requests for one model, or for one and the reference."""

    def __init__(self, asker: Asker, questions: Sequence[Question], limits: Limits, count: _Count) -> None:
        self._asker = asker
        self._questions = questions
        self._limits = limits
        self._count = count

    async def ask(self, one: Gathered) -> None:
        """Answers to all prompts, and scores of the expected ones."""
        numbered = enumerate(self._questions, start=1)
        both = await _all(_named(self._ask(one.who, each), f"prompt {number}") for number, each in numbered)
        one.answers = [told for told, _ in both]
        one.expected = [expected for _, expected in both]
        general = [Question(prompt) for prompt in GENERAL_PROMPTS]
        one.general = await _all(self._answer(one.who, each, GENERAL_TOKENS) for each in general)

    async def score_general(self, one: Gathered, texts: Gathered) -> list[_Scores]:
        """What a model makes of another's answers to the general prompts."""
        return await _all(self._scores(one.who, told) for told in texts.general)

    async def compare(self, reference: Gathered, own: Sequence[_Scores], one: Gathered) -> None:
        """The distances of a model and the reference, on texts that both are given.

        `own` is what the reference makes of its answers to the general prompts.
        """
        shown = one.answers[: self._limits.heat_prompts]
        theirs = await _all(self._scores(reference.who, told) for told in shown)
        ours = await _all(self._scores(one.who, told) for told in shown)
        one.heat = [heat_of(*pair) if all(pair) else () for pair in zip(theirs, ours, strict=True)]
        scored = await self.score_general(one, reference)
        one.drift = [distances(*pair) if all(pair) else () for pair in zip(own, scored, strict=True)]

    async def _ask(self, who: Contestant, question: Question) -> tuple[Told, Expected | None]:
        told = await self._answer(who, question, self._limits.max_tokens)
        if not question.answer:
            return told, None
        tokens = await self._count.of(self._asker.tokens(who, question.answer))
        scored = await self._count.of(self._asker.scores(who, told.prompt_ids, tokens))
        if not scored:
            return told, None
        return told, Expected(fsum(each.logprobs[each.token_id] for each in scored), len(scored))

    async def _answer(self, who: Contestant, question: Question, max_tokens: int) -> Told:
        return await self._count.of(self._asker.answer(who, question.messages, max_tokens))

    async def _scores(self, who: Contestant, told: Told) -> _Scores:
        """What a model makes of an answer's tokens; nothing if it cannot score them."""
        return await self._count.of(self._scored(who, told))

    async def _scored(self, who: Contestant, told: Told) -> _Scores:
        if not told.token_ids:
            return ()
        try:
            return await self._asker.scores(who, told.prompt_ids, told.token_ids) or ()
        except InvalidInput:  # the text has tokens of another adapter's own, which this model does not know
            return ()


async def _all(work: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """The results in order. The first error ends the other work, and is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as errors:
        raise _first(errors) from None
    return [task.result() for task in tasks]


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def _named(work: Awaitable[T], name: str) -> T:
    """The same, with the number of the prompt in the message of an error about it."""
    try:
        return await work
    except InvalidInput as error:
        raise type(error)(f"{name}: {error.message}", hint=error.hint, param="--prompts") from error


def _check_same_digest(one: Gathered) -> None:
    found = sorted({told.digest for told in [*one.answers, *one.general]})
    if len(found) > 1:
        shown = listed(short(Digest(digest)) or "the base model" for digest in found)
        raise NotReady(
            f"{one.who.label} changed while it was compared, and these answered: {shown}",
            hint="run the same command again",
        )
