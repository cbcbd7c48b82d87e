"""The language inside `"[…]"`: text → tree → value. Owns the grammar and the evaluation of a tree.

    expression := string | integer | call
    call       := name {"." name} "(" [expression {"," expression}] ")" {"." name | "[" expression "]"}

Does not know any function: `Call` nodes are evaluated through the caller's function, which maps a lower-case
name and its arguments to a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from containerapps_emulator.state import Json

MAX_EXPRESSION_CHARACTERS = 24_576
MAX_DEPTH = 64

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>-?\d+)|(?P<name>[A-Za-z_][\w$]*)|(?P<mark>[()\[\],.]))"
)


class ExpressionError(Exception):
    """The template is invalid; the message says where and why, in Azure's words."""


class NotDeployedYetError(ExpressionError):
    """The value depends on a deployed resource, which cannot be read at this place or time."""


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | int


@dataclass(frozen=True, slots=True)
class Call:
    """A function call; `name` is lower-case."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Access:
    """`source.key` or `source[key]`."""

    source: Node
    key: Node


Node = Literal | Call | Access
CallFunction = Callable[[Call, Callable[[Node], Any]], Any]


def is_expression(text: str) -> bool:
    """`[…]` is an expression; `[[…` is an escaped bracket, and `[…` without an end is plain text."""
    return text.startswith("[") and text.endswith("]") and not text.startswith("[[")


@lru_cache(maxsize=4096)
def parse(text: str) -> Node:
    """The tree of a whole `[…]` string. Raises ExpressionError."""
    if len(text) > MAX_EXPRESSION_CHARACTERS:
        raise ExpressionError(
            f"The template language expression has {len(text)} characters;"
            f" the limit is {MAX_EXPRESSION_CHARACTERS}."
        )
    return _Parser(text[1:-1]).parse()


def calls_in(value: Any) -> Iterator[Call]:
    """Every function call in every expression of a template value, including nested ones."""
    if isinstance(value, str) and is_expression(value):
        yield from _calls_of(parse(value))
    elif isinstance(value, list):
        for item in value:
            yield from calls_in(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from calls_in(key)
            yield from calls_in(item)


def evaluate_node(node: Node, call: CallFunction) -> Any:
    """The value of a tree."""
    match node:
        case Literal(value):
            return value
        case Call():
            return call(node, lambda argument: evaluate_node(argument, call))
        case Access(source, key):
            return _access(evaluate_node(source, call), evaluate_node(key, call))


def evaluate_text(text: str, call: CallFunction) -> Any:
    """The value of a string: that of its expression, or the string itself without the escape."""
    if is_expression(text):
        value = evaluate_node(parse(text), call)
        if callable(value):
            raise ExpressionError(
                "A lambda is not expected at this location: it is for functions such as map."
            )
        return value
    return text[1:] if text.startswith("[[") else text


def evaluate_key(key: str, call: CallFunction) -> str:
    """As `evaluate_text`, for the name of a property, which must be a string."""
    result = evaluate_text(key, call)
    if not isinstance(result, str):
        raise ExpressionError(
            f"The property name '{key}' evaluates to {type(result).__name__}, not a string."
        )
    return result


def _calls_of(node: Node) -> Iterator[Call]:
    if isinstance(node, Call):
        yield node
    children: Sequence[Node] = ()
    match node:
        case Call(_, arguments):
            children = arguments
        case Access(source, key):
            children = (source, key)
    for child in children:
        yield from _calls_of(child)


def _access(source: Any, key: Any) -> Any:
    if isinstance(source, dict) and isinstance(key, str):
        return _property(source, key)
    if isinstance(source, list) and isinstance(key, int):
        if 0 <= key < len(source):
            return source[key]
        raise ExpressionError(
            f"The language expression property array index '{key}' is out of bounds: the array has"
            f" {len(source)} item(s)."
        )
    raise ExpressionError(
        f"The language expression property '{key}' can't be evaluated on a value of type"
        f" '{type_name(source)}'."
    )


def _property(source: Json, key: str) -> Any:
    """Compare property names case-insensitively, as Azure does."""
    if key in source:
        return source[key]
    for name, value in source.items():
        if name.lower() == key.lower():
            return value
    available = ", ".join(source)
    raise ExpressionError(
        f"The language expression property '{key}' doesn't exist, available properties are '{available}'."
    )


def type_name(value: Any) -> str:
    """Azure's name for the type of a value."""
    if value is None:
        return "Null"
    names = {bool: "Boolean", int: "Integer", float: "Float", str: "String", list: "Array", dict: "Object"}
    return names.get(type(value), "Lambda")


class _Parser:
    """Recursive descent over one expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._tokenise())
        self._next = 0
        self._depth = 0

    def parse(self) -> Node:
        node = self._expression()
        if self._next < len(self._tokens):
            raise self._unexpected()
        return node

    def _tokenise(self) -> Iterator[tuple[str, str]]:
        position = 0
        end = len(self._text.rstrip())
        while position < end:
            match = _TOKEN.match(self._text, position)
            if match is None or match.lastgroup is None:
                raise ExpressionError(
                    f"Unable to parse language expression '{self._text}': unexpected character at position"
                    f" '{position}'."
                )
            position = match.end()
            yield match.lastgroup, match[match.lastgroup]

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"The template language expression is nested deeper than {MAX_DEPTH}.")
        kind, token = self._take()
        match kind:
            case "string":
                node: Node = Literal(token[1:-1].replace("''", "'"))
            case "number":
                node = Literal(int(token))
            case "name":
                node = self._call(token)
            case _:
                raise self._unexpected(back=1)
        node = self._accesses(node)
        self._depth -= 1
        return node

    def _call(self, name: str) -> Node:
        while self._accept("."):  # a function that the template defines: namespace.name
            kind, token = self._take()
            if kind != "name":
                raise self._unexpected(back=1)
            name = f"{name}.{token}"
        self._expect("(")
        arguments: list[Node] = []
        while not self._accept(")"):
            if arguments:
                self._expect(",")
            arguments.append(self._expression())
        return Call(name.lower(), tuple(arguments))

    def _accesses(self, node: Node) -> Node:
        for _ in range(MAX_DEPTH):
            if self._accept("."):
                kind, token = self._take()
                if kind != "name":
                    raise self._unexpected(back=1)
                node = Access(node, Literal(token))
            elif self._accept("["):
                node = Access(node, self._expression())
                self._expect("]")
            else:
                return node
        raise ExpressionError(f"The template language expression is nested deeper than {MAX_DEPTH}.")

    def _accept(self, mark: str) -> bool:
        if self._next < len(self._tokens) and self._tokens[self._next] == ("mark", mark):
            self._next += 1
            return True
        return False

    def _expect(self, mark: str) -> None:
        if not self._accept(mark):
            raise self._unexpected(f"'{mark}'")

    def _take(self) -> tuple[str, str]:
        if self._next >= len(self._tokens):
            raise self._unexpected()
        self._next += 1
        return self._tokens[self._next - 1]

    def _unexpected(self, wanted: str = "", *, back: int = 0) -> ExpressionError:
        at = self._next - back
        found = f"'{self._tokens[at][1]}'" if at < len(self._tokens) else "the end"
        expected = f", expected {wanted}" if wanted else ""
        return ExpressionError(
            f"Unable to parse language expression '{self._text}': found {found}{expected}."
        )
