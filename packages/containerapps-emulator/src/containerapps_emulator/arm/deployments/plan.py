"""Plans which resources a template deploys and in which order. Evaluates names, but not yet bodies.

As on Azure, dependsOn, `reference()` and `list…()` define the order: a child waits for its parent only if
the template says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from containerapps_emulator.arm.locations import normal_location
from containerapps_emulator.arm.resources.built_in import DEPLOYMENT, RESOURCE_GROUP
from containerapps_emulator.arm.resources.paths import parse_resource_id, resource_id
from containerapps_emulator.arm.resources.place import Place
from containerapps_emulator.arm.resources.resource import ResourceId
from containerapps_emulator.arm.templates.expressions import ExpressionError, calls_in, evaluate_node
from containerapps_emulator.arm.templates.loops import checked_count
from containerapps_emulator.arm.templates.scope import Scope, is_list_function
from containerapps_emulator.arm.templates.template import Template, TemplateResource
from containerapps_emulator.state import Json


@dataclass(frozen=True, slots=True)
class PlannedResource:
    """One resource to PUT after the resources it depends on. `waits_for` holds their id keys, in order.

    `scope` evaluates the body: it knows the current loop iteration.
    """

    id: ResourceId
    api_version: str
    location: str | None
    body: Json
    waits_for: tuple[str, ...]
    scope: Scope

    @property
    def is_deployment(self) -> bool:
        return self.id.type.lower() == DEPLOYMENT.lower()

    @property
    def is_resource_group(self) -> bool:
        return self.id.type.lower() == RESOURCE_GROUP.lower()


class Names:
    """Finds the template's resources by id, type/name, name, symbol or loop name."""

    def __init__(self) -> None:
        self._ids: dict[str, ResourceId] = {}
        self._loops: dict[str, list[ResourceId]] = {}

    def add(self, resource: TemplateResource, identity: ResourceId, index: int) -> None:
        """Add every name of the resource; a bare name that two resources share refers to the first."""
        full_name = "/".join(identity.names)
        symbol = resource.symbol
        if resource.loop is not None:
            for name in {resource.loop.name.lower(), (symbol or resource.loop.name).lower()}:
                self._loops.setdefault(name, []).append(identity)
            symbol = None if symbol is None else f"{symbol}[{index}]"
        for alias in (str(identity), f"{identity.type}/{full_name}", full_name, symbol):
            if alias is not None:
                self._ids.setdefault(alias.lower(), identity)

    def find(self, text: str) -> ResourceId | None:
        """The resource that `text` names: one of this template, or any full id."""
        return self._ids.get(text.lower()) or parse_resource_id(text)

    def add_loop(self, resource: TemplateResource) -> None:
        """Add a loop by its name and symbol, even if it has no iterations."""
        if resource.loop is not None:
            for name in (resource.loop.name, resource.symbol or ""):
                self._loops.setdefault(name.lower(), [])

    def find_all(self, text: str) -> list[ResourceId] | None:
        """As `find`, or the resources of every iteration of the loop with that name."""
        found = self._loops.get(text.lower())
        if found is not None:
            return found
        one = self.find(text)
        return None if one is None else [one]


@dataclass(frozen=True, slots=True)
class Plan:
    """The resources to deploy, dependencies first."""

    resources: tuple[PlannedResource, ...]
    names: Names

    def describe(self, spelled: Callable[[str], str]) -> Json:
        """`providers` and `dependencies`, as a deployment shows them."""
        locations: dict[str, list[str | None]] = {}
        for item in self.resources:
            places = locations.setdefault(spelled(item.id.type), [])
            place = normal_location(item.location) if isinstance(item.location, str) else None
            if place not in places:
                places.append(place)
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


@dataclass(frozen=True, slots=True)
class _Instance:
    """A resource of the template, in one iteration of its loop if it has one."""

    resource: TemplateResource
    id: ResourceId
    scope: Scope
    after: tuple[str, ...]
    """Keys of the previous batch."""


def make_plan(template: Template, scope: Scope, place: Place) -> Plan:
    """Plan a deployment. Raises ExpressionError for a template that cannot be deployed."""
    names = Names()
    wanted: dict[str, _Instance] = {}
    skipped: set[str] = set()
    for resource in template.resources:
        names.add_loop(resource)
        for index, instance in enumerate(_instances(resource, scope, place)):
            names.add(resource, instance.id, index)
            if resource.existing or not _condition(resource, instance.scope):
                skipped.add(instance.id.key)
            elif instance.id.key in wanted:
                raise ExpressionError(
                    f"The resource '{instance.id}' at line '1' and column '1' is defined multiple times in a"
                    " template. Please see https://aka.ms/arm-syntax-resources for usage details."
                )
            else:
                wanted[instance.id.key] = instance
    known = wanted.keys() | skipped
    planned = [_planned(instance, names, known) for instance in wanted.values()]
    return Plan(tuple(_ordered(planned, skipped)), names)


def _brief(identity: ResourceId) -> Json:
    return {"id": str(identity), "resourceType": identity.type, "resourceName": "/".join(identity.names)}


