"""The files that a Bicep file refers to: modules, and contents loaded at compile time.

Owns the check that nothing outside one folder is read, including through links. Compiles nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LONGEST_TEXT = 131_072  # characters, as in the Bicep CLI
LARGEST_FILE = 4 * 2**20  # the largest template that Azure accepts
ENCODINGS = {
    "us-ascii": "ascii",
    "iso-8859-1": "latin-1",
    "utf-8": "utf-8-sig",
    "utf-16": "utf-16",
    "utf-16BE": "utf-16-be",
}


class Unreadable(Exception):
    """The reason why a file cannot be used; the caller adds the position."""


@dataclass(frozen=True, slots=True)
class Files:
    """Reads files relative to `folder`, within `root`. `trail`: the files being compiled, outermost first."""

    root: Path
    folder: Path
    trail: tuple[Path, ...] = ()

    def find(self, name: str) -> Path:
        """The file at a relative path. Raises Unreadable."""
        if name.startswith("/") or "\\" in name:
            raise Unreadable(f"{name!r} is not a relative path with forward slashes")
        try:
            path = (self.folder / name).resolve()
            is_file = path.is_file()
        except (OSError, ValueError) as error:  # a name that is too long, a NUL in it
            raise Unreadable(f"{name!r} is not a valid path: {error}") from None
        if not path.is_relative_to(self.root.resolve()):
            raise Unreadable(f"{name!r} is outside {self.root}, and only files inside are read")
        if not is_file:
            raise Unreadable(f"{name!r} does not exist")
        return path

    def content(self, name: str) -> bytes:
        """A file's content as bytes. Raises Unreadable."""
        path = self.find(name)
        if path.stat().st_size > LARGEST_FILE:
            raise Unreadable(f"{name!r} has more than {LARGEST_FILE} bytes")
        try:
            return path.read_bytes()
        except OSError as error:
            raise Unreadable(f"{name!r} cannot be read: {error.strerror}") from None

    def text(self, name: str, encoding: str = "utf-8") -> str:
        """A file's content as text. Raises Unreadable."""
        if encoding not in ENCODINGS:
            raise Unreadable(f"unknown encoding {encoding!r}; known encodings: {', '.join(ENCODINGS)}")
        try:
            text = self.content(name).decode(ENCODINGS[encoding])
        except UnicodeDecodeError:
            raise Unreadable(f"{name!r} is not {encoding}") from None
        if len(text) > LONGEST_TEXT:
            raise Unreadable(f"{name!r} has more than {LONGEST_TEXT} characters")
        return text.removeprefix("\ufeff")

    def beside(self, path: Path) -> Files:
        """The files relative to a module, in the same root. Raises Unreadable if it includes itself."""
        if path in self.trail:
            raise Unreadable(f"{path.name!r} includes itself as a module")
        return Files(self.root, path.parent, (*self.trail, path))
