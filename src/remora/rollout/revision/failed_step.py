"""Which of a container's commands failed first, according to its log.

The commands are joined with "; ", so those after a failed one still run, and the platform reports only the
last failure: a program that does not find what pip did not install. The log has every message in order, and
each kind of message belongs to a kind of command. Pure, except for reading the log.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from remora.azure.app.apps import ContainerApp
from remora.azure.app.log_stream import MAX_TAIL_LINES
from remora.azure.app.logs import read_logs
from remora.errors import NotReady, RemoraError
from remora.project.toolkit.command_steps import script_of, steps_of, words_of

_SHELL = re.compile(r"^(?:\S*/)?(?:ba)?sh: (?:line \d+: )?(?P<rest>.+)$")
_SHELL_FAILURE = re.compile(
    r"^(?:cd: )?(?P<what>.+?): (?:command not found|No such file|Permission denied|Is a dir|Not a dir)"
)
_PIP = re.compile(r"^(?:ERROR: (?!pip's dependency resolver| )|error: )")
_PYTHON = re.compile(r"^\S*python[\d.]*: (?:can't open file|No module named|Error while finding module)")
_TRACEBACK = "Traceback (most recent call last):"
_ENDED_TRACEBACK = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt)\b")
_SHOWN_LINES = 4
_COMMAND_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class FailedStep:
    """A failed command: its number from 1, the number of commands, its text, and its lines in the log."""

    number: int
    of: int
    command: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        text = self.command
        shown = text if len(text) <= _COMMAND_CHARACTERS else f"{text[: _COMMAND_CHARACTERS - 1]}…"
        return f"command {self.number} of {self.of}, `{shown}`, failed: {' | '.join(self.lines)}"


def find_failed_step(script: str, lines: Sequence[str]) -> FailedStep | None:
    """The first command that failed according to a log; None if none did.

    A log may have several attempts and begin in the middle of one, so the order of commands decides, not the
    order of lines.
    """
    steps = steps_of(script)
    found: dict[int, int] = {}
    for number, line in enumerate(lines):
        step = _step_of(line, lines[number:], steps)
        if step is not None:
            found[step] = number  # the newest attempt is the one to show
    if not found:
        return None
    first = min(found)
    return FailedStep(first + 1, len(steps), steps[first], _message(lines, found[first]))


@contextmanager
def with_failed_step(app: ContainerApp, revision: str) -> Iterator[None]:
    """Let a NotReady inside the block name the revision's failed command, else the last line of its log.

    The log is gone once the revision has been taken back.
    """
    try:
        yield
    except NotReady as error:
        script, lines = _read(app, revision)
        step = find_failed_step(script, lines)
        if step is not None:
            told = f"revision {revision!r} does not start: {step}"
            raise NotReady(told, hint="see: remora logs") from error
        last = next((line for line in reversed(lines) if line.strip()), "")
        if not last or last in error.message:
            raise
        told = f"{error.message}; its last line: {last[:_COMMAND_CHARACTERS]}"
        raise NotReady(told, hint=error.hint) from error


def read_failed_step(app: ContainerApp, revision: str) -> FailedStep | None:
    """The command that failed in the newest replica of a revision; None if there is no log."""
    return find_failed_step(*_read(app, revision))


def _read(app: ContainerApp, revision: str) -> tuple[str, list[str]]:
    """The container's script, and the log of the revision's newest replica; both empty if there is none."""
    try:
        script = script_of(app.read().command)
        return script, [line.text for line in read_logs(app, revision=revision, tail=MAX_TAIL_LINES)]
    except RemoraError:
        return "", []


def _step_of(line: str, rest: Sequence[str], steps: Sequence[str]) -> int | None:
    """The command whose failure this line reports."""
    if (shell := _SHELL.match(line)) and (failure := _SHELL_FAILURE.match(shell["rest"])):
        what = failure["what"]
        exact = _first(steps, lambda words: what in words)
        return _first(steps, lambda words: _ends_alike(words, what)) if exact is None else exact
    if _PIP.match(line):
        return _first(steps, _is_pip)
    if _PYTHON.match(line):
        return _first(steps, lambda words: _is_python(words) and any(_names(w, line) for w in words[1:]))
    if line.rstrip() == _TRACEBACK:
        return _step_of_traceback(rest, steps)
    return None


def _step_of_traceback(rest: Sequence[str], steps: Sequence[str]) -> int | None:
    """The command whose file the traceback names, else the last Python command."""
    text = "\n".join(rest[: _end_of_traceback(rest)])
    if "/pip/" in text:
        return _first(steps, _is_pip)
    named = _first(
        steps, lambda words: _is_python(words) and any(w.endswith(".py") and _names(w, text) for w in words)
    )
    if named is not None:
        return named
    programs = [number for number, step in enumerate(steps) if _is_python(words_of(step))]
    return programs[-1] if programs else None


def _message(lines: Sequence[str], start: int) -> tuple[str, ...]:
    """The lines to show: a traceback's last line, pip's lines, or the line itself."""
    if lines[start].rstrip() == _TRACEBACK:
        return (lines[start + _end_of_traceback(lines[start:]) - 1].strip(),)
    if not _PIP.match(lines[start]):
        return (lines[start].strip(),)
    told = [start]
    while told[0] > 0 and _PIP.match(lines[told[0] - 1]):
        told.insert(0, told[0] - 1)
    return tuple(lines[number].strip() for number in told[:_SHOWN_LINES])


def _end_of_traceback(lines: Sequence[str]) -> int:
    """The number of lines of a traceback, from its head to the exception's line."""
    ends = (number for number, line in enumerate(lines) if number and _ENDED_TRACEBACK.match(line))
    return next(ends, len(lines) - 1) + 1


def _first(steps: Sequence[str], fits: Callable[[list[str]], bool]) -> int | None:
    return next((number for number, step in enumerate(steps) if fits(words_of(step))), None)


def _ends_alike(words: list[str], path: str) -> bool:
    """Whether a path of this command has the same last part.

    If volumes are mapped in the command's text, a message has a different folder in front.
    """
    last = posixpath.basename(path.rstrip("/"))
    return any(word.startswith("/") and posixpath.basename(word.rstrip("/")) == last for word in words)


def _names(word: str, text: str) -> bool:
    last = posixpath.basename(word.rstrip("/"))
    return bool(last) and re.search(rf"(?<![\w.-]){re.escape(last)}(?![\w-])", text) is not None


def _is_pip(words: list[str]) -> bool:
    return "install" in words and any(word.startswith("pip") or word.endswith("/pip") for word in words)


def _is_python(words: list[str]) -> bool:
    programs = (posixpath.basename(word) for word in words if word != "exec")
    return next(programs, "").startswith("python")
