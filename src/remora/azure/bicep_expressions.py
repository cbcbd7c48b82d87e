"""Bicep expressions as ARM template expressions: names resolved, operators as functions, literals as JSON.

Notes which resources an expression mentions, since those are what a resource depends on. Declarations are
the business of `bicep.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tree_sitter import Node

from remora.azure.bicep_syntax import SourceFile, named, only, part, text_of

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]

# Functions that mean the same in a template; `map`, `loadTextContent` and the like do not.
FUNCTIONS = """
    array base64 base64ToJson base64ToString bool coalesce concat contains createArray createObject
    dataUri dataUriToString dateTimeAdd deployment empty endsWith environment first format guid indexOf int
    intersection join json last lastIndexOf length max min newGuid padLeft pickZones providers range
    reference replace resourceGroup resourceId skip split startsWith string subscription
    subscriptionResourceId substring take tenant toLower toUpper trim union uniqueString uri uriComponent
    uriComponentToString utcNow listKeys extensionResourceId tenantResourceId items
""".split()  # noqa: SIM905 - one name a line would be a page
BINARY = {
    "==": "equals({0}, {1})",
    "!=": "not(equals({0}, {1}))",
    "=~": "equals(toLower({0}), toLower({1}))",
    "!~": "not(equals(toLower({0}), toLower({1})))",
    "&&": "and({0}, {1})",
    "||": "or({0}, {1})",
    "??": "coalesce({0}, {1})",
    ">": "greater({0}, {1})",
    ">=": "greaterOrEquals({0}, {1})",
    "<": "less({0}, {1})",
    "<=": "lessOrEquals({0}, {1})",
    "+": "add({0}, {1})",
    "-": "sub({0}, {1})",
    "*": "mul({0}, {1})",
    "/": "div({0}, {1})",
    "%": "mod({0}, {1})",
}
UNARY = {"!": "not({0})", "-": "sub(0, {0})"}
LITERALS: Mapping[str, Callable[[str], Json]] = {
    "null": lambda _: None,
    "boolean": lambda text: text == "true",
    "number": int,
}
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Resource:
    """A declared resource: its body, condition, and the parent's symbol where it is a child."""

    symbol: str
    type: str
    api_version: str
    declaration: Node
    body: Mapping[str, Node]
    condition: Node | None = None
    description: str | None = None
    parent: str | None = None


