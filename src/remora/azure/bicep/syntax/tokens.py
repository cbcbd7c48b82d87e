"""Splits Bicep's text into tokens. A string is one token that contains the tokens of its interpolations.

Owns escapes and multi-line strings; the parsers own the grammar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from remora.azure.bicep.syntax.source import Source

TOKEN = re.compile(
    r"""(?P<space>[ \t]+|//[^\n]*|/\*.*?\*/|\#(?:disable|restore)-[^\n]*)
    |(?P<newline>\r?\n)
    |(?P<multiline>\$*''')
    |(?P<string>')
    |(?P<number>[0-9]+)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<symbol>\.\.\.|\.\?|=>|==|!=|=~|!~|&&|\|\||\?\?|<=|>=|::|[@{}\[\]().,:=<>+\-*/%!?|^])""",
    re.VERBOSE | re.DOTALL,
)
PLAIN = re.compile(r"[^'\\$\r\n]+")
ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|([\\'nrt$]))")
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
HIGHEST_CHARACTER = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is newline, string, number, name, symbol or end. `parts` are a string's texts and tokens."""

    kind: str
    text: str
    at: int
    parts: tuple[str | tuple[Token, ...], ...] = ()


def tokenize(source: Source) -> tuple[Token, ...]:
    """All tokens of a file; the last one is `end`. Raises InvalidFile."""
    return _Lexer(source).tokens(0)[0]


@dataclass(frozen=True, slots=True)
class _Lexer:
    source: Source

    def tokens(self, start: int, *, closing: str = "") -> tuple[tuple[Token, ...], int]:
        """The tokens from `start` to the end, or to the unmatched `closing`, and the offset after them."""
        text, at, depth = self.source.text, start, 0
        tokens: list[Token] = []
        while at < len(text):
            match = TOKEN.match(text, at)
            if match is None:
                raise self.source.refuse(at, f"unexpected character {text[at]!r}")
            kind = str(match.lastgroup)
            if kind in ("string", "multiline"):
                token, at = self._multiline(match) if kind == "multiline" else self._string(at)
                tokens.append(token)
                continue
            if closing and match[0] == closing and depth == 0:
                return (*tokens, Token("end", "", at)), match.end()
            depth += (match[0] == "{") - (match[0] == "}")
            if kind != "space":
                tokens.append(Token(kind, match[0], at))
            at = match.end()
        if closing:
            raise self.source.refuse(start, f"this interpolation has no closing {closing!r}")
        return (*tokens, Token("end", "", at)), at

    def _string(self, start: int) -> tuple[Token, int]:
        text, at = self.source.text, start + 1
        parts: list[str | tuple[Token, ...]] = []
        while at < len(text) and text[at] not in "\r\n":
            if text[at] == "'":
                return Token("string", text[start : at + 1], start, self._paired(start, parts)), at + 1
            if text.startswith("${", at):
                tokens, at = self.tokens(at + 2, closing="}")
                parts.append(tokens)
            elif text[at] == "\\":
                escape = ESCAPE.match(text, at)
                if escape is None or int(escape[1] or "0", 16) > HIGHEST_CHARACTER:
                    raise self.source.refuse(at, f"unknown escape {text[at : at + 2]}")
                parts.append(chr(int(escape[1], 16)) if escape[1] else ESCAPES.get(escape[2], escape[2]))
                at = escape.end()
            else:
                plain = PLAIN.match(text, at)
                parts.append(plain[0] if plain else text[at])
                at = plain.end() if plain else at + 1
        raise self.source.refuse(start, "this string is not closed on its line")

    def _paired(
        self, start: int, parts: list[str | tuple[Token, ...]]
    ) -> tuple[str | tuple[Token, ...], ...]:
        """The joined parts. Two escapes can be the halves of one character, as in UTF-16."""
        joined = _joined(parts)
        try:
            return tuple(
                part.encode("utf-16", "surrogatepass").decode("utf-16") if isinstance(part, str) else part
                for part in joined
            )
        except UnicodeDecodeError:
            raise self.source.refuse(start, "this string has half of a surrogate pair") from None

    def _multiline(self, opening: re.Match[str]) -> tuple[Token, int]:
        """A string between triple quotes. It ends at the last three of a run of quotes."""
        text, dollars, start = self.source.text, opening[0].count("$"), opening.start()
        interpolation = "$" * dollars + "{" if dollars else None
        parts: list[str | tuple[Token, ...]] = []
        at = begin = opening.end()
        while at < len(text):
            if text.startswith("'''", at) and not text.startswith("'", at + 3):
                parts.append(text[begin:at])
                token = Token("string", text[start : at + 3], start, _joined(_without_first_newline(parts)))
                return token, at + 3
            if interpolation and text.startswith(interpolation, at) and text[at + dollars] == "{":
                parts.append(text[begin:at])
                tokens, at = self.tokens(at + len(interpolation), closing="}")
                begin = at
                parts.append(tokens)
            else:
                at += 1
        raise self.source.refuse(start, "this string is not closed")


def _without_first_newline(
    parts: list[str | tuple[Token, ...]],
) -> list[str | tuple[Token, ...]]:
    first = parts[0]
    return [first.removeprefix("\r").removeprefix("\n"), *parts[1:]] if isinstance(first, str) else parts


def _joined(parts: list[str | tuple[Token, ...]]) -> tuple[str | tuple[Token, ...], ...]:
    """Join adjacent texts, and drop empty ones."""
    joined: list[str | tuple[Token, ...]] = []
    for part in parts:
        if part == "":
            continue
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return tuple(joined)
