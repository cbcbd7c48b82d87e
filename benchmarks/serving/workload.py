"""What is asked: loads, and the requests of each. Every server gets the very same requests."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

PROMPT_TOKENS = 128
ANSWER_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Load:
    """`concurrent` requests at once, spread over `adapters` adapters; 0 is the base model."""

    adapters: int
    concurrent: int

    def __str__(self) -> str:
        what = {0: "base", 1: "one adapter"}.get(self.adapters, f"{self.adapters} adapters")
        return f"{what}, {self.concurrent} concurrent"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: token ids in, a number of tokens out, greedy."""

    prompt_ids: tuple[int, ...]
    adapter: int | None
    max_tokens: int = ANSWER_TOKENS


def asks(load: Load, *, vocab_size: int, seed: int) -> Sequence[Ask]:
    """The requests of a load. Prompts differ from each other and from round to round: no cache helps."""
    numbers = random.Random(seed * 1009 + load.concurrent)  # noqa: S311 - a workload, no secret
    return [
        Ask(
            tuple(numbers.randrange(10, vocab_size - 10) for _ in range(PROMPT_TOKENS)),
            None if load.adapters == 0 else number % load.adapters,
        )
        for number in range(load.concurrent)
    ]
