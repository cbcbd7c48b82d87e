"""Parses Bicep's types, which follow the name of a parameter, output or type. Knows no expressions."""

from __future__ import annotations

from collections.abc import Callable

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.syntax.cursor import Cursor

Decorators = Callable[[], tuple[nodes.Decorator, ...]]
CONSTANTS = {"true": True, "false": False, "null": None}


class TypeParser:
    """Reads types at a cursor; `decorators` reads those above a property."""

    def __init__(self, cursor: Cursor, decorators: Decorators) -> None:
        self._cursor = cursor
        self._decorators = decorators

    def type(self) -> nodes.Type:
        """The longest type here. Raises InvalidFile."""
        cursor = self._cursor
        at = cursor.next.at
        if cursor.took("|"):
            cursor.skip_newlines()
        members = [self._postfix()]
        while cursor.sees_after_newlines("|"):
            cursor.skip_newlines()
            cursor.expect("|")
            cursor.skip_newlines()
            members.append(self._postfix())
        return members[0] if len(members) == 1 else nodes.UnionType(at, tuple(members))

    def _postfix(self) -> nodes.Type:
        cursor = self._cursor
        found = self._primary()
        while cursor.sees("[", "?"):
            at = cursor.next.at
            if cursor.took("?"):
                found = nodes.NullableType(at, found)
                continue
            cursor.take()
            if not cursor.took("]"):
                raise cursor.source.refuse(at, "access to a part of another type is not supported")
            found = nodes.ArrayType(at, found)
        if cursor.sees(".", "<", "!"):
            raise cursor.source.refuse(cursor.next.at, f"{cursor.next.text!r} in a type is not supported")
        return found

    def _primary(self) -> nodes.Type:
        cursor = self._cursor
        token = cursor.next
        if token.kind in ("string", "number") or cursor.sees("-"):
            return self._literal()
        if token.kind == "name":
            cursor.take()
            if token.text in CONSTANTS:
                return nodes.LiteralType(token.at, CONSTANTS[token.text])
            return nodes.NamedType(token.at, token.text)
        if cursor.took("("):
            cursor.skip_newlines()
            inner = self.type()
            cursor.skip_newlines()
            cursor.expect(")")
            return inner
        if cursor.took("{"):
            return nodes.ObjectType(token.at, self._members("}"))
        if not cursor.took("["):
            raise cursor.unexpected("a type")
        return nodes.TupleType(token.at, self._members("]"))

    def _literal(self) -> nodes.LiteralType:
        cursor = self._cursor
        sign = -1 if cursor.took("-") else 1
        token = cursor.take()
        if token.kind == "number":
            return nodes.LiteralType(token.at, sign * int(token.text))
        if any(not isinstance(part, str) for part in token.parts):
            raise cursor.source.refuse(token.at, "a type cannot be interpolated")
        return nodes.LiteralType(token.at, "".join(str(part) for part in token.parts))

    def _members(self, closing: str) -> tuple[nodes.TypeMember, ...]:
        cursor = self._cursor
        members: list[nodes.TypeMember] = []
        self._skip_separators()
        while not cursor.took(closing):
            decorators = self._decorators()
            at = cursor.next.at
            name = ""
            if closing == "}":
                name = self._member_name()
                cursor.expect(":")
                cursor.skip_newlines()
            members.append(nodes.TypeMember(at, name, self.type(), decorators))
            if not cursor.sees(closing, ",") and cursor.next.kind != "newline":
                raise cursor.unexpected(f"a new line or {closing!r}")
            self._skip_separators()
        return tuple(members)

    def _member_name(self) -> str:
        cursor = self._cursor
        token = cursor.next
        if cursor.took("*"):
            return "*"
        if token.kind == "string" and all(isinstance(part, str) for part in token.parts):
            cursor.take()
            return "".join(str(part) for part in token.parts)
        return cursor.name("a property or '}'").text

    def _skip_separators(self) -> None:
        while self._cursor.next.kind == "newline" or self._cursor.sees(","):
            self._cursor.take()
