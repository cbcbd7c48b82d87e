"""How a template refers to a resource or module: name, id, scope, state. Translates no expression itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from typing import Literal as OneOf

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.translation.functions import is_list
from remora.azure.bicep.translation.symbols import Module, Program, Reference, Resource, Target
from remora.azure.bicep.translation.terms import Copy, Json, Literal, Term, access, call, calls

DEPLOYMENTS = "Microsoft.Resources/deployments"
DEPLOYMENTS_VERSION = "2025-04-01"
RESOURCE_GROUPS = "microsoft.resources/resourcegroups"
MANAGEMENT_GROUPS = "Microsoft.Management/managementGroups"
_SCHEMA = "https://schema.management.azure.com/schemas"
SCHEMAS: Final[Mapping[Target, str]] = {
    "resourceGroup": f"{_SCHEMA}/2019-04-01/deploymentTemplate.json#",
    "subscription": f"{_SCHEMA}/2018-05-01/subscriptionDeploymentTemplate.json#",
    "managementGroup": f"{_SCHEMA}/2019-08-01/managementGroupDeploymentTemplate.json#",
    "tenant": f"{_SCHEMA}/2019-08-01/tenantDeploymentTemplate.json#",
}
SCOPE_ARGUMENTS: Final = {"resourceGroup": 2, "subscription": 1, "managementGroup": 1, "tenant": 0}
LONGEST_NAME = 64  # of a deployment
HASH_LENGTH, INDEX_LENGTH = 13, 3  # the length of uniqueString's result, and of a loop's index (at most 800)


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope of a resource that differs from the one that its file is deployed to.

    `values`: subscription and group; a subscription, or none for this one; the name of a management group;
    nothing of the tenant; the id of a resource. `in_this_subscription`: the file names no subscription.
    """

    kind: Target | OneOf["resource"]
    values: tuple[Term, ...] = ()
    in_this_subscription: bool = False


def target_of(template: Mapping[str, Json]) -> Target:
    """What a template is deployed to, by its schema."""
    schema = _schema_name(str(template.get("$schema", "")))
    known = {_schema_name(url): target for target, url in SCHEMAS.items()}
    return known.get(schema, "resourceGroup")


def _schema_name(url: str) -> str:
    """The last part of the URL: Azure takes every date before it."""
    return url.rpartition("/")[2].rstrip("#").lower()


def is_runtime(value: Term | Copy) -> bool:
    """Whether a term reads the state of a deployed resource, which ARM's variables cannot do."""
    return any(found.name == "reference" or is_list(found.name) for found in calls(value))


