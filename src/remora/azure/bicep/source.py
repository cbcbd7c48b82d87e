"""A Bicep file as text with positions, and the one way to refuse what is in it. Knows no grammar."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from remora.errors import InvalidFile

CLI_HINT = (
    "if the Bicep CLI takes it, install that (`az bicep install`, or https://aka.ms/bicep-install):"
    " Remora compiles with the CLI where it finds one"
)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file; both count from 1, as editors do."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Source:
    """A file's text; `path` is for messages."""

    path: Path
    text: str

    def position(self, offset: int) -> Position:
        """Where the character at `offset` stands."""
        line_start = self.text.rfind("\n", 0, offset) + 1
        return Position(self.text.count("\n", 0, offset) + 1, offset - line_start + 1)

    def refuse(self, at: int, what: str) -> InvalidFile:
        """The error for what stands at an offset, to be raised by the caller."""
        position = self.position(at)
        return InvalidFile(f"{self.path}:{position.line}:{position.column}: {what}", hint=CLI_HINT)
