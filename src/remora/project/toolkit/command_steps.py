"""The steps of a container's command line, and which of the project's folders they name. Runs nothing."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterator, Sequence


def script_of(command: Sequence[str]) -> str:
    """The script that a container's command and arguments run: TEXT of `bash -c TEXT`, else the words."""
    words = list(command)
    if not words:
        return ""
    if "-c" in words[:-1] and posixpath.basename(words[0]) in ("bash", "sh"):
        return words[words.index("-c") + 1]
    return shlex.join(words)


def steps_of(script: str) -> tuple[str, ...]:
    """The commands that run one after another, even if one fails. Respects quotes."""
    steps, quote, current = [], "", ""
    for previous, character in zip(f" {script}", script, strict=False):
        if quote:
            quote = "" if character == quote and previous != "\\" else quote
        elif character in "'\"" and previous != "\\":
            quote = character
        elif character in ";\n":
            steps.append(current)
            current = ""
            continue
        current += character
    return tuple(stripped for step in [*steps, current] if (stripped := step.strip()))


def words_of(step: str) -> list[str]:
    """The words of a step; if its quotes do not match, it is split at white space."""
    try:
        return shlex.split(step)
    except ValueError:
        return step.split()


def names_below(script: str, mount: str) -> set[str]:
    """The first part below `mount` of every path in the steps: `inference` for /mount/inference/x."""
    found = set()
    for path in _paths(script):
        inside = posixpath.relpath(path, mount)
        if inside != "." and not inside.startswith(".."):
            found.add(inside.split("/", 1)[0])
    return found


def _paths(script: str) -> Iterator[str]:
    """Every word as a path, relative to the folder in which its step runs."""
    here = "/"
    for step in steps_of(script):
        words = words_of(step)
        for word in words:
            yield posixpath.normpath(posixpath.join(here, word))
        if words[:1] == ["cd"] and len(words) > 1:
            here = posixpath.normpath(posixpath.join(here, words[1]))
