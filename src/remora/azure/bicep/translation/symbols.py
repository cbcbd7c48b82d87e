"""The symbols of one Bicep file, which the translator looks up. Translates nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal as OneOf
from typing import Protocol

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.syntax.source import Source
from remora.azure.bicep.translation.files import Files
from remora.azure.bicep.translation.libraries import Key, Library, Symbol
from remora.azure.bicep.translation.terms import Copy, Json, Term

Target = OneOf["resourceGroup", "subscription", "managementGroup", "tenant"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Deployed:
    """The fields that resources and modules share. `symbol` is `outer::inner` for a nested resource."""

    symbol: str
    at: int
    body: nodes.Object
    condition: nodes.Expression | None
    loop: nodes.For | None
    decorators: tuple[nodes.Decorator, ...]
    outer: Resource | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Resource(Deployed):
    type: str
    api_version: str
    existing: bool
    nested: dict[str, Resource] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Module(Deployed):
    """`template` is the template of the module's file, `target` what the file is deployed to.

    `secrets` are the names of its outputs that hold secrets.
    """

    template: Mapping[str, Json]
    target: Target
    secrets: frozenset[str]


@dataclass(frozen=True, slots=True)
class Reference:
    """A resource or module, with an index if it is one of a loop; no index means all of the loop.

    `at` is where the index is written.
    """

    target: Resource | Module
    index: Term | None = None
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Mention:
    """A reference in an expression. `weak`: it only uses what is known before the target exists."""

    reference: Reference
    weak: bool


@dataclass(frozen=True, slots=True)
class Resolved:
    """A variable's value and its references."""

    value: Term | Copy
    mentions: tuple[Mention, ...]


class Compiler(Protocol):
    """What a file needs of the compiler for the files that it refers to."""

    def template(self, source: Source, files: Files) -> dict[str, Json]:
        """The template of a module."""

    def library(self, source: Source, files: Files, origin: Path) -> Library:
        """What a file offers to import."""


@dataclass(slots=True)
class Program:
    """The declarations of one file, and what the compiler computes from them.

    `target` is what the file is deployed to. `symbolic`: the template keeps the symbols of resources, as
    languageVersion 2.0 does. `imported` are the imports by name, `spaces` those of whole files; `linked` are
    all symbols that the template takes from other files, by their name in it, and `names` these names.
    `loads` are the numbers of the variables for loaded files, by the place that loads them.
    """

    source: Source
    files: Files
    compiler: Compiler
    target: Target = "resourceGroup"
    parameters: dict[str, nodes.Parameter] = field(default_factory=dict)
    variables: dict[str, nodes.Variable] = field(default_factory=dict)
    deployed: dict[str, Resource | Module] = field(default_factory=dict)
    outputs: dict[str, nodes.Output] = field(default_factory=dict)
    types: dict[str, nodes.Alias] = field(default_factory=dict)
    functions: dict[str, nodes.Function] = field(default_factory=dict)
    metadata: dict[str, nodes.Metadata] = field(default_factory=dict)
    imports: list[nodes.Import] = field(default_factory=list)
    imported: dict[str, Symbol] = field(default_factory=dict)
    spaces: dict[str, Library] = field(default_factory=dict)
    linked: dict[str, Symbol] = field(default_factory=dict)
    names: dict[Key, str] = field(default_factory=dict)
    definitions: dict[str, dict[str, Json]] = field(default_factory=dict)
    symbolic: bool = False
    resolved: dict[str, Resolved] = field(default_factory=dict)
    resolving: list[str] = field(default_factory=list)
    loads: dict[int, int] = field(default_factory=dict)
    loaded: dict[str, Json] = field(default_factory=dict)
    waits: dict[str, set[str]] = field(default_factory=dict)

    def all_deployed(self) -> list[Resource | Module]:
        """Every resource and module; nested ones follow their outer resource."""
        found: list[Resource | Module] = []
        for deployed in self.deployed.values():
            found.append(deployed)
            if isinstance(deployed, Resource):
                found += _nested(deployed)
        return found

    def found(self, kind: str, name: str, space: str | None = None) -> str | None:
        """The name in the template of what is imported as `name`, or as `space.name`; else None."""
        home = self.imported if space is None else self.spaces[space].exported
        symbol = home.get(name)
        return self.names[symbol.key] if symbol is not None and symbol.kind == kind else None


def _nested(resource: Resource) -> list[Resource]:
    return [found for child in resource.nested.values() for found in (child, *_nested(child))]
