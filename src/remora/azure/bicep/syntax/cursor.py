"""A position in a file's tokens, with the operations that all parsers share. Knows no grammar."""

from __future__ import annotations

from dataclasses import dataclass

from remora.azure.bicep.syntax.source import Source
from remora.azure.bicep.syntax.tokens import Token
from remora.errors import InvalidFile


@dataclass(slots=True)
class Cursor:
    """`next` is the current token."""

    source: Source
    tokens: tuple[Token, ...]
    index: int = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.index]

    def sees(self, *texts: str) -> bool:
        """Whether the next token is one of these symbols or words."""
        return self.next.kind in ("symbol", "name") and self.next.text in texts

    def sees_after_newlines(self, *texts: str) -> bool:
        """As `sees`, on this line or a later one."""
        index = self.index
        while self.tokens[index].kind == "newline":
            index += 1
        return self.tokens[index].kind == "symbol" and self.tokens[index].text in texts

    def take(self) -> Token:
        token = self.next
        if token.kind != "end":
            self.index += 1
        return token

    def took(self, *texts: str) -> bool:
        """Move past the next token if it is one of these."""
        if not self.sees(*texts):
            return False
        self.index += 1
        return True

    def expect(self, text: str) -> Token:
        if not self.sees(text):
            raise self.unexpected(repr(text))
        return self.take()

    def name(self, what: str) -> Token:
        if self.next.kind != "name":
            raise self.unexpected(what)
        return self.take()

    def skip_newlines(self) -> None:
        while self.next.kind == "newline":
            self.index += 1

    def skip_separators(self) -> None:
        while self.next.kind == "newline" or self.sees(","):
            self.take()

    def end_of_item(self, closing: str) -> None:
        """Move past what separates an item from the next one. Raises InvalidFile if nothing does."""
        if not self.sees(closing, ",") and self.next.kind != "newline":
            raise self.unexpected(f"a new line or {closing!r}")
        self.skip_separators()

    def unexpected(self, wanted: str) -> InvalidFile:
        found = {"newline": "the end of the line", "end": "the end"}.get(self.next.kind, self.next.text[:40])
        return self.source.refuse(self.next.at, f"expected {wanted}, found {found}")
