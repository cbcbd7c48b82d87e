"""The terms of a template, and their form as JSON or in ARM's expression language. Knows no Bicep."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
INT_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Literal:
    value: bool | int | str | None


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class Access:
    """`base.key` or `base[key]`."""

    base: Term
    key: Term


@dataclass(frozen=True, slots=True)
class Items:
    items: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Copy:
    """An array made by a loop: `body` for each item of `source`."""

    source: Term
    body: Term


@dataclass(frozen=True, slots=True)
class Properties:
    """An object. A property that is a loop is a Copy with a literal key; it exists only in JSON."""

    pairs: tuple[tuple[Term, Term | Copy], ...]


Term = Literal | Call | Access | Items | Properties


def call(name: str, *arguments: Term | str | int) -> Call:
    """A call; texts and numbers become literals."""
    return Call(name, tuple(term(argument) for argument in arguments))


def access(base: Term, *keys: Term | str | int) -> Term:
    """Access one key after another."""
    for key in keys:
        base = Access(base, term(key))
    return base


def term(value: Term | str | int) -> Term:
    """A text or number as a literal."""
    return Literal(value) if isinstance(value, str | int) else value


def from_json(value: Json) -> Term:
    """A JSON document as a term; a text that looks like an expression stays a text."""
    if isinstance(value, dict):
        return Properties(tuple((Literal(key), from_json(child)) for key, child in value.items()))
    if isinstance(value, list):
        return Items(tuple(from_json(child) for child in value))
    return Literal(value)


def to_json(value: Term) -> Json:
    """A term in a template's form: literal JSON if it is literal, else "[expression]"."""
    if isinstance(value, Properties):
        return to_object(value)
    if isinstance(value, Items):
        return [to_json(item) for item in value.items]
    if isinstance(value, Literal):
        if isinstance(value.value, str) and value.value.startswith("[") and value.value.endswith("]"):
            return f"[{value.value}"
        return value.value
    return f"[{to_text(value)}]"


def to_object(value: Properties) -> dict[str, Json]:
    """An object as JSON; its loops become its `copy`."""
    copies = [(key, child) for key, child in value.pairs if isinstance(child, Copy)]
    document: dict[str, Json] = {}
    if copies:
        document["copy"] = [copy_document(child, str(to_json(key))) for key, child in copies]
    for key, child in value.pairs:
        if not isinstance(child, Copy):
            document[key_of(str(to_json(key)))] = to_json(child)
    return document


def key_of(name: str) -> str:
    """The key of a property; `copy` alone would be a loop."""
    return f"[string('{name}')]" if name.lower() == "copy" else name


def to_text(value: Term) -> str:
    """A term in ARM's expression language."""
    if isinstance(value, Literal):
        return _literal(value.value)
    if isinstance(value, Call):
        return f"{value.name}({', '.join(to_text(argument) for argument in value.arguments)})"
    if isinstance(value, Items):
        return to_text(Call("createArray", value.items))
    if isinstance(value, Properties):
        parts = [part for key, child in value.pairs if not isinstance(child, Copy) for part in (key, child)]
        return to_text(Call("createObject", tuple(parts)))
    key = value.key.value if isinstance(value.key, Literal) else None
    base = to_text(_callable(value.base))
    if isinstance(key, str) and IDENTIFIER.fullmatch(key):
        return f"{base}.{key}"
    return f"{base}[{to_text(value.key)}]"


def copy_document(copy: Copy, name: str | None = None, *, as_text: bool = False) -> dict[str, Json]:
    """A loop as the `copy` of a property, variable or output; with `as_text`, an object is an expression."""
    document: dict[str, Json] = {"name": name} if name is not None else {}
    document["count"] = to_json(call("length", copy.source))
    body = copy.body
    # The input of a copy can only be an object or a text.
    literal = isinstance(body, Properties) and not as_text
    literal = literal or (isinstance(body, Literal) and isinstance(body.value, str))
    document["input"] = to_json(body) if literal else f"[{to_text(_callable(body))}]"
    return document


def calls(value: Term | Copy) -> Iterator[Call]:
    """Every call in a term."""
    if isinstance(value, Call):
        yield value
    for part in _parts(value):
        yield from calls(part)


def has_loop(value: Term | Copy) -> bool:
    """Whether a loop is in a term, which an expression cannot have."""
    return isinstance(value, Copy) or any(has_loop(part) for part in _parts(value))


def rewritten(value: Term, change: Callable[[Call], Call]) -> Term:
    """A term with each of its calls changed, from the inside out."""
    if isinstance(value, Call):
        return change(Call(value.name, tuple(rewritten(argument, change) for argument in value.arguments)))
    if isinstance(value, Access):
        return Access(rewritten(value.base, change), rewritten(value.key, change))
    if isinstance(value, Items):
        return Items(tuple(rewritten(item, change) for item in value.items))
    if isinstance(value, Properties):
        return Properties(
            tuple((rewritten(key, change), _plain(child, change)) for key, child in value.pairs)
        )
    return value


def _plain(value: Term | Copy, change: Callable[[Call], Call]) -> Term | Copy:
    if isinstance(value, Copy):
        return Copy(rewritten(value.source, change), rewritten(value.body, change))
    return rewritten(value, change)


def _parts(value: Term | Copy) -> tuple[Term | Copy, ...]:
    if isinstance(value, Call):
        return value.arguments
    if isinstance(value, Access):
        return (value.base, value.key)
    if isinstance(value, Items):
        return value.items
    if isinstance(value, Copy):
        return (value.source, value.body)
    if isinstance(value, Properties):
        return tuple(part for pair in value.pairs for part in pair)
    return ()


def _literal(value: bool | int | str | None) -> str:
    if value is None:
        return "null()"
    if isinstance(value, bool):
        return "true()" if value else "false()"
    if isinstance(value, int):
        return str(value) if -INT_MAX <= value <= INT_MAX else f"json('{value}')"
    return "'" + value.replace("'", "''") + "'"


def _callable(value: Term) -> Term:
    """A term that can start an expression, which a bare text or number cannot."""
    if isinstance(value, Literal) and isinstance(value.value, str):
        return Call("string", (value,))
    if isinstance(value, Literal) and type(value.value) is int:
        return Call("int", (value,))
    return value
