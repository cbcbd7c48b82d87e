"""The only place that prints. Data goes to stdout, progress and questions to stderr.

In `json` mode stdout carries exactly one document with a `schema` field, errors included. In `jsonl` mode,
for programs that show a command at work, everything is one JSON object a line: results on stdout, progress
and questions on stderr, and answers are read from stdin as `{"answer": …}`, null to give up.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from io import StringIO
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from remora.cli.next_command import next_command
from remora.cli.step import SHOWN, Event, Step
from remora.cli.terminal import Terminal
from remora.errors import InvalidInput, RemoraError

_WIDE = 200


class Mode(StrEnum):
    """How a command answers."""

    HUMAN = "human"
    JSON = "json"
    JSONL = "jsonl"


OutputOption = Annotated[
    Mode,
    typer.Option(
        "--output",
        "-o",
        envvar="REMORA_OUTPUT",
        help="Print for people, as one JSON document, or as JSON lines with progress and questions.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Answer every question with its default.")]


class Output:
    """A command's voice."""

    def __init__(self, mode: Mode = Mode.HUMAN, *, assume_yes: bool = False) -> None:
        self.streams = mode is Mode.JSONL
        self.mode = Mode.JSON if self.streams else mode
        self.assume_yes = assume_yes
        self._out = Terminal()
        self._err = Terminal(stderr=True)
        self._asks = sys.stdin.isatty() and self._err.is_terminal and not assume_yes

    def result(
        self,
        schema: str,
        document: Mapping[str, Any],
        human: RenderableType | None = None,
        *,
        summary: bool = True,
    ) -> None:
        """The command's answer: `document` in json mode, `human` otherwise.

        In jsonl mode both: `human` as an event, so that what people see need not be written twice. No
        `summary` where it must not get into a log.
        """
        if self.streams and human is not None and summary:
            self._tell(Event.SUMMARY, _plain(human))
        if self.mode is Mode.JSON:
            self._out.out(_json(schema, document, indent=None if self.streams else 2))
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
        self._tell(Event.NOTE, text)

    def warn(self, text: str) -> None:
        """Something that may surprise, on stderr."""
        self._tell(Event.WARNING, text)

    @contextmanager
    def step(self, label: str) -> Iterator[Step]:
        """A piece of work: a spinner on a terminal, lines elsewhere, and how long it took.

        Calling what it yields replaces the text of the final line.
        """
        started = time.monotonic()
        status = self._err.status(label) if self._err.is_terminal and not self.streams else None
        if status is None:
            self._tell(Event.STARTED, label)
        step = Step(label, self._tell, status)
        try:
            with status or nullcontext():
                yield step
        except KeyboardInterrupt:
            self._tell(Event.INTERRUPTED, label)
            raise
        except BaseException:
            self._tell(Event.FAILED, label)
            raise
        self._tell(Event.DONE, step.text, seconds=time.monotonic() - started)

    def receive(self) -> dict[str, Any] | None:
        """The next JSON object on stdin, or None at its end. Raises InvalidInput for anything else."""
        line = sys.stdin.readline()
        if not line:
            return None
        try:
            document = json.loads(line)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise InvalidInput(f"{line.strip()[:80]!r} is not a JSON object", hint="write one object a line")
        return document

    def ask(
        self,
        question: str,
        *,
        default: str | None,
        flag: str,
        variable: str,
        known: Callable[[], Sequence[tuple[str, str]]] = tuple,
    ) -> str:
        """Ask on a terminal; elsewhere take the default, or fail naming the flag and the variable.

        `known` gives answers (value, label) that may be meant; it is called only if somebody is asked.
        """
        answer = None
        if self._asks:
            self._list(known())
            answer = str(typer.prompt(question, default=default, err=True))
        elif self._streams_questions:
            answer = self._inquire("text", question, default=default, choices=known())
        if answer or default is not None:
            return answer or default or ""
        raise InvalidInput(f"{question} is not given", hint=f"pass {flag} or set {variable}", param=flag)

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
        values = [value for value, _ in choices]
        answer = None
        if self._asks and len(choices) > 1:
            self._list(choices)
            while (answer := typer.prompt(question, default=default or values[0], err=True)) not in values:
                self.note(f"{answer!r} is none of them")
        elif self._streams_questions:
            answer = self._inquire("choice", question, default=default or values[0], choices=choices)
        if answer is not None:
            if answer not in values:
                raise InvalidInput(
                    f"{answer!r} is none of {', '.join(values)}", hint=f"pass {flag}", param=flag
                )
            return str(answer)
        if default is None and len(choices) == 1:
            return values[0]
        return self.ask(question, default=default, flag=flag, variable=variable)

    def ask_secret(self, question: str) -> str:
        """A text that is not shown while it is typed; elsewhere the first line of stdin."""
        if self._asks:
            answer = str(typer.prompt(question, hide_input=True, err=True))
        elif self.streams:
            answer = self._inquire("secret", question) or ""
        else:
            answer = sys.stdin.readline().rstrip("\r\n")
        if not answer:
            raise InvalidInput(f"{question} is not given", hint="type it, or pipe it in")
        return answer

    def confirm(self, question: str, *, assume_yes: bool) -> None:
        """Go on, or raise: Abort on a no, InvalidInput where nobody can be asked."""
        if assume_yes:
            return
        if self._asks:
            typer.confirm(question, abort=True, err=True)
            return
        answer = self._inquire("yes_no", question, default="no") if self._streams_questions else None
        if answer is None:
            raise InvalidInput(f"{question} needs a yes", hint="pass --yes", param="--yes")
        if answer != "yes":
            raise typer.Abort

    @property
    def asks(self) -> bool:
        """Whether somebody is there to answer."""
        return self._asks or self._streams_questions

    def agrees(self, question: str, *, default: bool) -> bool:
        """A yes or no on a terminal; elsewhere, and after one more Ctrl+C, the default."""
        try:
            if self._asks:
                return bool(typer.confirm(question, default=default, err=True))
            if self._streams_questions:
                answer = self._inquire("yes_no", question, default="yes" if default else "no")
                return default if answer is None else answer == "yes"
        except (typer.Abort, KeyboardInterrupt):
            pass
        return default

    def error(self, error: RemoraError) -> None:
        """What happened and what to do next."""
        if self.mode is Mode.JSON:
            body = {"code": error.code, "message": error.message, "hint": error.hint, "param": error.param}
            following = next_command(error.hint)
            self.result("error", {"error": body, "next": following, "exit_code": error.exit_code})
            return
        self._err.print(f"Error ({error.code}): {error.message}", style="red")
        if error.hint:
            self._err.print(f"  → {error.hint}")

    @property
    def _streams_questions(self) -> bool:
        return self.streams and not self.assume_yes

    def _tell(self, event: Event, text: str, *, seconds: float | None = None) -> None:
        """An event on stderr; what is waited for just now is left to a terminal's spinner."""
        if self.streams:
            took = {} if seconds is None else {"seconds": round(seconds, 2)}
            self._err.out(_json("progress", {"event": event, "text": text, **took}))
        elif event in SHOWN:
            mark, style = SHOWN[event]
            took_text = "" if seconds is None else f" ({seconds:.1f}s)"
            self._err.print(f"{mark}{text}{took_text}", style=style or None)

    def _list(self, choices: Sequence[tuple[str, str]]) -> None:
        for value, label in choices:
            self.note(f"  {value}  {label}")

    def _inquire(
        self,
        kind: str,
        question: str,
        *,
        default: str | None = None,
        choices: Sequence[tuple[str, str]] = (),
    ) -> str | None:
        """The answer of the program that reads us, an empty one being the default; None where it has gone.

        Raises Abort if it gave up.
        """
        offered = [{"value": value, "label": label} for value, label in choices]
        document = {"kind": kind, "text": question, "default": default, "choices": offered}
        self._err.out(_json("question", document))
        reply = self.receive()
        if reply is None:
            return None
        answer = reply.get("answer")
        if answer is None:
            raise typer.Abort
        return str(answer) or default


def _json(schema: str, document: Mapping[str, Any], *, indent: int | None = None) -> str:
    return json.dumps({"schema": f"remora.{schema}/v1", **document}, indent=indent, default=str)


def _plain(human: RenderableType) -> str:
    """A text as a terminal without colours would show it."""
    console = Terminal(file=StringIO(), color_system=None, width=_WIDE)
    with console.capture() as shown:
        console.print(human)
    return shown.get().rstrip()