class Naming(ABC):
    """The part of a translator that names resources and modules."""

    program: Program

    @abstractmethod
    def term(self, node: nodes.Expression) -> Term: ...

    @abstractmethod
    def reference(self, node: nodes.Expression) -> Reference | None: ...

    @abstractmethod
    def inside(self, reference: Reference) -> Naming:
        """A translator for expressions inside the referenced declaration."""

    def id_of(self, reference: Reference) -> Term:
        """The `resourceId(…)` of a resource or module, or its form for the scope that it is in."""
        target, inner = reference.target, self.inside(reference)
        kind = target.type if isinstance(target, Resource) else DEPLOYMENTS
        scope = inner.scope(target) or Scope(self.program.target)
        return _scoped_id(scope, kind, inner.names(target))

    def name_of(self, reference: Reference) -> Term:
        """The name in the declaration."""
        return self.inside(reference).own_name(reference.target)

    def handle(self, reference: Reference) -> Term:
        """The argument of `reference`, `list…` and `dependsOn`: a kept symbol, else the id."""
        target = reference.target
        if not self.is_named(target):
            return self.id_of(reference)
        if reference.index is None:
            return Literal(target.symbol)
        return call("format", f"{target.symbol}[{{0}}]", reference.index)

    def read(self, reference: Reference, *, full: bool) -> Term:
        """The `reference(…)` of a resource or module: its properties, or the whole resource with `full`."""
        target = reference.target
        version = target.api_version if isinstance(target, Resource) else DEPLOYMENTS_VERSION
        if full:
            return call("reference", self.handle(reference), version, "full")
        if self.is_named(target):
            return call("reference", self.handle(reference))
        return call("reference", self.handle(reference), version)

    def is_named(self, target: Resource | Module) -> bool:
        """Whether the template keeps its symbol, which it does not if the name is known only at run time."""
        if not self.program.symbolic:
            return False
        if isinstance(target, Module) or not target.existing:
            return True
        return not any(is_runtime(name) for name in self.inside(Reference(target)).names(target))

    def own_name(self, target: Resource | Module) -> Term:
        name = target.body.properties.get("name")
        if name is not None:
            return self.term(name)
        index = (call("copyIndex"),) if target.loop is not None else ()
        taken = HASH_LENGTH + 1 + (INDEX_LENGTH + 1) * len(index)
        prefix = target.symbol[: LONGEST_NAME - taken]
        unique = call("uniqueString", target.symbol, access(call("deployment"), "name"))
        return call("format", f"{prefix}-{{0}}-{{1}}" if index else f"{prefix}-{{0}}", *index, unique)

    def full_name(self, target: Resource | Module) -> Term:
        """The name in the template's form, after the names of its parents."""
        if self.parent(target) is None:
            return self.own_name(target)
        names = self.names(target)
        return call("format", "/".join(f"{{{number}}}" for number in range(len(names))), *names)

    def names(self, target: Resource | Module) -> list[Term]:
        """One name per segment of the type, outermost parent first."""
        own, parent = self.own_name(target), self.parent(target)
        if parent is not None:
            return [*self.inside(parent).names(parent.target), own]
        segments = target.type.count("/") if isinstance(target, Resource) else 1
        if segments == 1:
            return [own]
        return [access(call("split", own, "/"), number) for number in range(segments)]

    def parent(self, target: Resource | Module) -> Reference | None:
        """The parent resource, if the declaration names one."""
        if target.outer is not None:
            return Reference(target.outer)
        node = target.body.properties.get("parent") if isinstance(target, Resource) else None
        if node is None:
            return None
        found = self.reference(node)
        if found is None or not isinstance(found.target, Resource):
            raise self.program.source.refuse(node.at, "the parent is not a resource of this file")
        return found

    def scope(self, target: Resource | Module) -> Scope | None:
        """Its scope; None for the one that the file is deployed to."""
        parent = self.parent(target)
        if parent is not None:
            return self.inside(parent).scope(parent.target)
        node = target.body.properties.get("scope")
        if node is None:
            return None
        variable = self.program.variables.get(node.text) if isinstance(node, nodes.Name) else None
        node = variable.value if variable is not None else node
        if isinstance(node, nodes.Invoke):
            name = node.named("az")
            if name is not None:
                return self._scope_call(node, name)
        found = self.reference(node)
        if found is None or not isinstance(found.target, Resource):
            raise self.program.source.refuse(node.at, "the scope is not a resource or resource group")
        if found.target.type.lower() == RESOURCE_GROUPS:
            return self._group(found)
        if found.target.type.lower() == MANAGEMENT_GROUPS.lower():
            return Scope("managementGroup", (self.name_of(found),))
        return Scope("resource", (self.id_of(found),))

    def _scope_call(self, node: nodes.Invoke, function: str) -> Scope | None:
        values = tuple(self.term(argument) for argument in node.arguments)
        most = SCOPE_ARGUMENTS.get(function)
        if most is None or len(values) > most:
            raise self.program.source.refuse(node.at, f"the scope {function} is not supported")
        kind = next(target for target in SCHEMAS if target == function)
        if not values and kind == self.program.target:
            return None
        if not values and kind in ("resourceGroup", "managementGroup"):
            raise self.program.source.refuse(
                node.at, f"{function}() needs a name in a file for a {self.program.target}"
            )
        if kind == "resourceGroup" and len(values) == 1:
            return Scope(kind, (access(call("subscription"), "subscriptionId"), *values), True)
        return Scope(kind, values)

    def _group(self, group: Reference) -> Scope:
        scope = self.inside(group).scope(group.target)
        values = scope.values if scope is not None and scope.kind == "subscription" else ()
        subscription = values[0] if values else access(call("subscription"), "subscriptionId")
        return Scope("resourceGroup", (subscription, self.name_of(group)), not values)


def _scoped_id(scope: Scope, kind: str, names: list[Term]) -> Term:
    if scope == Scope("resourceGroup"):
        return call("resourceId", kind, *names)
    if scope.kind == "tenant":
        return call("tenantResourceId", kind, *names)
    if scope.kind == "subscription":
        return call("subscriptionResourceId", *scope.values, kind, *names)
    return call("extensionResourceId", _within(scope), kind, *names)


def _within(scope: Scope) -> Term:
    """The id of a resource group, management group or resource."""
    if scope.kind == "resourceGroup":
        return call("format", "/subscriptions/{0}/resourceGroups/{1}", *scope.values)
    if scope.kind == "managementGroup" and not scope.values:
        return access(call("managementGroup"), "id")
    if scope.kind == "managementGroup":
        return call("tenantResourceId", MANAGEMENT_GROUPS, *scope.values)
    return scope.values[0]
