"""What a template will deploy and in which order. Names are evaluated, bodies are not yet.

Order comes from dependsOn and from `reference()` and `list…()`, as on Azure: a child does not wait for
its parent unless it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from remora.localcloud.arm.expressions import ExpressionError, calls_in, evaluate_node
from remora.localcloud.arm.paths import parse_resource_id, resource_id
from remora.localcloud.arm.resource import ResourceId
from remora.localcloud.arm.scope import Scope, is_list_function
from remora.localcloud.arm.template import Template, TemplateResource
from remora.localcloud.state import Json


@dataclass(frozen=True, slots=True)
class PlannedResource:
    """One resource to PUT once those it waits for are there. `waits_for` holds id keys, in order."""

    id: ResourceId
    api_version: str
    location: str | None
    body: Json
    waits_for: tuple[str, ...]


class Names:
    """Finds a resource of the template by id, by type/name, by name or by symbol."""

    def __init__(self) -> None:
        self._ids: dict[str, ResourceId] = {}

    def add(self, resource: TemplateResource, identity: ResourceId) -> None:
        """Every way to call it; a bare name that two resources share means the first."""
        full_name = "/".join(identity.names)
        for alias in (str(identity), f"{identity.type}/{full_name}", full_name, resource.symbol):
            if alias is not None:
                self._ids.setdefault(alias.lower(), identity)

    def find(self, text: str) -> ResourceId | None:
        """The resource that a text names: of this template, or any full id."""
        return self._ids.get(text.lower()) or parse_resource_id(text)


@dataclass(frozen=True, slots=True)
class Plan:
    """The resources to deploy, those on which others wait first."""

    resources: tuple[PlannedResource, ...]
    names: Names

    def describe(self, spelled: Callable[[str], str]) -> Json:
        """`providers` and `dependencies`, as a deployment shows them."""
        locations: dict[str, list[str | None]] = {}
        for item in self.resources:
            places = locations.setdefault(spelled(item.id.type), [])
            if item.location not in places:
                places.append(item.location)
        providers: dict[str, list[Json]] = {}
        for full_type, places in locations.items():
            namespace, _, kind = full_type.partition("/")
            providers.setdefault(namespace, []).append({"resourceType": kind, "locations": places})
        by_key = {item.id.key: item for item in self.resources}
        dependencies = [
            {"dependsOn": [_brief(by_key[key].id) for key in item.waits_for], **_brief(item.id)}
            for item in self.resources
            if item.waits_for
        ]
        return {
            "providers": [{"namespace": name, "resourceTypes": types} for name, types in providers.items()],
            "dependencies": dependencies,
        }


def make_plan(template: Template, scope: Scope, subscription: str, group: str) -> Plan:
    """Raises ExpressionError for anything that could never be deployed."""
    names = Names()
    wanted: dict[str, tuple[TemplateResource, ResourceId]] = {}
    skipped: set[str] = set()
    for resource in template.resources:
        identity = _identity(resource, scope, subscription, group)
        names.add(resource, identity)
        if resource.existing or not _condition(resource, scope):
            skipped.add(identity.key)
        elif identity.key in wanted:
            raise ExpressionError(
                f"The resource '{identity}' at line '1' and column '1' is defined multiple times in a"
                " template. Please see https://aka.ms/arm-syntax-resources for usage details."
            )
        else:
            wanted[identity.key] = (resource, identity)
    known = wanted.keys() | skipped
    planned = [_planned(resource, identity, scope, names, known) for resource, identity in wanted.values()]
    return Plan(tuple(_ordered(planned, skipped)), names)


def _brief(identity: ResourceId) -> Json:
    return {"id": str(identity), "resourceType": identity.type, "resourceName": "/".join(identity.names)}


def _identity(resource: TemplateResource, scope: Scope, subscription: str, group: str) -> ResourceId:
    name = scope.evaluate(resource.name)
    found = resource_id(subscription, group, resource.type, name) if isinstance(name, str) else None
    if found is None:
        raise ExpressionError(
            f"The template resource '{name}' for type '{resource.type}' has incorrect segment lengths. A"
            " nested resource type must have identical number of segments as its resource name."
        )
    return found


def _condition(resource: TemplateResource, scope: Scope) -> bool:
    value = scope.evaluate(resource.condition)
    if not isinstance(value, bool):
        raise ExpressionError(f"The condition of the resource '{resource.name}' must be a boolean.")
    return value


def _planned(
    resource: TemplateResource, identity: ResourceId, scope: Scope, names: Names, known: Set[str]
) -> PlannedResource:
    waits_for: dict[str, None] = {}
    for text in resource.depends_on:
        key = _dependency(scope.evaluate(text), names)
        if key not in known:
            raise ExpressionError(
                f"The resource '{scope.evaluate(text)}' is not defined in the template. Please see"
                " https://aka.ms/arm-syntax for usage details."
            )
        waits_for[key] = None
    waits_for.update((key, None) for key in _implied(resource.body, scope, names) if key in known)
    waits_for.pop(identity.key, None)
    location = scope.evaluate(resource.body.get("location"))
    return PlannedResource(identity, resource.api_version, location, resource.body, tuple(waits_for))


def _dependency(text: Any, names: Names) -> str:
    found = names.find(text) if isinstance(text, str) else None
    return found.key if found is not None else ""


def _implied(body: Json, scope: Scope, names: Names) -> Iterator[str]:
    """Resources that the body looks at with reference() or list…()."""
    for call in calls_in(body):
        if call.arguments and (call.name == "reference" or is_list_function(call.name)):
            try:
                target = evaluate_node(call.arguments[0], scope.call)
            except ExpressionError:
                continue  # the target is itself computed from a deployed resource
            found = names.find(target) if isinstance(target, str) else None
            if found is not None:
                yield found.key


def _ordered(planned: Sequence[PlannedResource], skipped: Set[str]) -> Iterator[PlannedResource]:
    """Topological, otherwise in the template's order. Raises ExpressionError on a circle."""
    waiting = [
        replace(item, waits_for=tuple(key for key in item.waits_for if key not in skipped))
        for item in planned
    ]
    done: set[str] = set()
    while waiting:
        ready = [item for item in waiting if done.issuperset(item.waits_for)]
        if not ready:
            raise ExpressionError(
                f"Circular dependency detected on resource: '{waiting[0].id}'. Please see"
                " https://aka.ms/arm-syntax-resources for usage details."
            )
        yield from ready
        done.update(item.id.key for item in ready)
        waiting = [item for item in waiting if item.id.key not in done]
