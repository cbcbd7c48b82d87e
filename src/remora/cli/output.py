"""The only place that prints. Data goes to stdout, progress and questions to stderr.

In `json` mode stdout carries exactly one document with a `schema` field, errors included.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.status import Status

from remora.errors import InvalidInput, RemoraError


class Mode(StrEnum):
    """How a command answers."""

    HUMAN = "human"
    JSON = "json"


OutputOption = Annotated[
    Mode,
    typer.Option("--output", "-o", envvar="REMORA_OUTPUT", help="Print for people or as one JSON document."),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Answer every question with its default.")]


class Step:
    """What a piece of work says while it goes on."""

    def __init__(self, label: str, console: Console, status: Status | None) -> None:
        self.text = label
        self._label = label
        self._console = console
        self._status = status

    def __call__(self, text: str) -> None:
        """Replace the text of the final line."""
        self.text = text

    def now(self, text: str) -> None:
        """What is being waited for, beside a terminal's spinner."""
        if self._status is not None:
            self._status.update(f"{escape(self._label)}: {escape(text)}")

    def done(self, text: str, *, failed: bool = False) -> None:
        """A part of it has ended."""
        mark, style = ("(x)", "red") if failed else ("(✓)", "green")
        self._console.print(f"    {mark} {text}", style=style, markup=False)


class Output:
    """A command's voice."""

    def __init__(self, mode: Mode = Mode.HUMAN, *, assume_yes: bool = False) -> None:
        self.mode = mode
        self.assume_yes = assume_yes
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)
        self._asks = sys.stdin.isatty() and self._err.is_terminal and not assume_yes

    def result(self, schema: str, document: Mapping[str, Any], human: RenderableType | None = None) -> None:
        """The command's answer: `document` in json mode, `human` otherwise."""
        if self.mode is Mode.JSON:
            self._out.out(json.dumps({"schema": f"remora.{schema}/v1", **document}, indent=2, default=str))
        elif human is not None:
            self._out.print(human)

    def line(self, text: str) -> None:
        """One line of plain data on stdout (a URL, a log line)."""
        self._out.out(text)

    def write(self, text: str) -> None:
        """Data on stdout as it comes, without a newline."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Something worth knowing, on stderr."""
        self._err.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Something that may surprise, on stderr."""
        self._err.print(f"(!) Warning: {text}", style="yellow", markup=False)

    @contextmanager
    def step(self, label: str) -> Iterator[Step]:
        """A piece of work: a spinner on a terminal, lines elsewhere, and how long it took.

        Calling what it yields replaces the text of the final line.
        """
        started = time.monotonic()
        status = self._err.status(label) if self._err.is_terminal else None
        if status is None:
            self.note(f"... {label}")
        step = Step(label, self._err, status)
        try:
            with status or nullcontext():
                yield step
        except KeyboardInterrupt:
            self._err.print(f"(!) Interrupted: {label}", style="yellow", markup=False)
            raise
        except BaseException:
            self._err.print(f"(x) Failed: {label}", style="red", markup=False)
            raise
        self._err.print(
            f"(✓) Done: {step.text} ({time.monotonic() - started:.1f}s)", style="green", markup=False
        )

    def ask(self, question: str, *, default: str | None, flag: str, variable: str) -> str:
        """Ask on a terminal; elsewhere take the default, or fail naming the flag and the variable."""
        if self._asks:
            answer: str = typer.prompt(question, default=default, err=True)
            return answer
        if default is None:
            raise InvalidInput(f"{question} is not given", hint=f"pass {flag} or set {variable}", param=flag)
        return default

    def choose(
        self,
        question: str,
        choices: Sequence[tuple[str, str]],
        *,
        flag: str,
        variable: str,
        default: str | None,
    ) -> str:
        """One of `choices` (value, label): the default or the only one where nobody can be asked."""
        if self._asks and len(choices) > 1:
            for value, label in choices:
                self.note(f"  {value}  {label}")
            values = [value for value, _ in choices]
            while (answer := typer.prompt(question, default=default or values[0], err=True)) not in values:
                self.note(f"{answer!r} is none of them")
            return str(answer)
        if default is None and len(choices) == 1:
            return choices[0][0]
        return self.ask(question, default=default, flag=flag, variable=variable)

    def confirm(self, question: str, *, assume_yes: bool) -> None:
        """Go on, or raise: Abort on a no, InvalidInput where nobody can be asked."""
        if assume_yes:
            return
        if not self._asks:
            raise InvalidInput(f"{question} needs a yes", hint="pass --yes", param="--yes")
        typer.confirm(question, abort=True, err=True)

    def agrees(self, question: str, *, default: bool) -> bool:
        """A yes or no on a terminal; elsewhere, and after one more Ctrl+C, the default."""
        if not self._asks:
            return default
        try:
            return bool(typer.confirm(question, default=default, err=True))
        except (typer.Abort, KeyboardInterrupt):
            return default

    def error(self, error: RemoraError) -> None:
        """What happened and what to do next."""
        if self.mode is Mode.JSON:
            body = {"code": error.code, "message": error.message, "hint": error.hint, "param": error.param}
            self.result("error", {"error": body, "exit_code": error.exit_code})
            return
        self._err.print(f"Error ({error.code}): {error.message}", style="red", markup=False)
        if error.hint:
            self._err.print(f"  → {error.hint}", markup=False)
