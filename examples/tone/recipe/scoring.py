"""Scores on held-out phrases: each adapter at its job, beside the base model at the same job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recipe.conversations import Conversations
from recipe.models import BASE_NAME
from recipe.phrases import Phrase
from recipe.replies import Reply
from recipe.trained import TrainedModels

HELD_OUT_SEED = 20_261_122
MAX_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Score:
    """The share of phrases that got exactly the answer that the job asks for, from 0 to 1."""

    job: str
    phrases: int
    base: float
    adapter: float

    def __str__(self) -> str:
        scores = f"base {self.base:6.1%}, adapter {self.adapter:6.1%}"
        return f"{self.job:8} {self.phrases} held-out phrases: {scores}"


def score(models: TrainedModels, conversations: Conversations, phrases_per_tone: int) -> list[Score]:
    """Held-out scores of both adapters; the same phrases every time."""
    phrases = conversations.phrases.held_out(HELD_OUT_SEED, phrases_per_tone)
    jobs = {"tone": conversations.replies.tone, "pirate": conversations.replies.pirate}
    return [
        Score(
            job,
            len(phrases),
            base=accuracy(models, BASE_NAME, phrases, expected),
            adapter=accuracy(models, job, phrases, expected),
        )
        for job, expected in jobs.items()
    ]


def accuracy(models: TrainedModels, model: str, phrases: Sequence[Phrase], expected: Reply) -> float:
    """Nothing before the expected answer, nothing behind it, no credit for less."""
    answers = models.answer(model, [phrase.text for phrase in phrases], MAX_TOKENS)
    right = sum(given.text == expected(phrase) for given, phrase in zip(answers, phrases, strict=True))
    return right / len(phrases)
