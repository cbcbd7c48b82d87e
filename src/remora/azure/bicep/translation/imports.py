"""Resolves imports: what a file takes from others with all that belongs to it, and its names in the template.

Owns the order and the names that the Bicep CLI gives. Reads files through `artifacts.py`, translates nothing.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.translation.artifacts import Stored, opened
from remora.azure.bicep.translation.functions import function_reference
from remora.azure.bicep.translation.libraries import (
    DEFINITIONS,
    IMPORTED_FROM,
    Key,
    Kind,
    Library,
    Symbol,
    Unusable,
    is_identifier,
    renamed,
    used,
)
from remora.azure.bicep.translation.reading import NotAnExpression
from remora.azure.bicep.translation.symbols import Program
from remora.azure.bicep.translation.templates import library
from remora.azure.bicep.translation.terms import Json

ORDER = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz"
"""The order of characters that .NET sorts names by, whatever the language of the machine."""


def declare_import(program: Program, node: nodes.Import) -> None:
    """Add what a file exports to the program. Raises InvalidFile if it does not export it."""
    program.imports.append(node)
    found = opened(program, node.path)
    try:
        offered = (
            library(found.template, found.origin)
            if isinstance(found, Stored)
            else program.compiler.library(found.source, found.files, found.origin)
        )
    except (Unusable, NotAnExpression) as error:
        raise program.source.refuse(node.path.at, f"the module {node.path.literal!r}: {error}") from None
    if node.space is not None:
        program.spaces[node.space] = offered
    for name in node.names:
        if name.name not in offered.exported:
            raise program.source.refuse(name.at, f"{node.path.literal!r} does not export {name.name!r}")
        if name.alias in program.imported:
            raise program.source.refuse(name.at, f"{name.alias!r} is declared twice")
        program.imported[name.alias] = offered.exported[name.name]


def link(program: Program) -> None:
    """Name everything that the template takes from other files. Raises InvalidFile."""
    if not program.imports:
        return
    try:
        every = _with_what_they_use(program)
    except Unusable as error:
        raise program.source.refuse(
            program.imports[0].at, f"what is imported cannot be used: {error}"
        ) from None
    program.names = {symbol.key: alias for alias, symbol in program.imported.items()}
    numbers: dict[str, int] = {}
    count = 1
    for _, symbol in sorted(((_place(program, symbol), symbol) for symbol in every.values()), key=_in_order):
        if symbol.key in program.names:
            continue
        origin = _origin(program, symbol)
        if origin not in numbers:
            numbers[origin], count = count, count + 1
        name = symbol.name
        if not is_identifier(name):
            name, count = f"_{count}", count + 1
        program.names[symbol.key] = f"_{numbers[origin]}.{name}"
    named = {program.names[key]: symbol for key, symbol in every.items()}
    program.linked = dict(sorted(named.items(), key=_in_order))
    program.definitions.update(
        (name, document) for name, _, document in taken(program, "type") if isinstance(document, dict)
    )


def taken(program: Program, kind: Kind) -> Iterator[tuple[str, Symbol, Json]]:
    """The name, symbol and renamed document of everything of a kind that comes from other files."""
    for name, symbol in program.linked.items():
        if symbol.kind != kind:
            continue
        document = renamed(symbol, name, partial(_rename, program, symbol.library))
        short = name.rpartition(".")[2]
        if kind != "variable" and isinstance(document, dict):
            same = name.endswith(symbol.name) if kind == "type" else short == symbol.name
            source: dict[str, Json] = {"sourceTemplate": _origin(program, symbol)}
            source |= {} if same else {"originalIdentifier": symbol.name}
            metadata = document.get("metadata")
            before = metadata if isinstance(metadata, dict) else {}
            former = before.get(IMPORTED_FROM)
            source = {**former, **source} if isinstance(former, dict) else source
            document = {**document, "metadata": {**before, IMPORTED_FROM: source}}
        yield name, symbol, document


def _with_what_they_use(program: Program) -> dict[Key, Symbol]:
    queue = deque(program.imported.values())
    for space in program.spaces.values():
        queue.extend(space.exported.values())
    every: dict[Key, Symbol] = {}
    while queue:
        symbol = queue.popleft()
        if symbol.key not in every:
            every[symbol.key] = symbol
            queue.extend(used(symbol))
    return every


def _rename(program: Program, of: Library, kind: Kind, reference: str) -> str:
    symbol, rest = of.find(kind, reference)
    name = program.names[symbol.key]
    if kind == "type":
        return f"{DEFINITIONS}{name}{rest}"
    return function_reference(name) if kind == "function" else name


def _place(program: Program, symbol: Symbol) -> str:
    return f"{_origin(program, symbol)}_{symbol.name}"


def _origin(program: Program, symbol: Symbol) -> str:
    """The reference to a registry, or the path from the file that imports."""
    origin = symbol.library.origin
    if isinstance(origin, str):
        return origin
    return Path(os.path.relpath(origin, program.source.path.parent)).as_posix()


def _in_order(entry: tuple[str, Symbol]) -> tuple[list[int], str]:
    weights = [ORDER.find(letter) for letter in entry[0].lower()]
    return weights, entry[0].swapcase()