@dataclass(slots=True)
class Scope:
    """Everything an expression may name. `mentioned` collects the resources it did name."""

    file: SourceFile
    parameters: dict[str, Node] = field(default_factory=dict)
    variables: dict[str, Node] = field(default_factory=dict)
    resources: dict[str, Resource] = field(default_factory=dict)
    mentioned: set[str] = field(default_factory=set)
    _inlining: list[str] = field(default_factory=list)

    def value(self, node: Node) -> Json:
        """A value as the template holds it: literal JSON where it is literal, else "[expression]"."""
        if node.type == "object":
            return {key: self.value(child) for key, child in self.file.properties(node)}
        if node.type == "array":
            return [self.value(child) for child in named(node)]
        if node.type in LITERALS:
            return LITERALS[node.type](text_of(node))
        literal = self.file.literal_string(node)
        if literal is not None:
            return f"[{literal}" if literal.startswith("[") else literal
        return f"[{self.expression(node)}]"

    def expression(self, node: Node) -> str:
        """A value as ARM's expression language spells it."""
        translate = TRANSLATIONS.get(node.type)
        if translate is None:
            raise self.file.refuse(node, f"{node.type.replace('_', ' ')} is not supported")
        return translate(self, node)

    def names(self, resource: Resource) -> list[str]:
        """The expressions of a resource's name segments, outermost parent first."""
        outer = self.names(self.resources[resource.parent]) if resource.parent is not None else []
        return [*outer, self.expression(resource.body["name"])]

    def resource_id(self, resource: Resource) -> str:
        """The `resourceId(…)` of a resource."""
        return f"resourceId({', '.join([quoted(resource.type), *self.names(resource)])})"

    def _identifier(self, node: Node) -> str:
        name = text_of(node)
        if name in self.parameters:
            return f"parameters({quoted(name)})"
        if name in self.resources:
            return self._reference(self.resources[name], full=True)
        if name not in self.variables:
            raise self.file.refuse(node, f"{name!r} is not declared")
        return self._variable(node, name)

    def _variable(self, node: Node, name: str) -> str:
        """A variable, written out where it names a resource: ARM's variables cannot refer to any."""
        if name in self._inlining:
            raise self.file.refuse(node, f"the variable {name!r} is made of itself")
        self._inlining.append(name)
        before, self.mentioned = self.mentioned, set()
        try:
            written_out = self.expression(self.variables[name])
            refers = bool(self.mentioned)
        finally:
            self.mentioned = before | self.mentioned
            self._inlining.pop()
        return written_out if refers else f"variables({quoted(name)})"

    def _member(self, node: Node) -> str:
        """`a.b`; for a resource symbol, what ARM knows about it without asking, else a reference."""
        target, name = part(node, "object"), text_of(part(node, "property"))
        if any(child.type in ("?", "!", ".?") for child in node.children):
            raise self.file.refuse(node, "safe access with ? or ! is not supported")
        resource = self._resource(target)
        if resource is None:
            return f"{self.expression(target)}.{name}"
        self.mentioned.add(resource.symbol)
        known = {
            "id": self.resource_id(resource),
            "name": self.names(resource)[-1],
            "type": quoted(resource.type),
            "apiVersion": quoted(resource.api_version),
            "properties": self._reference(resource, full=False),
        }
        return known.get(name) or f"{self._reference(resource, full=True)}.{name}"

    def _subscript(self, node: Node) -> str:
        target, index = part(node, "object"), part(node, "index")
        if any(child.type in ("?", "!") for child in node.children):
            raise self.file.refuse(node, "safe access with ? or ! is not supported")
        if self._resource(target) is not None:
            raise self.file.refuse(node, "write the property of a resource with a dot")
        key = self.file.literal_string(index)
        if key is not None and IDENTIFIER.fullmatch(key):
            return f"{self.expression(target)}.{key}"
        return f"{self.expression(target)}[{self.expression(index)}]"

    def _call(self, node: Node) -> str:
        function = part(node, "function")
        arguments = [self.expression(argument) for argument in named(part(node, "arguments"))]
        if function.type == "identifier" and text_of(function) in FUNCTIONS:
            return f"{text_of(function)}({', '.join(arguments)})"
        if function.type == "member_expression":
            resource = self._resource(part(function, "object"))
            name = text_of(part(function, "property"))
            if resource is not None and name.startswith("list"):
                self.mentioned.add(resource.symbol)
                all_arguments = [self.resource_id(resource), quoted(resource.api_version), *arguments]
                return f"{name}({', '.join(all_arguments)})"
        raise self.file.refuse(function, f"the function {text_of(function)!r} is not supported")

    def _binary(self, node: Node) -> str:
        form = BINARY[text_of(part(node, "operator"))]
        return form.format(self.expression(part(node, "left")), self.expression(part(node, "right")))

    def _unary(self, node: Node) -> str:
        return UNARY[text_of(part(node, "operator"))].format(self.expression(part(node, "argument")))

    def _ternary(self, node: Node) -> str:
        parts = (part(node, name) for name in ("condition", "consequence", "alternative"))
        return f"if({', '.join(self.expression(child) for child in parts)})"

    def _string(self, node: Node) -> str:
        pattern, arguments = "", list[str]()
        for piece in self.file.string_parts(node):
            if isinstance(piece, str):
                pattern += piece.replace("{", "{{").replace("}", "}}")
            else:
                pattern += f"{{{len(arguments)}}}"
                arguments.append(self.expression(piece))
        if arguments:
            return f"format({', '.join([quoted(pattern), *arguments])})"
        return quoted(self.file.literal_string(node) or "")

    def _object(self, node: Node) -> str:
        pairs = self.file.properties(node)
        arguments = [text for key, child in pairs for text in (quoted(key), self.expression(child))]
        return f"createObject({', '.join(arguments)})"

    def _array(self, node: Node) -> str:
        return f"createArray({', '.join(self.expression(child) for child in named(node))})"

    def _parenthesized(self, node: Node) -> str:
        return self.expression(only(node))

    def _number(self, node: Node) -> str:
        return text_of(node)

    def _constant(self, node: Node) -> str:
        return f"{text_of(node)}()"

    def _resource(self, node: Node) -> Resource | None:
        return self.resources.get(text_of(node)) if node.type == "identifier" else None

    def _reference(self, resource: Resource, *, full: bool) -> str:
        self.mentioned.add(resource.symbol)
        full_argument = ", 'full'" if full else ""
        return f"reference({self.resource_id(resource)}, {quoted(resource.api_version)}{full_argument})"


def quoted(text: str) -> str:
    """A text as a literal of ARM's expression language."""
    return "'" + text.replace("'", "''") + "'"


TRANSLATIONS: Mapping[str, Callable[[Scope, Node], str]] = {
    "identifier": Scope._identifier,
    "member_expression": Scope._member,
    "subscript_expression": Scope._subscript,
    "call_expression": Scope._call,
    "binary_expression": Scope._binary,
    "unary_expression": Scope._unary,
    "ternary_expression": Scope._ternary,
    "parenthesized_expression": Scope._parenthesized,
    "string": Scope._string,
    "object": Scope._object,
    "array": Scope._array,
    "number": Scope._number,
    "boolean": Scope._constant,
    "null": Scope._constant,
}
