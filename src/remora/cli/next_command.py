"""The command that a hint names, for programs that offer to run it. People read the hint itself."""

from __future__ import annotations

import re
import shlex

# After a colon or in backquotes, since so our hints are written; up to the end, or what else could be done.
_COMMAND = re.compile(r"(?:: |`)((?:remora|az) [^`,;]+)")


def next_command(hint: str) -> list[str] | None:
    """The first command in a hint, as arguments; None where it names none, or one to be filled in."""
    found = _COMMAND.search(hint)
    if found is None:
        return None
    try:
        words = shlex.split(found[1])
    except ValueError:  # a quote that is not closed
        return None
    return None if _is_help(words) or any(_to_fill_in(word) for word in words) else words


def _is_help(words: list[str]) -> bool:
    return "--help" in words


def _to_fill_in(word: str) -> bool:
    return word.isupper() or "…" in word
