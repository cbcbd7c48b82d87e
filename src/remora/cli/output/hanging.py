"""A line with a title that goes on below its own text, where a terminal is too narrow for all of it.

Elsewhere, as in a file or a pipe, it stays one line. A word that is longer than the terminal is not broken,
so an address can be copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from remora.cli.output.terminal import visible

_LEAST_COLUMNS = 20
"""Of the text; a terminal that has fewer shows it as it is."""


@dataclass(frozen=True, slots=True)
class Hanging:
    """A title and its text. `indent` is where the next lines begin; None is behind the title.

    The text is broken at `between`, a space or what separates its parts.
    """

    title: Text
    text: str
    style: str = ""
    indent: int | None = None
    between: str = " "

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        indent = self.title.cell_len if self.indent is None else self.indent
        columns = options.max_width if console.is_terminal else 0
        head = self.title
        for number, row in enumerate(self._rows(columns, indent)):
            yield Text.assemble(" " * indent if number else head, (row, self.style))

    def _rows(self, columns: int, indent: int) -> Iterator[str]:
        text = visible(self.text)
        if columns < indent + _LEAST_COLUMNS:
            yield text
            return
        for line in text.split("\n"):
            yield from _folded(line.split(self.between), self.between, columns, self.title.cell_len, indent)


def _folded(words: list[str], between: str, columns: int, first: int, indent: int) -> Iterator[str]:
    row, used = words[0], first
    for word in words[1:]:
        if used + cell_len(f"{row}{between}{word}") > columns:
            yield f"{row}{between}".rstrip()
            row, used = word, indent
        else:
            row = f"{row}{between}{word}"
    yield row
