"""Parses Bicep's expressions: operators, accessors, literals, loops, lambdas. Parses no declarations."""

from __future__ import annotations

from collections.abc import Callable

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.syntax.cursor import Cursor

PRECEDENCE = {
    operator: level
    for level, operators in enumerate(
        (
            ("??",),
            ("||",),
            ("&&",),
            ("==", "!=", "=~", "!~"),
            ("<", "<=", ">", ">="),
            ("+", "-"),
            ("*", "/", "%"),
        )
    )
    for operator in operators
}
ACCESSORS = (".", ".?", "[", "::", "!", "(")
AFTER_NEWLINE = (".", ".?", "::")
CONSTANTS = {"true": True, "false": False, "null": None}

NestedResource = Callable[[Cursor], nodes.Resource]


class ExpressionParser:
    """Reads expressions at a cursor; `nested_resource` reads a resource that is nested in an object."""

    def __init__(self, cursor: Cursor, nested_resource: NestedResource) -> None:
        self._cursor = cursor
        self._nested_resource = nested_resource

    def expression(self) -> nodes.Expression:
        """The longest expression here. Raises InvalidFile."""
        cursor = self._cursor
        condition = self._binary(0)
        if not cursor.sees_after_newlines("?"):
            return condition
        cursor.skip_newlines()
        at = cursor.expect("?").at
        cursor.skip_newlines()
        consequence = self.expression()
        cursor.skip_newlines()
        cursor.expect(":")
        cursor.skip_newlines()
        return nodes.Operation(at, "?", (condition, consequence, self.expression()))

    def body(self) -> nodes.Expression:
        """The body of a resource or module: an object, optionally in a condition or a loop."""
        cursor = self._cursor
        if not cursor.sees("if"):
            return self.expression()
        at = cursor.take().at
        cursor.expect("(")
        condition = self._in_parentheses()
        cursor.skip_newlines()
        return nodes.If(at, condition, self._object())

    def arguments(self) -> tuple[nodes.Expression, ...]:
        """The arguments of a call, from the opening parenthesis on."""
        self._cursor.expect("(")
        arguments: list[nodes.Expression] = []
        self._cursor.skip_newlines()
        while not self._cursor.took(")"):
            arguments.append(self.expression())
            self._cursor.skip_newlines()
            if not self._cursor.sees(")"):
                self._cursor.expect(",")
                self._cursor.skip_newlines()
        return tuple(arguments)

    def string(self) -> nodes.String:
        """A string, interpolated or not."""
        cursor = self._cursor
        if cursor.next.kind != "string":
            raise cursor.unexpected("a string")
        token = cursor.take()
        parts: list[str | nodes.Expression] = []
        for part in token.parts:
            if isinstance(part, str):
                parts.append(part)
                continue
            inner = Cursor(cursor.source, part)
            inner.skip_newlines()
            parts.append(ExpressionParser(inner, self._nested_resource).expression())
            inner.skip_newlines()
            if inner.next.kind != "end":
                raise inner.unexpected("'}'")
        return nodes.String(token.at, tuple(parts))

    def _binary(self, level: int) -> nodes.Expression:
        cursor = self._cursor
        left = self._unary()
        while True:
            # A line can start with an operator, unless that also starts an expression.
            if cursor.next.kind == "newline" and cursor.sees_after_newlines(*(set(PRECEDENCE) - {"-"})):
                cursor.skip_newlines()
            operator = cursor.next
            if operator.kind != "symbol" or PRECEDENCE.get(operator.text, -1) < level:
                return left
            cursor.take()
            cursor.skip_newlines()
            right = self._binary(PRECEDENCE[operator.text] + 1)
            left = nodes.Operation(operator.at, operator.text, (left, right))

    def _unary(self) -> nodes.Expression:
        operator = self._cursor.next
        if not self._cursor.took("!", "-", "+"):
            return self._accessed(self._primary())
        operand = self._unary()
        if operator.text == "-" and isinstance(operand, nodes.Constant) and type(operand.value) is int:
            return nodes.Constant(operator.at, -operand.value)
        return nodes.Operation(operator.at, operator.text, (operand,)) if operator.text != "+" else operand

    def _accessed(self, value: nodes.Expression) -> nodes.Expression:
        """A primary expression with the accessors and calls that follow it."""
        cursor = self._cursor
        while True:
            if cursor.next.kind == "newline" and cursor.sees_after_newlines(*AFTER_NEWLINE):
                cursor.skip_newlines()
            at = cursor.next.at
            if not cursor.sees(*ACCESSORS):
                return value
            if cursor.sees("("):
                value = nodes.Invoke(at, value, self.arguments())
            elif cursor.took("."):
                value = self._member(at, value, safe=False)
            elif cursor.took(".?"):
                value = self._member(at, value, safe=True)
            elif cursor.took("::"):
                value = nodes.Inner(at, value, cursor.name("the name of a nested resource").text)
            elif cursor.took("!"):
                value = nodes.NotNull(at, value)
            else:
                value = self._subscript(value)

    def _member(self, at: int, target: nodes.Expression, *, safe: bool) -> nodes.Get:
        name = self._cursor.name("the name of a property")
        return nodes.Get(at, target, nodes.String(name.at, (name.text,)), safe=safe)

    def _subscript(self, target: nodes.Expression) -> nodes.Get:
        cursor = self._cursor
        at = cursor.expect("[").at
        safe, from_end = cursor.took("?"), cursor.took("^")
        cursor.skip_newlines()
        key = self.expression()
        cursor.skip_newlines()
        cursor.expect("]")
        return nodes.Get(at, target, key, safe=safe, from_end=from_end)

    def _primary(self) -> nodes.Expression:
        cursor = self._cursor
        token = cursor.next
        if token.kind == "string":
            return self.string()
        if token.kind == "number":
            return nodes.Constant(token.at, int(cursor.take().text))
        if token.kind == "name":
            return self._word()
        if cursor.sees("("):
            return self._parenthesized()
        if cursor.sees("{"):
            return self._object()
        if cursor.sees("["):
            return self._array()
        raise cursor.unexpected("an expression")

    def _word(self) -> nodes.Expression:
        token = self._cursor.take()
        if self._cursor.sees("=>"):
            return self._lambda(token.at, (token.text,))
        if token.text in CONSTANTS:
            return nodes.Constant(token.at, CONSTANTS[token.text])
        return nodes.Name(token.at, token.text)

    def _parenthesized(self) -> nodes.Expression:
        cursor = self._cursor
        at = cursor.expect("(").at
        parameters = self._lambda_parameters()
        if parameters is not None:
            return self._lambda(at, parameters)
        return nodes.Group(at, self._in_parentheses())

    def _in_parentheses(self) -> nodes.Expression:
        self._cursor.skip_newlines()
        value = self.expression()
        self._cursor.skip_newlines()
        self._cursor.expect(")")
        return value

    def _lambda_parameters(self) -> tuple[str, ...] | None:
        """The names up to `) =>`; None, without taking a token, if this is not a lambda."""
        cursor, start = self._cursor, self._cursor.index
        names: list[str] = []
        cursor.skip_newlines()
        while cursor.next.kind == "name":
            names.append(cursor.take().text)
            cursor.took(",")
            cursor.skip_newlines()
        if cursor.took(")") and cursor.sees("=>"):
            return tuple(names)
        cursor.index = start
        return None

    def _lambda(self, at: int, parameters: tuple[str, ...]) -> nodes.Lambda:
        self._cursor.expect("=>")
        self._cursor.skip_newlines()
        return nodes.Lambda(at, parameters, self.expression())

    def _object(self) -> nodes.Object:
        cursor = self._cursor
        at = cursor.expect("{").at
        entries: list[nodes.Property | nodes.Spread | nodes.Resource] = []
        self._cursor.skip_separators()
        keys: set[str] = set()
        while not cursor.took("}"):
            entry = self._entry()
            key = entry.key.literal if isinstance(entry, nodes.Property) else None
            if key is not None and key in keys:
                raise cursor.source.refuse(entry.at, f"the key {key!r} appears twice")
            keys |= {key} if key is not None else set()
            entries.append(entry)
            self._cursor.end_of_item("}")
        return nodes.Object(at, tuple(entries))

    def _entry(self) -> nodes.Property | nodes.Spread | nodes.Resource:
        cursor = self._cursor
        at = cursor.next.at
        if cursor.took("..."):
            return nodes.Spread(at, self.expression())
        following = cursor.tokens[min(cursor.index + 1, len(cursor.tokens) - 1)]
        if cursor.sees("@") or (cursor.sees("resource") and following.kind == "name"):
            return self._nested_resource(cursor)
        if cursor.next.kind == "string":
            key = self.string()
        else:
            key = nodes.String(at, (cursor.name("a property or '}'").text,))
        cursor.expect(":")
        cursor.skip_newlines()
        return nodes.Property(at, key, self.expression())

    def _array(self) -> nodes.Expression:
        cursor = self._cursor
        at = cursor.expect("[").at
        self._cursor.skip_separators()
        if cursor.sees("for"):
            return self._for(at)
        items: list[nodes.Expression | nodes.Spread] = []
        while not cursor.took("]"):
            spread = cursor.next.at if cursor.took("...") else None
            item = self.expression()
            items.append(item if spread is None else nodes.Spread(spread, item))
            self._cursor.end_of_item("]")
        return nodes.Array(at, tuple(items))

    def _for(self, at: int) -> nodes.For:
        cursor = self._cursor
        cursor.expect("for")
        index = None
        if cursor.took("("):
            item = cursor.name("a variable").text
            cursor.expect(",")
            index = cursor.name("a variable").text
            cursor.expect(")")
        else:
            item = cursor.name("a variable").text
        cursor.expect("in")
        source = self.expression()
        cursor.expect(":")
        cursor.skip_newlines()
        body = self.body()
        cursor.skip_newlines()
        cursor.expect("]")
        return nodes.For(at, item, index, source, body)
