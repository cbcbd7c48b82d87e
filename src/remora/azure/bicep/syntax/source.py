"""A Bicep file's text, its positions, and the error for a position. Knows no grammar."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from remora.errors import InvalidFile

CLI_HINT = (
    "if the Bicep CLI compiles it, install that (`az bicep install`, or https://aka.ms/bicep-install):"
    " Remora uses the CLI if it finds one"
)


@dataclass(frozen=True, slots=True)
class Position:
    """A position in a file; line and column count from 1, as in editors."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Source:
    """A file's text; `path` is for messages."""

    path: Path
    text: str

    def position(self, offset: int) -> Position:
        """The position of the character at `offset`."""
        line_start = self.text.rfind("\n", 0, offset) + 1
        return Position(self.text.count("\n", 0, offset) + 1, offset - line_start + 1)

    def refuse(self, at: int, what: str) -> InvalidFile:
        """The error for the text at an offset; the caller raises it."""
        position = self.position(at)
        return InvalidFile(f"{self.path}:{position.line}:{position.column}: {what}", hint=CLI_HINT)
