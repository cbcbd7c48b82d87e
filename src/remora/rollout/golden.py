"""Golden prompts: `golden.toml`, a file made for people to read and edit.

[[prompt]]
model = "tone"          # the base's name or an adapter's alias
user = "I got the job!"
answer = "joy"
max_tokens = 8

`remora golden record` adds what the local engine said, token by token (see `golden_file.py`):

tokens = ["jo", "y"]
top = [["jo", -0.01, "sad", -5.3], ["y", -0.001]]   # the likeliest tokens of each position, log-probabilities
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remora.errors import InvalidFile
from remora.rollout.recording import Position, Stack

FILE_NAME = "golden.toml"
_DEFAULT_MAX_TOKENS = 16


@dataclass(frozen=True, slots=True)
class GoldenPrompt:
    """A prompt for a model and the answer that was recorded for it (greedy).

    `tokens` are those of the answer, `top` the likeliest ones of its first positions; both are empty where
    the entry was written by hand, and `answer` may be, too: then any answer will do. `digest` is that of the
    adapter that answered, "" for the base model or where it is not known.
    """

    model: str
    user: str
    answer: str
    max_tokens: int
    finish_reason: str = ""
    digest: str = ""
    tokens: tuple[str, ...] = ()
    top: tuple[Position, ...] = ()


@dataclass(frozen=True, slots=True)
class Golden:
    """The file: its prompts, and the stack that the recorded ones were recorded on."""

    prompts: tuple[GoldenPrompt, ...] = ()
    stack: Stack = field(default_factory=Stack)


def read_golden(root: Path) -> Golden:
    """The project's golden prompts; no file is none. Raises InvalidFile."""
    path = root / FILE_NAME
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Golden()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidFile(f"{path} is not TOML: {error}", hint="mend or delete the file") from error
    entries = document.get("prompt", ())
    prompts = tuple(_prompt(entry, number, path) for number, entry in enumerate(entries, start=1))
    return Golden(prompts, _stack(document.get("recording")))


def _prompt(entry: object, number: int, path: Path) -> GoldenPrompt:
    match entry:
        case {"model": str(model), "user": str(user), **rest}:
            answer, max_tokens = rest.get("answer", ""), rest.get("max_tokens", _DEFAULT_MAX_TOKENS)
            if isinstance(max_tokens, int) and max_tokens > 0 and isinstance(answer, str):
                return _recorded(GoldenPrompt(model, user, answer, max_tokens), rest, number, path)
    raise InvalidFile(
        f"prompt {number} of {path} needs texts `model`, `user`, `answer` and a positive `max_tokens`",
        hint="mend the entry",
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


def _top(line: list[Any]) -> tuple[tuple[str, float], ...]:
    """`token, log-probability, token, log-probability …`: one short line a position."""
    if not line or len(line) % 2:
        raise ValueError(f"{line!r} is no list of tokens and log-probabilities")
    return tuple((str(token), float(number)) for token, number in zip(line[::2], line[1::2], strict=True))


def _stack(table: object) -> Stack:
    known = table if isinstance(table, dict) else {}
    return Stack(*(str(known.get(name, "")) for name in Stack.__slots__))
