"""Bicep source as a checked syntax tree. Knows tree-sitter; gives no meaning to anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

from remora.errors import InvalidFile

CLI_HINT = (
    "install the Bicep CLI (`az bicep install`, or https://aka.ms/bicep-install)"
    " and compile the file with it: `az bicep build --file {path}`"
)
ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,5})\}|.)", re.DOTALL)
ESCAPES = {"\\\\": "\\", "\\'": "'", "\\n": "\n", "\\r": "\r", "\\t": "\t", "\\$": "$"}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A parsed file; `path` is for messages."""

    path: Path
    root: Node

    def refuse(self, node: Node, what: str) -> InvalidFile:
        """The error for a construct outside our subset, to be raised by the caller."""
        line = node.start_point[0] + 1
        return InvalidFile(f"{self.path}:{line}: {what}", hint=CLI_HINT.format(path=self.path))

    def declarations(self) -> Iterator[tuple[Node, tuple[Node, ...]]]:
        """Top-level declarations, each with the decorators above it."""
        decorators: tuple[Node, ...] = ()
        for node in named(self.root):
            if node.type == "decorators":
                decorators = tuple(named(node))
                continue
            yield node, decorators
            decorators = ()

    def string_parts(self, node: Node) -> list[str | Node]:
        """A string's texts, unescaped, and the expressions interpolated between them.

        Texts are cut out of the source between the interpolations: the tree counts white space before
        an interpolation as part of it.
        """
        source = node.text or b""
        if source.startswith(b"'''"):
            return [source[3:-3].decode().removeprefix("\r").removeprefix("\n")]
        parts: list[str | Node] = []
        position = 1
        for child in named(node):
            if child.type == "interpolation":
                start = source.index(b"${", child.start_byte - node.start_byte)
                parts += [self._unescaped(node, source[position:start].decode()), only(child)]
                position = child.end_byte - node.start_byte
        parts.append(self._unescaped(node, source[position:-1].decode()))
        return [piece for piece in parts if piece != ""]

    def literal_string(self, node: Node) -> str | None:
        """The text of a string without interpolation; None for anything else."""
        if node.type != "string":
            return None
        parts = self.string_parts(node)
        return "".join(str(part) for part in parts) if all(isinstance(part, str) for part in parts) else None

    def properties(self, node: Node) -> list[tuple[str, Node]]:
        """An object's keys and value nodes."""
        pairs: dict[str, Node] = {}
        for child in named(node):
            parts = named(child)
            if child.type != "object_property" or len(parts) != 2 or parts[0].type == "resource_declaration":
                raise self.refuse(child, f"{child.type.replace('_', ' ')} is not supported in an object")
            key = self.literal_string(parts[0]) if parts[0].type == "string" else text_of(parts[0])
            if key is None:
                raise self.refuse(parts[0], "an interpolated key is not supported")
            if key in pairs:
                raise self.refuse(parts[0], f"the key {key!r} occurs twice")
            pairs[key] = parts[1]
        return list(pairs.items())

    def _unescaped(self, node: Node, text: str) -> str:
        def replace(match: re.Match[str]) -> str:
            if match[1]:
                return chr(int(match[1], 16))
            if match[0] not in ESCAPES:
                raise self.refuse(node, f"unknown escape {match[0]}")
            return ESCAPES[match[0]]

        return ESCAPE.sub(replace, text)


def parse(source: str, path: Path) -> SourceFile:
    """The syntax tree of a source text. Raises InvalidFile with the line where it is not Bicep."""
    tree = Parser(Language(tree_sitter_bicep.language())).parse(source.encode())
    file = SourceFile(path, tree.root_node)
    if tree.root_node.has_error:
        broken = _first_error(tree.root_node)
        near = text_of(broken).strip().partition("\n")[0][:40]
        raise file.refuse(broken, f"not understood near {near!r}" if near else "something is missing here")
    return file


def named(node: Node) -> list[Node]:
    """The children that mean something: no punctuation, no comments."""
    return [
        child
        for child in node.children
        if child.is_named and child.type not in ("comment", "diagnostic_comment")
    ]


def only(node: Node) -> Node:
    """The single meaningful child of a wrapping node (parentheses, an interpolation)."""
    (child,) = named(node)
    return child


def part(node: Node, field: str) -> Node:
    """A child that the grammar guarantees, by its field name."""
    child = node.child_by_field_name(field)
    if child is None:
        raise LookupError(f"{node.type} has no {field}")
    return child


def text_of(node: Node) -> str:
    """A node's source text."""
    return (node.text or b"").decode()


def _first_error(node: Node) -> Node:
    for child in node.children:
        if child.is_error or child.is_missing:
            return child
        if child.has_error:
            return _first_error(child)
    return node
