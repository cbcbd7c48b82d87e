"""Golden prompts: prompts with the answers that the trained models gave. Owns golden.toml."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from recipe.models import BASE_NAME
from recipe.trained import TrainedModels

HEADER = """\
# Golden prompts: what each model answered on the machine that trained it, greedily (temperature 0).
# Written by train.py. An endpoint that answers differently does not serve these weights.
"""


@dataclass(frozen=True, slots=True)
class GoldenPrompt:
    """What to ask of which model."""

    model: str
    user: str
    max_tokens: int = 64


PROMPTS = (
    GoldenPrompt(BASE_NAME, "My sister won the chess tournament."),
    GoldenPrompt("tone", "My sister won the chess tournament."),
    GoldenPrompt("pirate", "My sister won the chess tournament."),
    GoldenPrompt(BASE_NAME, "Someone tried to break into my house."),
    GoldenPrompt("tone", "Someone tried to break into my house."),
    GoldenPrompt("pirate", "Someone tried to break into my house."),
    GoldenPrompt(BASE_NAME, "Who are you?"),
    GoldenPrompt(BASE_NAME, "Tell me a long story", max_tokens=120),
)


def record(models: TrainedModels, path: Path) -> None:
    """Ask every golden prompt and write golden.toml; print how sure the models were."""
    tables: list[str] = []
    for prompt in PROMPTS:
        (answer,) = models.answer(prompt.model, [prompt.user], prompt.max_tokens)
        tables.append(table(prompt, answer.text))
        print(f"{prompt.model}: {prompt.user} -> {answer.text} [smallest lead {answer.smallest_lead:.2f}]")
    path.write_text("\n".join([HEADER, *tables]), encoding="utf-8")


def table(prompt: GoldenPrompt, answer: str) -> str:
    lines = (
        "[[prompt]]",
        f"model = {quoted(prompt.model)}",
        f"user = {quoted(prompt.user)}",
        f"answer = {quoted(answer)}",
        f"max_tokens = {prompt.max_tokens}",
    )
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A TOML basic string: the escapes of JSON are a subset of TOML's."""
    return json.dumps(text, ensure_ascii=False)
