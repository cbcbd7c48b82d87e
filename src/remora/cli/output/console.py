"""The only place that prints. Data goes to stdout, progress and questions to stderr.

In `json` mode stdout has exactly one document with a `schema` field, also for an error. In `jsonl` mode,
for programs that show a command's progress, every line is one JSON object: results on stdout, progress
and questions on stderr. Answers are read from stdin as `{"answer": …}`; null cancels.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from enum import StrEnum
from io import StringIO
from typing import Annotated, Any, Final

import typer
from rich.console import RenderableType
from rich.text import Text

from remora.cli.output.hanging import Hanging
from remora.cli.output.next_command import next_command
from remora.cli.output.step import SHOWN, Event, Step
from remora.cli.output.streams import STDOUT, printing, telling
from remora.cli.output.terminal import Terminal
from remora.errors import CannotWrite, InvalidInput, RemoraError, listed

ERRORS_PAGE: Final = "docs/reference/errors.md"
"""It has a section for each code."""
_WIDE = 200
_INDENT = 4  # of a message that goes on in the next row


class Mode(StrEnum):
    """The format of a command's output."""

    HUMAN = "human"
    JSON = "json"
    JSONL = "jsonl"


OutputOption = Annotated[
    Mode,
    typer.Option(
        "--output",
        "-o",
        envvar="REMORA_OUTPUT",
        help="Print text, one JSON document, or JSON lines with progress and questions.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Answer every question with its default.")]


class Output:
    """Everything that a command prints and asks."""

    def __init__(self, mode: Mode = Mode.HUMAN, *, assume_yes: bool = False) -> None:
        self.streams = mode is Mode.JSONL
        self.mode = Mode.JSON if self.streams else mode
        self.assume_yes = assume_yes
        self._out = Terminal()
        self._err = Terminal(stderr=True)
        self._warned: set[str] = set()
        self._asks = sys.stdin.isatty() and self._err.is_terminal and not assume_yes

    def result(
        self,
        schema: str,
        document: Mapping[str, Any],
        human: RenderableType | None = None,
        *,
        summary: bool = True,
    ) -> None:
        """Print the command's result: `document` in json mode, `human` otherwise.

        jsonl mode prints both, `human` as an event, so that programs need not format the document again.
        `summary` is false for a result that must not get into a log.
        """
        if self.streams and human is not None and summary:
            self._tell(Event.SUMMARY, _plain(human))
        with printing():
            if self.mode is Mode.JSON:
                self._out.out(_json(schema, document, indent=None if self.streams else 2))
            elif human is not None:
                self._out.print(human)

    def line(self, text: str) -> None:
        """One line of plain data on stdout (a URL, a log line)."""
        with printing():
            self._out.out(text)

    @property
    def is_watched(self) -> bool:
        """Whether stdout is a terminal that shows text for people."""
        return self.mode is Mode.HUMAN and self._out.is_terminal

    def styled(self, text: RenderableType) -> None:
        """One line of data in colours, for a terminal; its text must have no control characters."""
        with printing():
            self._out.print(text)

    def write(self, text: str) -> None:
        """Data on stdout as it arrives, without a newline."""
        with printing():
            sys.stdout.write(text)

    def note(self, text: str) -> None:
        """A note on stderr."""
        self._tell(Event.NOTE, text)

    def warn(self, text: str) -> None:
        """A warning on stderr, once: several steps of a command can meet the same thing."""
        if text not in self._warned:
            self._warned.add(text)
            self._tell(Event.WARNING, text)

    @contextmanager
    def step(self, label: str) -> Iterator[Step]:
        """A step of a command: a spinner on a terminal, lines elsewhere, and the time it took.

        Call the yielded object to replace the text of the final line.
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
            raise InvalidInput(
                f"{line.strip()[:80]!r} is not a JSON object", hint="write one object per line"
            )
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
        """Ask on a terminal; elsewhere take the default, or raise an error that names flag and variable.

        `known` returns suggested answers (value, label); it is called only if the question is asked.
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
        """One of `choices` (value, label); without a terminal, the default or the only one."""
        values = [value for value, _ in choices]
        answer = None
        if self._asks and len(choices) > 1:
            self._list(choices)
            while (answer := typer.prompt(question, default=default or values[0], err=True)) not in values:
                self.note(f"{answer!r} is not one of them")
        elif self._streams_questions:
            answer = self._inquire("choice", question, default=default or values[0], choices=choices)
        if answer is not None:
            if answer not in values:
                raise InvalidInput(
                    f"{answer!r} is not one of {listed(values)}", hint=f"pass {flag}", param=flag
                )
            return str(answer)
        if default is None and len(choices) == 1:
            return values[0]
        return self.ask(question, default=default, flag=flag, variable=variable)

    def ask_secret(self, question: str) -> str:
        """Ask for a text without showing it; without a terminal, read the first line of stdin."""
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
        """Return on a yes. Raises Abort on a no, InvalidInput without a terminal."""
        if assume_yes:
            return
        if self._asks:
            typer.confirm(question, abort=True, err=True)
            return
        answer = self._inquire("yes_no", question, default="no") if self._streams_questions else None
        if answer is None:
            message = f"cannot ask for confirmation without a terminal: {question}"
            raise InvalidInput(message, hint="pass --yes", param="--yes")
        if answer != "yes":
            raise typer.Abort

    @property
    def asks(self) -> bool:
        """Whether questions can be answered."""
        return self._asks or self._streams_questions

    def agrees(self, question: str, *, default: bool) -> bool:
        """Ask for yes or no on a terminal; elsewhere, and after a second Ctrl+C, return the default."""
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
        """Print what happened, what to do next, the notes that were added, and how to read about the code."""
        notes = list(getattr(error, "__notes__", ()))
        if self.mode is Mode.JSON and error.param != STDOUT:
            body: dict[str, Any] = {"code": error.code, "message": error.message, "hint": error.hint}
            body["param"] = error.param
            body["why"] = notes or None
            body["docs"] = f"{ERRORS_PAGE}#{error.code}"
            following = next_command(error.hint)
            with suppress(CannotWrite):  # stderr still gets the error
                self.result("error", {"error": body, "next": following, "exit_code": error.exit_code})
                return
        with telling():
            head = Text(f"Error ({error.code}): ", style="red")
            self._err.print(Hanging(head, error.message, "red", indent=_INDENT))
            if error.hint:
                self._err.print(Hanging(Text("  → "), error.hint))
            for note in notes:
                self._err.print(Hanging(Text("  "), note))
            more = f"remora explain {error.code}"
            if self._err.is_terminal and more not in error.hint:  # a log has the code, and that is enough
                self._err.print(f"  more: {more}", style="dim")

    @property
    def _streams_questions(self) -> bool:
        return self.streams and not self.assume_yes

    def _tell(self, event: Event, text: str, *, seconds: float | None = None) -> None:
        """Print an event on stderr, except what a terminal's spinner already shows."""
        with telling():
            self._show(event, text, seconds)

    def _show(self, event: Event, text: str, seconds: float | None) -> None:
        if self.streams:
            took = {} if seconds is None else {"seconds": round(seconds, 2)}
            self._err.out(_json("progress", {"event": event, "text": text, **took}))
        elif event in SHOWN:
            mark, style = SHOWN[event]
            took_text = "" if seconds is None else f" ({seconds:.1f}s)"
            self._err.print(Hanging(Text(mark, style), f"{text}{took_text}", style, indent=_INDENT))

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
        """The answer of the calling program; an empty one means the default, None that stdin has ended.

        Raises Abort if the program cancelled.
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
