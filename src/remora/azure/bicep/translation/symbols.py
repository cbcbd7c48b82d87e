"""The symbols of one Bicep file, which the translator looks up. Translates nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal as OneOf

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.syntax.source import Source
from remora.azure.bicep.translation.files import Files
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
    """`template` is the template of the module's file, `target` what the file is deployed to."""

    template: Mapping[str, Json]
    target: Target


@dataclass(frozen=True, slots=True)
class Reference:
    """A resource or module, with an index if it is one of a loop; no index means all of the loop."""

    target: Resource | Module
    index: Term | None = None


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


@dataclass(slots=True)
class Program:
    """The declarations of one file, and what the compiler computes from them.

    `target` is what the file is deployed to. `symbolic`: the template keeps the symbols of resources, as
    languageVersion 2.0 does.
    """

    source: Source
    files: Files
    target: Target = "resourceGroup"
    parameters: dict[str, nodes.Parameter] = field(default_factory=dict)
    variables: dict[str, nodes.Variable] = field(default_factory=dict)
    deployed: dict[str, Resource | Module] = field(default_factory=dict)
    outputs: dict[str, nodes.Output] = field(default_factory=dict)
    types: dict[str, nodes.Alias] = field(default_factory=dict)
    functions: dict[str, nodes.Function] = field(default_factory=dict)
    metadata: dict[str, nodes.Metadata] = field(default_factory=dict)
    symbolic: bool = False
    resolved: dict[str, Resolved] = field(default_factory=dict)
    resolving: list[str] = field(default_factory=list)
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


def _nested(resource: Resource) -> list[Resource]:
    return [found for child in resource.nested.values() for found in (child, *_nested(child))]
