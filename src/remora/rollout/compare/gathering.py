"""Collects what a comparison needs from the endpoints. Owns the order of the requests; computes no figure.

Each model answers every prompt greedily. Then it scores the expected answers, and, with the reference, texts
that both are given: the answers of the model (for the token heat-map) and the reference's answers to the
general prompts (for the drift).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import TypeVar

from remora.adapters.adapter import Digest, short
from remora.errors import InvalidInput, NotReady, listed
from remora.rollout.compare.asking import Asker, Count, Progress, Scores, Told, all_of
from remora.rollout.compare.contestants import Contestant
from remora.rollout.compare.heat import HeatToken, distances, heat_of
from remora.rollout.compare.questions import GENERAL_PROMPTS
from remora.rollout.evaluation.questions import Question

GENERAL_TOKENS = 24

T = TypeVar("T")


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


@dataclass(frozen=True, slots=True)
class SwitchedOff:
    """The distance from the base at each token of a model's first answers, the tokens in one row.

    `whole` is that of the model, `without` that of the model without its update in a layer, by the layer's
    number. `refusal` is why the endpoint tells neither.
    """

    prompts: int = 0
    whole: Sequence[float] = ()
    without: Mapping[int, Sequence[float]] = field(default_factory=dict)
    refusal: str = ""


@dataclass(slots=True)
class Gathered:
    """What one model said. All lists are in the order of the prompts.

    `expected` has None where no answer is expected, or the endpoint scores no prompts. `heat` has the first
    few answers, `drift` the distances at each token of the reference's answers to the general prompts; both
    are empty for the reference itself. `switched_off` is None where that was not asked (`switching.py`).
    """

    who: Contestant
    answers: list[Told] = field(default_factory=list)
    expected: list[Expected | None] = field(default_factory=list)
    heat: list[tuple[HeatToken, ...]] = field(default_factory=list)
    general: list[Told] = field(default_factory=list)
    drift: list[tuple[float, ...]] = field(default_factory=list)
    switched_off: SwitchedOff | None = None

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
        work = _Work(asker, questions, limits, Count(_requests(len(contestants), questions, limits), tell))
        found = [Gathered(who) for who in contestants]
        await all_of(work.ask(one) for one in found)
        own = await work.score_general(found[0], found[0])
        await all_of(work.compare(found[0], own, one) for one in found[1:])
    for one in found:
        _check_same_digest(one)
    return found


def _requests(models: int, questions: Sequence[Question], limits: Limits) -> int:
    asked = models * (len(questions) + len(GENERAL_PROMPTS))
    expected = 2 * models * sum(bool(one.answer) for one in questions)
    heat = 2 * (models - 1) * min(limits.heat_prompts, len(questions))
    return asked + expected + heat + models * len(GENERAL_PROMPTS)


class _Work:
    """The requests for one model, or for one and the reference."""

    def __init__(self, asker: Asker, questions: Sequence[Question], limits: Limits, count: Count) -> None:
        self._asker = asker
        self._questions = questions
        self._limits = limits
        self._count = count

    async def ask(self, one: Gathered) -> None:
        """Answers to all prompts, and scores of the expected ones."""
        numbered = enumerate(self._questions, start=1)
        both = await all_of(_named(self._ask(one.who, each), f"prompt {number}") for number, each in numbered)
        one.answers = [told for told, _ in both]
        one.expected = [expected for _, expected in both]
        general = [Question(prompt) for prompt in GENERAL_PROMPTS]
        one.general = await all_of(self._answer(one.who, each, GENERAL_TOKENS) for each in general)

    async def score_general(self, one: Gathered, texts: Gathered) -> list[Scores]:
        """What a model makes of another's answers to the general prompts."""
        return await all_of(self._scores(one.who, told) for told in texts.general)

    async def compare(self, reference: Gathered, own: Sequence[Scores], one: Gathered) -> None:
        """The distances of a model and the reference, on texts that both are given.

        `own` is what the reference makes of its answers to the general prompts.
        """
        shown = one.answers[: self._limits.heat_prompts]
        theirs = await all_of(self._scores(reference.who, told) for told in shown)
        ours = await all_of(self._scores(one.who, told) for told in shown)
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

    async def _scores(self, who: Contestant, told: Told) -> Scores:
        """What a model makes of an answer's tokens; nothing if it cannot score them."""
        return await self._count.of(self._scored(who, told))

    async def _scored(self, who: Contestant, told: Told) -> Scores:
        if not told.token_ids:
            return ()
        try:
            return await self._asker.scores(who, told.prompt_ids, told.token_ids) or ()
        except InvalidInput:  # the text has tokens of another adapter's own, which this model does not know
            return ()


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
