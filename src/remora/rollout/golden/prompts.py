"""Golden prompts: `golden.toml`, a file for users to read and edit. Reads it; `file.py` writes it.

[[prompt]]
model = "tone"          # the base's name or an adapter's alias
user = "I got the job!"
answer = "joy"
max_tokens = 8

`remora golden record` adds the local engine's answer, token by token:

tokens = ["jo", "y"]
top = [["jo", -0.01, "sad", -5.3], ["y", -0.001]]   # the likeliest tokens of each position, log-probabilities
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from remora.adapters.examples import chosen_examples
from remora.errors import InvalidFile
from remora.rollout.golden.recorded import Position, Stack

FILE_NAME = "golden.toml"
_DEFAULT_MAX_TOKENS = 16
_ESCAPED = re.compile(r"(?:\\x[0-9a-f]{2})+")  # bytes of a token that are not text by themselves


@dataclass(frozen=True, slots=True)
class GoldenPrompt:
    """A prompt for a model and the answer that was recorded for it (greedy).

    `tokens` are those of the answer, `top` the likeliest ones of its first positions; both are empty if the
    entry was written by hand, and so may be `answer`: then any answer passes. `digest` is that of the adapter
    that answered, "" for the base model or if it is not known. `edited`: the answer was changed by hand since
    it was recorded, so it counts as written by hand.
    """

    model: str
    user: str
    answer: str
    max_tokens: int
    finish_reason: str = ""
    digest: str = ""
    tokens: tuple[str, ...] = ()
    top: tuple[Position, ...] = ()
    edited: bool = False


@dataclass(frozen=True, slots=True)
class Golden:
    """The file: its prompts, and the stack that the recorded ones were recorded on."""

    prompts: tuple[GoldenPrompt, ...] = ()
    stack: Stack = field(default_factory=Stack)


def read_golden(root: Path) -> Golden:
    """The project's golden prompts; none if there is no file. Raises InvalidFile."""
    path = root / FILE_NAME
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Golden()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidFile(f"{path} is not valid TOML: {error}", hint="correct or delete the file") from error
    entries = document.get("prompt", [])
    if not isinstance(entries, list):
        raise InvalidFile(f"{path}: 'prompt' is no list of tables", hint="begin each prompt with [[prompt]]")
    prompts = tuple(_prompt(entry, number, path) for number, entry in enumerate(entries, start=1))
    return Golden(prompts, _stack(document.get("recording")))


def examples_of(golden: Golden) -> tuple[str, ...]:
    """Golden prompts as examples for the chat pages."""
    return chosen_examples(prompt.user for prompt in golden.prompts)


def _prompt(entry: object, number: int, path: Path) -> GoldenPrompt:
    match entry:
        case {"model": str(model), "user": str(user), **rest}:
            answer, max_tokens = rest.get("answer", ""), rest.get("max_tokens", _DEFAULT_MAX_TOKENS)
            if isinstance(max_tokens, int) and max_tokens > 0 and isinstance(answer, str):
                return _recorded(GoldenPrompt(model, user, answer, max_tokens), rest, number, path)
    raise InvalidFile(
        f"prompt {number} of {path} needs strings `model`, `user`, `answer` and a positive `max_tokens`",
        hint="correct the entry",
    )


def _recorded(prompt: GoldenPrompt, rest: Mapping[Any, Any], number: int, path: Path) -> GoldenPrompt:
    try:
        tokens = tuple(map(str, rest.get("tokens", ())))
        tops = [_top(line) for line in rest.get("top", ())]
        top = tuple(Position(token, pairs) for token, pairs in zip(tokens, tops, strict=False))
    except (TypeError, ValueError) as error:
        raise InvalidFile(
            f"the recording of prompt {number} in {path} is malformed: {error}",
            hint="delete its `tokens` and `top`, and run: remora golden record",
        ) from error
    if prompt.answer and tokens and not _spell(tokens, prompt.answer):
        return replace(prompt, edited=True)
    return GoldenPrompt(
        prompt.model,
        prompt.user,
        prompt.answer,
        prompt.max_tokens,
        str(rest.get("finish", "")),
        str(rest.get("digest", "")),
        tokens,
        top,
    )


def _spell(tokens: Iterable[str], answer: str) -> bool:
    """Whether the recorded tokens spell the answer, which may end within a character."""
    told = _ESCAPED.sub(
        lambda found: bytes.fromhex(found[0].replace("\\x", "")).decode("utf-8", "replace"), "".join(tokens)
    )
    return told.strip().rstrip("\ufffd") == answer.strip().rstrip("\ufffd")


def _top(line: list[Any]) -> tuple[tuple[str, float], ...]:
    """The pairs of `token, log-probability, token, log-probability …`: one short line per position."""
    if not line or len(line) % 2:
        raise ValueError(f"{line!r} is not a list of tokens and log-probabilities")
    return tuple((str(token), float(number)) for token, number in zip(line[::2], line[1::2], strict=True))


def _stack(table: object) -> Stack:
    known = table if isinstance(table, dict) else {}
    return Stack(*(str(known.get(name, "")) for name in Stack.__slots__))
