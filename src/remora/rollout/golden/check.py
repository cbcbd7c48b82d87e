"""Asks an endpoint the golden prompts, and reports the result. The rule itself is in `comparison.py`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from remora.errors import VerificationFailed
from remora.rollout.endpoint import Answer, Endpoint
from remora.rollout.golden.comparison import Bounds, Difference, Verdict, bounds_for, compare
from remora.rollout.golden.prompts import Golden, GoldenPrompt
from remora.rollout.golden.recorded import TOP_LOGPROBS, Position, Stack, stack_of

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
    """The result of a check of all prompts. `skipped` are those for models that are not served."""

    checked: tuple[PromptChecked, ...]
    skipped: tuple[GoldenPrompt, ...]
    bounds: Bounds
    stack: Stack

    @property
    def failed(self) -> tuple[PromptChecked, ...]:
        return tuple(item for item in self.checked if not item.verdict.passed)

    @property
    def edited(self) -> tuple[PromptChecked, ...]:
        """Those whose answer was changed by hand since it was recorded."""
        return tuple(item for item in self.checked if item.prompt.edited)

    @property
    def summary(self) -> str:
        """One line: how many passed, the tolerance, and the largest distance."""
        if not self.checked and self.skipped:
            return f"none of {len(self.skipped)} golden prompts is for a served model"
        if not self.checked:
            return "no golden prompts; record some with: remora golden record"
        passed = len(self.checked) - len(self.failed)
        farthest = max(item.verdict.largest_distance for item in self.checked)
        text = f"{passed} of {len(self.checked)} golden prompts as recorded"
        text += f" ({self.bounds.name}, at most {farthest:.2g} nats off)"
        if self.edited:
            text += f"; {len(self.edited)} compared with answers that were changed by hand"
        return f"{text}; {len(self.skipped)} for other models" if self.skipped else text

    def require_asked(self) -> None:
        """Raises VerificationFailed if no prompt could be asked, because then nothing was verified."""
        if self.skipped and not self.checked:
            raise VerificationFailed(
                f"nothing was checked: {self.summary} (the first is for {self.skipped[0].model!r})",
                hint="set `model` in golden.toml to a name that GET /v1/models of the endpoint lists",
            )

    def require(self) -> None:
        """Raises VerificationFailed, with the first token that differs and both distributions there."""
        if not self.failed:
            return
        counted = f"{len(self.failed)} of {len(self.checked)} golden prompts are not answered as recorded"
        raise VerificationFailed(
            f"{counted} ({self.bounds}): {described(self.failed[0])}",
            hint="if the new answers are intended, record them and deploy again: remora golden record",
        )


def check_golden(
    endpoint: Endpoint, golden: Golden, answered: Mapping[str, Answer] | None = None
) -> GoldenReport:
    """Ask all prompts, greedily, and compare. Raises NotReady or InvalidApiKey if nothing answers.

    `answered` has, by model, the answers of `ask` to the first prompt of that model.
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
    """A difference as text: the prompt, the position, and both distributions there."""
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
    """Names both digests if they differ: another adapter is the likeliest reason."""
    recorded, found = item.prompt.digest, item.answer.digest
    if not recorded or recorded == found:
        return ""
    return f"; recorded with {recorded[:12]}, answered by {found[:12] or 'the base model'}"
