"""The files that a Bicep file names: modules, and contents loaded at compile time.

Nothing outside of one folder is ever read, whatever path is written and wherever links lead.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LONGEST_TEXT = 131_072  # characters, as in the Bicep CLI
LARGEST_FILE = 4 * 2**20  # the largest template that Azure takes
ENCODINGS = {
    "us-ascii": "ascii",
    "iso-8859-1": "latin-1",
    "utf-8": "utf-8-sig",
    "utf-16": "utf-16",
    "utf-16BE": "utf-16-be",
}


class Unreadable(Exception):
    """Why a file cannot be used; the caller knows where it was named."""


@dataclass(frozen=True, slots=True)
class Files:
    """Reads beside `folder`, within `root`. `trail` has the files being compiled, outermost first."""

    root: Path
    folder: Path
    trail: tuple[Path, ...] = ()

    def find(self, name: str) -> Path:
        """The file of that relative path. Raises Unreadable."""
        if name.startswith("/") or "\\" in name:
            raise Unreadable(f"{name!r} is not a relative path with forward slashes")
        try:
            path = (self.folder / name).resolve()
            is_file = path.is_file()
        except (OSError, ValueError) as error:  # a name that is too long, a NUL in it
            raise Unreadable(f"{name!r} is no path: {error}") from None
        if not path.is_relative_to(self.root.resolve()):
            raise Unreadable(f"{name!r} leads out of {self.root}, and nothing is read from there")
        if not is_file:
            raise Unreadable(f"{name!r} does not exist")
        return path

    def content(self, name: str) -> bytes:
        """What is in a file. Raises Unreadable."""
        path = self.find(name)
        if path.stat().st_size > LARGEST_FILE:
            raise Unreadable(f"{name!r} has more than {LARGEST_FILE} bytes")
        try:
            return path.read_bytes()
        except OSError as error:
            raise Unreadable(f"{name!r} cannot be read: {error.strerror}") from None

    def text(self, name: str, encoding: str = "utf-8") -> str:
        """A text file's content. Raises Unreadable."""
        if encoding not in ENCODINGS:
            raise Unreadable(f"the encoding {encoding!r} is none of {', '.join(ENCODINGS)}")
        try:
            text = self.content(name).decode(ENCODINGS[encoding])
        except UnicodeDecodeError:
            raise Unreadable(f"{name!r} is not {encoding}") from None
        if len(text) > LONGEST_TEXT:
            raise Unreadable(f"{name!r} has more than {LONGEST_TEXT} characters")
        return text.removeprefix("\ufeff")

    def beside(self, path: Path) -> Files:
        """The same root, seen from a module. Raises Unreadable where the module contains itself."""
        if path in self.trail:
            raise Unreadable(f"{path.name!r} is a module of itself")
        return Files(self.root, path.parent, (*self.trail, path))
