"""Asking an endpoint the golden prompts, and what it comes to. The rule itself is in `comparison.py`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from remora.errors import VerificationFailed
from remora.rollout.comparison import Bounds, Difference, Verdict, bounds_for, compare
from remora.rollout.endpoint import Answer, Endpoint
from remora.rollout.golden import Golden, GoldenPrompt
from remora.rollout.recording import TOP_LOGPROBS, Position, Stack, stack_of

_PARALLEL_PROMPTS = 4
_SHOWN_TOKENS = 3
_SHOWN_PROMPT_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class PromptChecked:
    """A golden prompt, what the endpoint answered, and the verdict."""

    prompt: GoldenPrompt
    answer: Answer
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class GoldenReport:
    """What a check of all prompts came to. `skipped` are those for models that the endpoint does not have."""

    checked: tuple[PromptChecked, ...]
    skipped: tuple[GoldenPrompt, ...]
    bounds: Bounds
    stack: Stack

    @property
    def failed(self) -> tuple[PromptChecked, ...]:
        return tuple(item for item in self.checked if not item.verdict.passed)

    @property
    def summary(self) -> str:
        """One line: how many, how closely they had to agree, how far off the farthest was."""
        if not self.checked:
            return "no golden prompts; record some with: remora golden record"
        passed = len(self.checked) - len(self.failed)
        farthest = max(item.verdict.largest_distance for item in self.checked)
        text = f"{passed} of {len(self.checked)} golden prompts as recorded"
        text += f" ({self.bounds.name}, at most {farthest:.2g} nats off)"
        return f"{text}; {len(self.skipped)} for other models" if self.skipped else text

    def require(self) -> None:
        """Raises VerificationFailed, with the first token that differs and both distributions there."""
        if not self.failed:
            return
        counted = f"{len(self.failed)} of {len(self.checked)} golden prompts are not answered as recorded"
        raise VerificationFailed(
            f"{counted} ({self.bounds}): {described(self.failed[0])}",
            hint="where other answers are meant, record them and deploy again: remora golden record",
        )


def check_golden(
    endpoint: Endpoint, golden: Golden, answered: Mapping[str, Answer] | None = None
) -> GoldenReport:
    """Ask all prompts, greedily, and compare. Raises NotReady or InvalidApiKey where nothing can be asked.

    `answered` has, by model, what `ask` has got for the first prompt of that model already.
    """
    cards = endpoint.models()
    names = {str(card["id"]) for card in cards}
    asked = [prompt for prompt in golden.prompts if prompt.model in names]
    stack = stack_of(cards[0]) if cards else Stack()
    bounds = bounds_for(golden.stack, stack)
    first = {prompt.model: id(prompt) for prompt in reversed(asked)}
    known = {first[model]: answer for model, answer in (answered or {}).items() if model in first}
    with ThreadPoolExecutor(_PARALLEL_PROMPTS) as pool:
        answers = pool.map(lambda prompt: known.get(id(prompt)) or _ask(endpoint, prompt), asked)
        checked = tuple(_checked(*pair, bounds) for pair in zip(asked, answers, strict=True))
    skipped = tuple(prompt for prompt in golden.prompts if prompt.model not in names)
    return GoldenReport(checked, skipped, bounds, stack)


def ask(endpoint: Endpoint, model: str, user: str, max_tokens: int) -> Answer:
    """One greedy answer, with its tokens."""
    return endpoint.chat(
        model,
        [{"role": "user", "content": user}],
        temperature=0,
        max_tokens=max_tokens,
        logprobs=True,
        top_logprobs=TOP_LOGPROBS,
    )


def described(item: PromptChecked) -> str:
    """Who said what otherwise, for people: the prompt, the place, and both distributions there."""
    prompt, verdict = item.prompt, item.verdict
    shown = prompt.user
    if len(shown) > _SHOWN_PROMPT_CHARACTERS:
        shown = f"{shown[: _SHOWN_PROMPT_CHARACTERS - 1]}…"
    return f"{prompt.model!r} on {shown!r}: {verdict.reason}{_both(verdict.difference)}{_whose(item)}"


def _ask(endpoint: Endpoint, prompt: GoldenPrompt) -> Answer:
    return ask(endpoint, prompt.model, prompt.user, prompt.max_tokens)


def _checked(prompt: GoldenPrompt, answer: Answer, bounds: Bounds) -> PromptChecked:
    return PromptChecked(prompt, answer, compare(prompt, answer.text, answer.positions, bounds))


def _both(difference: Difference | None) -> str:
    if difference is None:
        return ""
    return f"; recorded {_shown(difference.recorded)}; found {_shown(difference.found)}"


def _shown(position: Position | None) -> str:
    if position is None:
        return "the end, or no log-probabilities"
    likeliest = position.top[:_SHOWN_TOKENS]
    return " ".join(f"{token!r} {_percent(logprob)} ({logprob:.2f})" for token, logprob in likeliest)


def _percent(logprob: float) -> str:
    return f"{100 * math.exp(logprob):.3g}%"


def _whose(item: PromptChecked) -> str:
    """An adapter that is not the recorded one is the likeliest reason."""
    recorded, found = item.prompt.digest, item.answer.digest
    if not recorded or recorded == found:
        return ""
    return f"; recorded with {recorded[:12]}, answered by {found[:12] or 'the base model'}"
