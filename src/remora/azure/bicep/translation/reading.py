"""Reads a template's JSON, and the expressions in it, as terms. The reverse of `terms.py`; knows no Bicep."""

from __future__ import annotations

import re
from dataclasses import dataclass

from remora.azure.bicep.translation.terms import Access, Call, Items, Json, Literal, Properties, Term

TOKEN = re.compile(
    r"""\s*(?:'(?P<text>(?:[^']|'')*)'
    |(?P<number>-?[0-9]+(?![0-9.eE]))
    |(?P<name>[A-Za-z_][\w$-]*(?:\.[A-Za-z_][\w$-]*)*)
    |(?P<symbol>[()\[\],.]))""",
    re.VERBOSE | re.ASCII,
)


class NotAnExpression(ValueError):
    """A text that is not an expression of a template, as far as `read` knows them."""


def read(value: Json) -> Term:
    """A value of a template as a term. Raises NotAnExpression."""
    if isinstance(value, dict):
        return Properties(tuple((read(key), read(child)) for key, child in value.items()))
    if isinstance(value, list):
        return Items(tuple(read(child) for child in value))
    if isinstance(value, float):
        raise NotAnExpression(f"the number {value} has a fraction")
    if not isinstance(value, str) or not (value.startswith("[") and value.endswith("]")):
        return Literal(value)
    if value.startswith("[["):
        return Literal(value[1:])
    return _Reader(value[1:-1]).whole()


@dataclass(slots=True)
class _Reader:
    text: str
    at: int = 0

    def whole(self) -> Term:
        found = self.term()
        if self.text[self.at :].strip():
            raise self.wrong()
        return found

    def term(self) -> Term:
        kind, text = self.take()
        if kind == "text":
            return Literal(text.replace("''", "'"))
        if kind == "number":
            return Literal(int(text))
        if kind != "name" or not self.took("("):
            raise self.wrong()
        found: Term = Call(text, self.arguments())
        while self.sees(".", "["):
            found = self.part(found)
        return found

    def part(self, base: Term) -> Term:
        if self.took("["):
            found = Access(base, self.term())
            self.expect("]")
            return found
        self.expect(".")
        kind, text = self.take()
        if kind != "name":
            raise self.wrong()
        for name in text.split("."):
            base = Access(base, Literal(name))
        return base

    def arguments(self) -> tuple[Term, ...]:
        found: list[Term] = []
        while not self.took(")"):
            if found:
                self.expect(",")
            found.append(self.term())
        return tuple(found)

    def take(self) -> tuple[str, str]:
        match = TOKEN.match(self.text, self.at)
        if match is None:
            raise self.wrong()
        self.at = match.end()
        kind = str(match.lastgroup)
        return kind, match[kind]

    def sees(self, *symbols: str) -> bool:
        match = TOKEN.match(self.text, self.at)
        return match is not None and match["symbol"] in symbols

    def took(self, symbol: str) -> bool:
        if not self.sees(symbol):
            return False
        self.take()
        return True

    def expect(self, symbol: str) -> None:
        if not self.took(symbol):
            raise self.wrong()

    def wrong(self) -> NotAnExpression:
        return NotAnExpression(
            f"the expression [{self.text[:60]}] is not readable at {self.text[self.at :][:20]!r}"
        )
