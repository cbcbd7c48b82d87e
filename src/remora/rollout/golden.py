"""Golden prompts: `golden.toml`, a file made for people to read and edit.

[[prompt]]
model = "tone"          # the base's name or an adapter's alias
user = "I got the job!"
answer = "joy"
max_tokens = 8
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from remora.errors import InvalidFile

FILE_NAME = "golden.toml"
_DEFAULT_MAX_TOKENS = 16


@dataclass(frozen=True, slots=True)
class GoldenPrompt:
    """A prompt for a model and the answer that was recorded for it (greedy)."""

    model: str
    user: str
    answer: str
    max_tokens: int


def read_golden(root: Path) -> tuple[GoldenPrompt, ...]:
    """The project's golden prompts; no file is an empty tuple. Raises InvalidFile."""
    path = root / FILE_NAME
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidFile(f"{path} is not TOML: {error}", hint="mend or delete the file") from error
    return tuple(
        _prompt(entry, number, path) for number, entry in enumerate(document.get("prompt", ()), start=1)
    )


def _prompt(entry: object, number: int, path: Path) -> GoldenPrompt:
    match entry:
        case {"model": str(model), "user": str(user), "answer": str(answer), **rest}:
            max_tokens = rest.get("max_tokens", _DEFAULT_MAX_TOKENS)
            if isinstance(max_tokens, int) and max_tokens > 0:
                return GoldenPrompt(model, user, answer, max_tokens)
    raise InvalidFile(
        f"prompt {number} of {path} needs texts `model`, `user`, `answer` and a positive `max_tokens`",
        hint="mend the entry",
    )
