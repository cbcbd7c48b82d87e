"""The functions that put a file's content into the template: `loadTextContent` and similar ones.

The content becomes a variable of the template, with the name that the Bicep CLI uses. `files.py` reads it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.translation.files import Unreadable
from remora.azure.bicep.translation.symbols import Program
from remora.azure.bicep.translation.terms import Json, Literal, Term, call, from_json, to_json

Loader = Callable[[Program, nodes.Invoke, Sequence[Term]], Term]


def _text(program: Program, node: nodes.Invoke, arguments: Sequence[Term]) -> Term:
    name, *encoding = _literals(program, node, arguments, most=2)
    return _keep(program, program.files.text(name, *encoding))


def _base64(program: Program, node: nodes.Invoke, arguments: Sequence[Term]) -> Term:
    (name,) = _literals(program, node, arguments, most=1)
    return _keep(program, base64.b64encode(program.files.content(name)).decode())


def _json(program: Program, node: nodes.Invoke, arguments: Sequence[Term]) -> Term:
    (name,) = _literals(program, node, arguments, most=1)
    try:
        document = json.loads(program.files.text(name))
    except ValueError as error:
        raise Unreadable(f"{name!r} is not JSON: {error}") from None
    return _keep(program, document)


def _literals(program: Program, node: nodes.Invoke, arguments: Sequence[Term], *, most: int) -> list[str]:
    texts = [argument.value for argument in arguments if isinstance(argument, Literal)]
    strings = [text for text in texts if isinstance(text, str)]
    if len(strings) != len(arguments) or not 1 <= len(strings) <= most:
        raise program.source.refuse(node.at, "this function needs a path without interpolation")
    return strings


def _keep(program: Program, content: Json) -> Term:
    name = f"$fxv#{len(program.loaded)}"
    program.loaded[name] = to_json(from_json(content))
    return call("variables", name)


def _explained(loader: Loader) -> Loader:
    def load(program: Program, node: nodes.Invoke, arguments: Sequence[Term]) -> Term:
        try:
            return loader(program, node, arguments)
        except Unreadable as error:
            raise program.source.refuse(node.at, str(error)) from None

    return load


LOADERS: Mapping[str, Loader] = {
    "loadTextContent": _explained(_text),
    "loadFileAsBase64": _explained(_base64),
    "loadJsonContent": _explained(_json),
}
