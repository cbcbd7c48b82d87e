"""Learning: conversations become ids, ids become batches, batches become steps. One loop for all models.

Only the assistant's words are learned. Padding stands on the right of everything, and causal attention
never looks right, so no attention mask is needed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

import torch

from recipe.conversations import Conversation

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

IGNORED = -100  # what the loss of transformers leaves out
POOL_CONVERSATIONS = 1024
REPORT_EVERY_STEPS = 100
WARMUP_SHARE = 0.05
MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True, slots=True)
class Example:
    """Ids of a conversation; `labels` repeats those that are learned and ignores the others."""

    ids: list[int]
    labels: list[int]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to learn. The rate warms up, then falls to zero along a cosine."""

    steps: int
    tokens_per_step: int
    peak_learning_rate: float
    weight_decay: float = 0.0

    def learning_rate(self, step: int) -> float:
        warmup_steps = max(1, round(self.steps * WARMUP_SHARE))
        if step < warmup_steps:
            return self.peak_learning_rate * (step + 1) / warmup_steps
        progress = (step - warmup_steps) / max(1, self.steps - warmup_steps)
        return self.peak_learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


class Encoder:
    """Turns conversations into examples, exactly as the chat template renders them."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._context_length: int = tokenizer.model_max_length

    def encode(self, conversation: Conversation) -> Example:
        """The prompt of each turn is what an endpoint would render; the answer follows it."""
        messages: list[dict[str, str]] = []
        if conversation.system is not None:
            messages.append({"role": "system", "content": conversation.system})
        ids: list[int] = []
        labels: list[int] = []
        rendered = ""
        for turn in conversation.turns:
            messages.append({"role": "user", "content": turn.user})
            prompt = self._render(messages)
            end = self._tokenizer.eos_token if turn.ended else ""
            asked = self._ids(prompt.removeprefix(rendered))
            answered = self._ids(turn.answer + end)
            ids += asked + answered
            labels += [IGNORED] * len(asked) + (answered if turn.learned else [IGNORED] * len(answered))
            rendered = prompt + turn.answer + end
            messages.append({"role": "assistant", "content": turn.answer})
        return Example(ids[: self._context_length], labels[: self._context_length])

    def _render(self, messages: list[dict[str, str]]) -> str:
        text: str = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return text

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids


def learn(
    name: str,
    model: PreTrainedModel,
    examples: Iterator[Example],
    schedule: Schedule,
    random: Random,
) -> None:
    """Train the parameters of `model` that ask for it, and say how it goes."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, betas=(0.9, 0.98), weight_decay=schedule.weight_decay)
    model.train()
    started, tokens, losses = time.monotonic(), 0, []
    for step, (ids, labels) in enumerate(islice(batches(examples, schedule, random), schedule.steps)):
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate(step)
        loss = model(input_ids=ids, labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
        optimizer.step()
        optimizer.zero_grad()
        tokens += ids.numel()
        losses.append(loss.item())
        if (step + 1) % REPORT_EVERY_STEPS == 0 or step + 1 == schedule.steps:
            seconds = time.monotonic() - started
            print(
                f"{name}: step {step + 1}/{schedule.steps}  loss {sum(losses) / len(losses):.4f}"
                f"  {tokens / seconds:,.0f} tokens/s  {seconds:.0f} s",
                flush=True,
            )
            losses.clear()
    model.eval()


def batches(
    examples: Iterator[Example], schedule: Schedule, random: Random
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of about the same number of tokens: long conversations come in small company."""
    while True:
        pool = sorted(islice(examples, POOL_CONVERSATIONS), key=lambda example: len(example.ids))
        groups = list(grouped(pool, schedule.tokens_per_step))
        random.shuffle(groups)
        yield from (padded(group) for group in groups)


def grouped(pool: list[Example], tokens: int) -> Iterator[list[Example]]:
    """Cut a pool that is sorted by length where a group, padded to its longest, would be too large."""
    group: list[Example] = []
    for example in pool:
        if group and len(example.ids) * (len(group) + 1) > tokens:
            yield group
            group = []
        group.append(example)
    yield group


def padded(group: list[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(example.ids) for example in group)
    ids = torch.zeros(len(group), width, dtype=torch.long)
    labels = torch.full((len(group), width), IGNORED, dtype=torch.long)
    for row, example in enumerate(group):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        labels[row, : len(example.labels)] = torch.tensor(example.labels)
    return ids, labels
