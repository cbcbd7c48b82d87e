"""Records golden prompts from an endpoint that is known to be correct: the local engine. Writes no file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from remora.errors import ModelNotFound, listed
from remora.rollout.endpoint import Answer, Endpoint
from remora.rollout.golden.check import ask
from remora.rollout.golden.prompts import Golden, GoldenPrompt
from remora.rollout.golden.recorded import Stack, stack_of

FIRST_PROMPTS = ("Hello! Who are you?", "Tell me a short story.", "What should I do today?")
"""The prompts for every model if the file has none yet."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Entries by number (those after the last are new), and those that were kept because they were written by
    hand: number → the model's answer."""

    entries: dict[int, GoldenPrompt]
    disagreeing: dict[int, str]
    stack: Stack


def record(
    endpoint: Endpoint, golden: Golden, users: Sequence[str], max_tokens: int, *, overwrite: bool
) -> Recorded:
    """Ask every prompt of the file, and `users` (new prompts) of every model; greedy.

    An answer that was written by hand and differs from the model's stays, unless `overwrite`. Raises
    ModelNotFound if the file has a prompt for a model that the endpoint does not have.
    """
    cards = endpoint.models()
    names = [str(card["id"]) for card in cards]
    new_users = list(users) or (list(FIRST_PROMPTS) if not golden.prompts else [])
    known = {(prompt.model, prompt.user) for prompt in golden.prompts}
    added = [(name, user) for user in new_users for name in names if (name, user) not in known]
    prompts = [*golden.prompts, *(GoldenPrompt(name, user, "", max_tokens) for name, user in added)]
    entries: dict[int, GoldenPrompt] = {}
    disagreeing: dict[int, str] = {}
    for number, prompt in enumerate(prompts):
        if prompt.model not in names:
            raise _unknown(prompt, number, names)
        answer = ask(endpoint, prompt.model, prompt.user, prompt.max_tokens)
        if not overwrite and _is_written_by_hand(prompt) and prompt.answer != answer.text:
            disagreeing[number] = answer.text
        else:
            entries[number] = _recorded(prompt, answer)
    return Recorded(entries, disagreeing, stack_of(cards[0]))


def _is_written_by_hand(prompt: GoldenPrompt) -> bool:
    return bool(prompt.answer) and not prompt.tokens


def _recorded(prompt: GoldenPrompt, answer: Answer) -> GoldenPrompt:
    return replace(
        prompt,
        edited=False,
        answer=answer.text,
        finish_reason=answer.finish_reason,
        digest=answer.digest,
        tokens=tuple(position.token for position in answer.positions),
        top=answer.positions,
    )


def _unknown(prompt: GoldenPrompt, number: int, names: Sequence[str]) -> ModelNotFound:
    return ModelNotFound(
        f"prompt {number + 1} of golden.toml is for {prompt.model!r}, which this project does not have",
        hint=f"delete the entry, or correct its model; known models: {listed(names)}",
        param="model",
    )
