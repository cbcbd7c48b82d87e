"""Prompts that the chat pages offer to a visitor: `examples.json` on the share, a list of texts.

`remora deploy` writes it from the project's golden prompts. It is for people: a replica serves without it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from remora.adapters.store import EXAMPLES

MOST_EXAMPLES = 12
MOST_CHARACTERS = 2_000  # of a prompt; a page shows its beginning
MOST_BYTES = 256 * 1024  # of the file: others can write to the share too

Examples = Callable[[], Sequence[str]]


def chosen_examples(prompts: Iterable[str]) -> tuple[str, ...]:
    """The first of these prompts that a page can show, each once."""
    short = (prompt for prompt in prompts if prompt.strip() and len(prompt) <= MOST_CHARACTERS)
    return tuple(dict.fromkeys(short))[:MOST_EXAMPLES]


def encode_examples(examples: Iterable[str]) -> bytes:
    """The file's content."""
    return (json.dumps(list(examples), indent=2, ensure_ascii=False) + "\n").encode()


def read_examples(share: Path) -> tuple[str, ...]:
    """The examples on a mounted share; none if the file is missing or is not as `deploy` writes it."""
    try:
        with (share / EXAMPLES).open("rb") as file:
            document = json.loads(file.read(MOST_BYTES))
        return chosen_examples([str(prompt) for prompt in document])
    except (OSError, ValueError, TypeError, RecursionError):
        return ()
