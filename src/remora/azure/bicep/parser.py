"""Bicep's declarations as nodes: one a statement, with the decorators above it."""

from __future__ import annotations

from collections.abc import Callable

from remora.azure.bicep import nodes
from remora.azure.bicep.cursor import Cursor
from remora.azure.bicep.expression_parser import ExpressionParser
from remora.azure.bicep.source import Source
from remora.azure.bicep.tokens import tokenize
from remora.azure.bicep.type_parser import TypeParser

ELSEWHERE = ("func", "import", "extension", "provider", "using", "assert", "test")
"""Declarations that exist in Bicep and not here."""


def parse(source: Source) -> tuple[nodes.Declaration, ...]:
    """The declarations of a file, in order. Raises InvalidFile, with the place where it is not Bicep."""
    return _Parser(Cursor(source, tokenize(source))).declarations()


class _Parser:
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._expressions = ExpressionParser(cursor, _nested_resource)
        self._types = TypeParser(cursor, self.decorators)
        self._kinds: dict[str, Callable[[tuple[nodes.Decorator, ...]], nodes.Declaration]] = {
            "targetScope": self._target_scope,
            "metadata": self._metadata,
            "param": self._parameter,
            "var": self._variable,
            "output": self._output,
            "type": self._type,
            "resource": self.resource,
            "module": self._module,
        }

    def declarations(self) -> tuple[nodes.Declaration, ...]:
        cursor = self._cursor
        found: list[nodes.Declaration] = []
        cursor.skip_newlines()
        while cursor.next.kind != "end":
            found.append(self._declaration())
            if cursor.next.kind not in ("newline", "end"):
                raise cursor.unexpected("a new line")
            cursor.skip_newlines()
        return tuple(found)

    def decorators(self) -> tuple[nodes.Decorator, ...]:
        """The decorators here, one a line."""
        cursor = self._cursor
        found: list[nodes.Decorator] = []
        while cursor.sees("@"):
            at = cursor.take().at
            name = cursor.name("the name of a decorator").text
            while cursor.took("."):
                name = f"{name}.{cursor.name('the name of a decorator').text}"
            found.append(nodes.Decorator(at, name.removeprefix("sys."), self._expressions.arguments()))
            cursor.skip_newlines()
        return tuple(found)

    def resource(self, decorators: tuple[nodes.Decorator, ...]) -> nodes.Resource:
        """A resource, from the name after `resource`."""
        name = self._cursor.name("the name of the resource")
        kind = self._expressions.string()
        existing = self._cursor.took("existing")
        return nodes.Resource(name.at, name.text, kind, existing, self._body(), decorators)

    def _declaration(self) -> nodes.Declaration:
        cursor = self._cursor
        decorators = self.decorators()
        keyword = cursor.next
        if cursor.sees(*ELSEWHERE):
            raise cursor.source.refuse(keyword.at, f"{keyword.text!r} declarations are not supported")
        declare = self._kinds.get(keyword.text) if keyword.kind == "name" else None
        if declare is None:
            raise cursor.unexpected("a declaration")
        cursor.take()
        return declare(decorators)

    def _target_scope(self, decorators: tuple[nodes.Decorator, ...]) -> nodes.Value:
        at = self._cursor.next.at
        return nodes.Value(at, "targetScope", "", decorators, value=self._assigned())

    def _metadata(self, decorators: tuple[nodes.Decorator, ...]) -> nodes.Value:
        name = self._cursor.name("a name")
        return nodes.Value(name.at, "metadata", name.text, decorators, value=self._assigned())

    def _parameter(self, decorators: tuple[nodes.Decorator, ...]) -> nodes.Value:
        name = self._cursor.name("the name of the parameter")
        kind = self._types.type()
        value = self._assigned() if self._cursor.sees("=") else None
        return nodes.Value(name.at, "param", name.text, decorators, kind, value)

    def _variable(self, decorators: tuple[nodes.Decorator, ...]) -> nodes.Value:
        name = self._cursor.name("the name of the variable")
        kind = None if self._cursor.sees("=") else self._types.type()
        return nodes.Value(name.at, "var", name.text, decorators, kind, self._assigned())

    def _output(self, decorators: tuple[nodes.Decorator, ...]) -> nodes.Value:
        name = self._cursor.name("the name of the output")
        return nodes.Value(name.at, "output", name.text, decorators, self._types.type(), self._assigned())

    def _type(self, decorators: tuple[nodes.Decorator, ...]) -> nodes.Value:
        name = self._cursor.name("the name of the type")
        self._cursor.expect("=")
        return nodes.Value(name.at, "type", name.text, decorators, self._types.type())

    def _module(self, decorators: tuple[nodes.Decorator, ...]) -> nodes.Module:
        name = self._cursor.name("the name of the module")
        return nodes.Module(name.at, name.text, self._expressions.string(), self._body(), decorators)

    def _assigned(self) -> nodes.Expression:
        self._cursor.expect("=")
        self._cursor.skip_newlines()
        return self._expressions.expression()

    def _body(self) -> nodes.Expression:
        self._cursor.expect("=")
        self._cursor.skip_newlines()
        return self._expressions.body()


def _nested_resource(cursor: Cursor) -> nodes.Resource:
    parser = _Parser(cursor)
    decorators = parser.decorators()
    cursor.expect("resource")
    return parser.resource(decorators)
