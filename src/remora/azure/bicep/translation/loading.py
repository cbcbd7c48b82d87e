"""The functions that put a file's content into the template: `loadTextContent` and similar ones.

The content becomes a variable of the template, numbered as in the Bicep CLI: in the order of the file. In the
body of a function, and as the whole value of a variable, it stands for itself. `files.py` reads it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.translation.files import Unreadable
from remora.azure.bicep.translation.symbols import Program
from remora.azure.bicep.translation.terms import Call, Copy, Json, Literal, Term, call, from_json, to_json

INTERPOLATED = re.compile(r"(?:[^{}]|\{\{|\}\}|\{[0-9]{1,4}\})*")

Loader = Callable[[Program, nodes.Invoke, Sequence[Term]], Json]


def load(program: Program, node: nodes.Invoke, name: str, arguments: Sequence[Term]) -> Term:
    """The content that a function loads, or the variable that has it. Raises InvalidFile."""
    try:
        content = LOADERS[name](program, node, arguments)
    except Unreadable as error:
        raise program.source.refuse(node.at, str(error)) from None
    number = program.loads.get(node.at)
    if number is None:
        return from_json(content)
    variable = f"$fxv#{number}"
    program.loaded[variable] = to_json(from_json(content))
    return call("variables", variable)


def number_loads(program: Program, declaration: nodes.Declaration) -> None:
    """Number the variables for what a declaration loads; what stands where it is loaded has no number."""
    whole = declaration.value if isinstance(declaration, nodes.Variable) else None
    for node in () if isinstance(declaration, nodes.Function) else _invokes(declaration):
        name = node.named("sys")
        if name in LOADERS and (node is not whole or name in ALWAYS_APART):
            program.loads[node.at] = len(program.loads)


def _invokes(part: object) -> Iterator[nodes.Invoke]:
    """The calls in a part of the tree, outermost first."""
    if isinstance(part, nodes.Invoke):
        yield part
    children = part if isinstance(part, tuple) else ()
    if is_dataclass(part):
        children = tuple(getattr(part, field.name) for field in fields(part))
    for child in children:
        yield from _invokes(child)


def _text(program: Program, node: nodes.Invoke, arguments: Sequence[Term]) -> Json:
    name, *encoding = _literals(program, node, arguments, most=2)
    return program.files.text(name, *encoding)


def _base64(program: Program, node: nodes.Invoke, arguments: Sequence[Term]) -> Json:
    (name,) = _literals(program, node, arguments, most=1)
    return base64.b64encode(program.files.content(name)).decode()


def _json(program: Program, node: nodes.Invoke, arguments: Sequence[Term]) -> Json:
    (name,) = _literals(program, node, arguments, most=1)
    try:
        document: Json = json.loads(program.files.text(name))
    except ValueError as error:
        raise Unreadable(f"{name!r} is not JSON: {error}") from None
    return document


def _literals(program: Program, node: nodes.Invoke, arguments: Sequence[Term], *, most: int) -> list[str]:
    texts = [_constant(program, argument) for argument in arguments]
    strings = [text for text in texts if text is not None]
    if len(strings) != len(arguments) or not 1 <= len(strings) <= most:
        raise program.source.refuse(node.at, "this function needs a path that is known when it is compiled")
    return strings


def _constant(program: Program, value: Term | Copy) -> str | None:
    """A text of literals and variables with a literal value; None if it is another one."""
    if isinstance(value, Literal):
        return value.value if isinstance(value.value, str) else None
    if not isinstance(value, Call) or value.name not in ("variables", "format") or not value.arguments:
        return None
    first, *rest = value.arguments
    name = str(first.value) if isinstance(first, Literal) else ""
    if value.name == "variables":
        return _constant(program, program.resolved[name].value) if name in program.resolved else None
    texts = [_constant(program, argument) for argument in rest]
    known = [text for text in texts if text is not None]
    if len(known) < len(texts) or INTERPOLATED.fullmatch(name) is None:
        return None
    try:
        return name.format(*known)
    except IndexError:  # of a call of format(), not of an interpolation
        return None


LOADERS: Mapping[str, Loader] = {
    "loadTextContent": _text,
    "loadFileAsBase64": _base64,
    "loadJsonContent": _json,
}
ALWAYS_APART = ("loadJsonContent",)  # a variable of its own, even as the whole value of a variable