def _instances(resource: TemplateResource, scope: Scope, place: Place) -> Iterator[_Instance]:
    loop = resource.loop
    if loop is None:
        yield _Instance(resource, _identity(resource, scope, place), scope, ())
        return
    where = f"resource '{resource.name}'"
    count = checked_count(scope.evaluate(loop.count), where)
    size = count if loop.batch is None else max(1, checked_count(scope.evaluate(loop.batch), where))
    former: tuple[str, ...] = ()
    batch: list[str] = []
    for index in range(count):
        if len(batch) == size:
            former, batch = tuple(batch), []
        inside = scope.with_loops(**{"": index, loop.name: index})
        identity = _identity(resource, inside, place)
        batch.append(identity.key)
        yield _Instance(resource, identity, inside, former)


def _identity(resource: TemplateResource, scope: Scope, place: Place) -> ResourceId:
    name = scope.evaluate(resource.name)
    subscription, group = place.subscription, place.group
    if resource.subscription is not None:
        subscription, group = scope.evaluate(resource.subscription), ""
    if resource.group is not None:
        group = scope.evaluate(resource.group)
    if not isinstance(group, str) or not isinstance(subscription, str):
        raise ExpressionError(f"The 'resourceGroup' and 'subscriptionId' of '{name}' must be strings.")
    is_group = resource.type.lower() == RESOURCE_GROUP.lower()
    found = resource_id(subscription, "" if is_group else group, resource.type, str(name))
    if found is None or not isinstance(name, str):
        raise ExpressionError(
            f"The template resource '{name}' for type '{resource.type}' has incorrect segment lengths. A"
            " nested resource type must have identical number of segments as its resource name."
        )
    if subscription != place.subscription:
        raise ExpressionError(f"The resource '{name}' is in another subscription, '{subscription}'.")
    if not resource.existing:
        _check_level(found, place)
    return found if resource.extends is None else replace(found, extends=_extended(resource, scope, place))


def _extended(resource: TemplateResource, scope: Scope, place: Place) -> str:
    """The id of the resource that a role assignment is for, of an id or of `type/name[/type/name…]`."""
    text = str(scope.evaluate(resource.extends))
    group = f"/subscriptions/{place.subscription}/resourceGroups/{place.group}"
    written = text if text.startswith("/") else f"{group}/providers/{text}"
    if parse_resource_id(written) is None:
        raise ExpressionError(f"The 'scope' of '{resource.name}' is not the id of a resource: '{text}'.")
    return written


def _check_level(identity: ResourceId, place: Place) -> None:
    """A group is deployed to the subscription, other resources to a group, nested deployments to either."""
    level = "resource group" if place.group else "subscription"
    is_group = identity.type.lower() == RESOURCE_GROUP.lower()
    if identity.type.lower() == DEPLOYMENT.lower() or is_group != bool(place.group):
        return
    raise ExpressionError(
        f"The template resource '{identity.name}' of type '{identity.type}' cannot be deployed to a"
        f" {level}; a nested deployment can have another scope. Please see"
        " https://aka.ms/arm-deployment for usage details."
    )


def _condition(resource: TemplateResource, scope: Scope) -> bool:
    value = scope.evaluate(resource.condition)
    if not isinstance(value, bool):
        raise ExpressionError(f"The condition of the resource '{resource.name}' must be a boolean.")
    return value


def _planned(instance: _Instance, names: Names, known: Set[str]) -> PlannedResource:
    resource, scope = instance.resource, instance.scope
    waits_for = dict.fromkeys(instance.after)
    for text in resource.depends_on:
        target = scope.evaluate(text)
        found = names.find_all(target) if isinstance(target, str) else None
        keys = [identity.key for identity in found or ()]
        if found is None or not set(keys) <= known:
            raise ExpressionError(
                f"The resource '{target}' is not defined in the template. Please see"
                " https://aka.ms/arm-syntax for usage details."
            )
        waits_for.update(dict.fromkeys(keys))
    waits_for.update((key, None) for key in _implied(resource, scope, names) if key in known)
    waits_for.pop(instance.id.key, None)
    location = scope.evaluate(resource.body.get("location"))
    return PlannedResource(
        instance.id, resource.api_version, location, resource.body, tuple(waits_for), scope
    )


def _implied(resource: TemplateResource, scope: Scope, names: Names) -> Iterator[str]:
    """Keys of the resources that the body reads with reference() or list…()."""
    for call in calls_in(seen_from_outside(resource.body)):
        if call.arguments and (call.name in ("reference", "references") or is_list_function(call.name)):
            try:
                target = evaluate_node(call.arguments[0], scope.call)
            except ExpressionError:
                continue  # the target is computed from a deployed resource
            if isinstance(target, str):
                yield from (found.key for found in names.find_all(target) or ())


def seen_from_outside(body: Json) -> Json:
    """A resource's body, without the template of a nested deployment that is evaluated separately."""
    properties: Any = body.get("properties")
    if not is_inner(properties):
        return body
    return {**body, "properties": {key: item for key, item in properties.items() if key != "template"}}


def is_inner(properties: Any) -> bool:
    """Whether a nested deployment's template uses its own parameters, not the outer template's scope."""
    options = properties.get("expressionEvaluationOptions") if isinstance(properties, dict) else None
    return isinstance(options, dict) and str(options.get("scope", "")).lower() == "inner"


def _ordered(planned: Sequence[PlannedResource], skipped: Set[str]) -> Iterator[PlannedResource]:
    """Sort topologically, otherwise in the template's order. Raises ExpressionError on a cycle."""
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
