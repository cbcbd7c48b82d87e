"""Parses Bicep's types, which follow the name of a parameter, output or type. Knows no expressions."""

from __future__ import annotations

from collections.abc import Callable

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.syntax.cursor import Cursor

Decorators = Callable[[], tuple[nodes.Decorator, ...]]
RESOURCE_TYPES = ("resourceInput", "resourceOutput")
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
        if cursor.sees_after_newlines("|"):
            cursor.skip_newlines()
            cursor.expect("|")
            cursor.skip_newlines()
        members = [self._postfix()]
        while cursor.sees_after_newlines("|"):
            cursor.skip_newlines()
            cursor.expect("|")
            cursor.skip_newlines()
            members.append(self._postfix())
        return members[0] if len(members) == 1 else nodes.UnionType(at, tuple(members))

    def _postfix(self) -> nodes.Type:
        """A type with the parts selected from it, then with its `?` or `!`."""
        cursor = self._cursor
        found = self._primary()
        while cursor.sees("[", "."):
            found = self._brackets(found) if cursor.sees("[") else self._dot(found)
        while cursor.sees("?", "!"):
            mark = cursor.take()
            kind = nodes.NullableType if mark.text == "?" else nodes.NotNullType
            found = kind(mark.at, found)
        return found

    def _brackets(self, found: nodes.Type) -> nodes.Type:
        """An array of the type so far, or one of its items."""
        cursor = self._cursor
        at = cursor.expect("[").at
        if cursor.took("]"):
            return nodes.ArrayType(at, found)
        key = "*" if cursor.took("*") else int(self._number())
        cursor.expect("]")
        return nodes.PartType(at, found, key, of_array=True)

    def _dot(self, found: nodes.Type) -> nodes.Type:
        cursor = self._cursor
        at = cursor.expect(".").at
        name = "*" if cursor.took("*") else cursor.name("the name of a property, or '*'").text
        if not cursor.sees("<"):
            return nodes.PartType(at, found, name)
        if not isinstance(found, nodes.NamedType) or found.name != "sys":
            raise cursor.source.refuse(at, f"the type {name}<…> is not supported here")
        return self._of_resource(at, name)

    def _of_resource(self, at: int, function: str) -> nodes.ResourceType:
        cursor = self._cursor
        if function not in RESOURCE_TYPES:
            raise cursor.source.refuse(at, f"the type {function}<…> is not supported")
        cursor.expect("<")
        cursor.skip_newlines()
        if cursor.next.kind != "string" or any(not isinstance(part, str) for part in cursor.next.parts):
            raise cursor.unexpected("a type of resources with its version, as 'A.B/c@2024-01-01'")
        token = cursor.take()
        cursor.skip_newlines()
        cursor.expect(">")
        text = "".join(str(part) for part in token.parts)
        return nodes.ResourceType(at, function, nodes.String(token.at, (text,)))

    def _number(self) -> str:
        if self._cursor.next.kind != "number":
            raise self._cursor.unexpected("a number, '*' or ']'")
        return self._cursor.take().text

    def _primary(self) -> nodes.Type:
        cursor = self._cursor
        token = cursor.next
        if token.kind in ("string", "number") or cursor.sees("-", "!"):
            return self._literal()
        if token.kind == "name":
            return self._word()
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

    def _word(self) -> nodes.Type:
        token = self._cursor.take()
        if token.text in CONSTANTS:
            return nodes.LiteralType(token.at, CONSTANTS[token.text])
        if self._cursor.sees("<"):
            return self._of_resource(token.at, token.text)
        return nodes.NamedType(token.at, token.text)

    def _literal(self) -> nodes.LiteralType:
        cursor = self._cursor
        if cursor.took("!"):
            token = cursor.name("true or false")
            if token.text not in ("true", "false"):
                raise cursor.source.refuse(token.at, "'!' in a type is for true and false")
            return nodes.LiteralType(token.at, token.text == "false")
        if cursor.took("-"):
            return nodes.LiteralType(cursor.next.at, -int(self._number()))
        token = cursor.take()
        if token.kind == "number":
            return nodes.LiteralType(token.at, int(token.text))
        if any(not isinstance(part, str) for part in token.parts):
            raise cursor.source.refuse(token.at, "a type cannot be interpolated")
        return nodes.LiteralType(token.at, "".join(str(part) for part in token.parts))

    def _members(self, closing: str) -> tuple[nodes.TypeMember, ...]:
        cursor = self._cursor
        members: list[nodes.TypeMember] = []
        cursor.skip_separators()
        while not cursor.took(closing):
            decorators = self._decorators()
            at = cursor.next.at
            name = ""
            if closing == "}":
                name = self._member_name()
                cursor.expect(":")
                cursor.skip_newlines()
            members.append(nodes.TypeMember(at, name, self.type(), decorators))
            cursor.end_of_item(closing)
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
