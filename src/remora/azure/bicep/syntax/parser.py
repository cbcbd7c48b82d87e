"""Parses Bicep's declarations and decorators; other files parse the expressions and types in them."""

from __future__ import annotations

from collections.abc import Callable

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.syntax.cursor import Cursor
from remora.azure.bicep.syntax.expression_parser import ExpressionParser
from remora.azure.bicep.syntax.source import Source
from remora.azure.bicep.syntax.tokens import tokenize
from remora.azure.bicep.syntax.type_parser import TypeParser

ELSEWHERE = ("extension", "provider", "using", "assert", "test")
"""Bicep declarations that this compiler does not support."""

Decorators = tuple[nodes.Decorator, ...]


def parse(source: Source) -> tuple[nodes.Declaration, ...]:
    """The declarations of a file, in order. Raises InvalidFile with the position of a syntax error."""
    return _Parser(Cursor(source, tokenize(source))).declarations()


class _Parser:
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._expressions = ExpressionParser(cursor, _nested_resource)
        self._types = TypeParser(cursor, self.decorators)
        self._kinds: dict[str, Callable[[Decorators], nodes.Declaration]] = {
            "targetScope": self._target_scope,
            "metadata": self._metadata,
            "param": self._parameter,
            "var": self._variable,
            "output": self._output,
            "type": self._alias,
            "func": self._function,
            "resource": self.resource,
            "module": self._module,
            "import": self._import,
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

    def decorators(self) -> Decorators:
        """The decorators here, one per line."""
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

    def resource(self, decorators: Decorators) -> nodes.Resource:
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

    def _target_scope(self, decorators: Decorators) -> nodes.TargetScope:
        at = self._cursor.next.at
        self._refuse_any(decorators)
        return nodes.TargetScope(at, self._assigned())

    def _metadata(self, decorators: Decorators) -> nodes.Metadata:
        name = self._cursor.name("a name")
        self._refuse_any(decorators)
        return nodes.Metadata(name.at, name.text, self._assigned())

    def _parameter(self, decorators: Decorators) -> nodes.Parameter:
        name = self._cursor.name("the name of the parameter")
        kind = self._types.type()
        default = self._assigned() if self._cursor.sees("=") else None
        return nodes.Parameter(name.at, name.text, decorators, kind, default)

    def _variable(self, decorators: Decorators) -> nodes.Variable:
        name = self._cursor.name("the name of the variable")
        kind = None if self._cursor.sees("=") else self._types.type()
        return nodes.Variable(name.at, name.text, decorators, kind, self._assigned())

    def _output(self, decorators: Decorators) -> nodes.Output:
        name = self._cursor.name("the name of the output")
        return nodes.Output(name.at, name.text, decorators, self._types.type(), self._assigned())

    def _alias(self, decorators: Decorators) -> nodes.Alias:
        name = self._cursor.name("the name of the type")
        self._cursor.expect("=")
        return nodes.Alias(name.at, name.text, decorators, self._types.type())

    def _function(self, decorators: Decorators) -> nodes.Function:
        cursor = self._cursor
        name = cursor.name("the name of the function")
        cursor.expect("(")
        parameters: list[tuple[str, nodes.Type]] = []
        cursor.skip_newlines()
        while not cursor.took(")"):
            parameters.append((cursor.name("a parameter").text, self._types.type()))
            cursor.skip_newlines()
            if not cursor.sees(")"):
                cursor.expect(",")
                cursor.skip_newlines()
        returns = self._types.type()
        cursor.expect("=>")
        cursor.skip_newlines()
        body = self._expressions.expression()
        return nodes.Function(name.at, name.text, decorators, tuple(parameters), returns, body)

    def _module(self, decorators: Decorators) -> nodes.Module:
        name = self._cursor.name("the name of the module")
        return nodes.Module(name.at, name.text, self._expressions.string(), self._body(), decorators)

    def _import(self, decorators: Decorators) -> nodes.Import:
        cursor = self._cursor
        at = cursor.next.at
        self._refuse_any(tuple(mark for mark in decorators if mark.name != "description"))
        if cursor.next.kind == "string":
            raise cursor.source.refuse(at, "extensions ('import' with a name and version) are not supported")
        space, names = None, list[nodes.ImportedName]()
        if cursor.took("*"):
            cursor.expect("as")
            space = cursor.name("a name for what is imported").text
        else:
            names = self._imported_names()
        cursor.expect("from")
        return nodes.Import(at, tuple(names), space, self._expressions.string())

    def _imported_names(self) -> list[nodes.ImportedName]:
        cursor = self._cursor
        cursor.expect("{")
        cursor.skip_separators()
        names: list[nodes.ImportedName] = []
        while not cursor.took("}"):
            at, quoted = cursor.next.at, cursor.next.kind == "string"
            name = self._expressions.string().literal if quoted else cursor.name("a name or '}'").text
            if name is None:
                raise cursor.source.refuse(at, "the name of an import cannot be interpolated")
            if quoted and not cursor.sees("as"):
                raise cursor.unexpected("'as' and a name")
            alias = cursor.name("a name").text if cursor.took("as") else name
            names.append(nodes.ImportedName(at, name, alias))
            cursor.end_of_item("}")
        return names

    def _refuse_any(self, decorators: Decorators) -> None:
        for decorator in decorators:
            raise self._cursor.source.refuse(decorator.at, f"@{decorator.name}() is not supported here")

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
