"""The commands in hints: written for a folder, completed with it, and parsed for programs.

Users read the hint itself; programs that offer to run its command get it as a list.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

_WORD = r"""(?:'[^']*'|"[^"]*"|[^`,;\n])+"""
# Hints put a command after a colon or in backquotes. It ends with the hint or before an alternative.
_COMMAND = re.compile(rf"(?:: |`)((?:remora|az) {_WORD})")
_GROUPS = ("adapters", "golden", "keys")
_NAMED = re.compile(rf"\bremora (?!cloud\b)((?:(?:{'|'.join(_GROUPS)}) )?[a-z]+)\b(?P<rest>.?)")


def command_line(command: str, folder: Path, *more: str) -> str:
    """A command for a project's folder, as it can be pasted into a shell."""
    words = ["remora", *command.split(), *([] if folder == Path() else [str(folder)]), *more]
    return shlex.join(words)


def in_folder(hint: str, folder: Path) -> str:
    """A hint in which every project command names its folder; commands that already do are unchanged."""
    if folder == Path():
        return hint
    quoted = shlex.quote(str(folder))

    def complete(found: re.Match[str]) -> str:
        following = hint[found.start("rest") :]
        if found["rest"] == " " and following.split("remora ", 1)[0].find(quoted) >= 0:
            return found[0]
        # After the last word, FOLDER is the shorter form; before further words only the option is correct.
        given = f" -C {quoted}" if found["rest"] == " " else f" {quoted}"
        return f"remora {found[1]}{given}{found['rest']}"

    return _NAMED.sub(complete, hint)


def next_command(hint: str) -> list[str] | None:
    """The first command in a hint, as arguments; None if it has none, or one with a placeholder."""
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
    """A word in capitals stands for a value; an option such as -C does not."""
    return (word.isupper() and not word.startswith("-")) or "…" in word
