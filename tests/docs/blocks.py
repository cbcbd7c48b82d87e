"""The code blocks of README and docs, and the commands in them. Owns how a page is read; runs nothing.

A comment before a block says what it needs, or who runs it:

    azure                     a subscription
    network, browser, others  the internet; a screen; another's program
    long                      somebody who ends it, or many minutes
    checkout                  a checkout: .github/workflows runs it
    run                       `make test` runs it, and `make test-pages`
    tutorial…, no mark        `make test-pages` runs it
    snippet: NAME             `tests/clients` runs it
    output                    nothing: it is what commands of its scene print; `make test-pages` compares it
    figure                    nothing: nobody prints it

Each block of commands is parsed by `make test`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"(?:^[ ]*<!-- (?P<mark>[\w: -]+?) -->\n)?"
    r"^(?P<indent>[ ]*)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")
SEPARATORS = frozenset({"|", "||", "&&", ";", "&"})
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `mark` is what the comment before it says."""

    page: str
    line: int
    language: str
    mark: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """README and what else stands at the top, docs, and the examples' pages."""
    top = (path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md")
    inner = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/*.md"), *ROOT.glob("editors/vscode/*.md")]
    return sorted([*top, *inner])


def blocks_of(path: Path) -> list[Block]:
    page = path.read_text("utf-8")
    return [
        Block(
            page=path.relative_to(ROOT).as_posix(),
            line=page.count("\n", 0, found.start()) + 1,
            language=found["language"],
            mark=found["mark"] or "",
            text=re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE),
        )
        for found in BLOCK.finditer(page)
    ]


def commands_in(text: str) -> Iterator[list[str]]:
    """The words of each simple command, those inside of `$(…)` too; without assignments before it."""
    for line in re.sub(
        r"<<(\w+)\n.*?^\1$", "", text.replace("\\\n", " "), flags=re.MULTILINE | re.DOTALL
    ).splitlines():
        for inner in SUBSTITUTION.findall(line):
            yield from commands_in(inner)
        lexer = shlex.shlex(SUBSTITUTION.sub("VALUE", line), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        yield from _simple(list(lexer))


def _simple(words: Sequence[str]) -> Iterator[list[str]]:
    command: list[str] = []
    skip = False
    for word in [*words, ";"]:
        if word in SEPARATORS:
            if command:
                yield command
            command, skip = [], False
        elif word in (">", ">>", "<"):
            skip = True
        elif skip:
            skip = False
        elif command or not ASSIGNMENT.match(word):
            command.append(word)
