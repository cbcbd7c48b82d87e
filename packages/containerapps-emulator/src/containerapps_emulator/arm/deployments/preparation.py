"""Turns a request into a plan, with every check that needs no deployed resource. Deploys nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from containerapps_emulator.arm.deployments.plan import Plan, PlannedResource, is_inner, make_plan
from containerapps_emulator.arm.lenient_json import Position
from containerapps_emulator.arm.locations import normal_location
from containerapps_emulator.arm.resources.groups import Groups
from containerapps_emulator.arm.resources.known_versions import require_version
from containerapps_emulator.arm.resources.place import Place
from containerapps_emulator.arm.resources.registry import Registry
from containerapps_emulator.arm.resources.resource import ArmError, ResourceId
from containerapps_emulator.arm.resources.tags import checked_tags
from containerapps_emulator.arm.subscription import Subscription
from containerapps_emulator.arm.templates import parameters
from containerapps_emulator.arm.templates.expressions import ExpressionError, NotDeployedYetError
from containerapps_emulator.arm.templates.scope import Scope
from containerapps_emulator.arm.templates.surroundings import Surroundings
from containerapps_emulator.arm.templates.template import Template, invalid_template, load_template
from containerapps_emulator.state import Json

_NAME = re.compile(r"[\w().-]{1,64}")
_SEEN_SECTIONS = ("definitions", "parameters", "variables", "functions")
Locate = Callable[[str], Position | None]


@dataclass(frozen=True, slots=True)
class Outer:
    """The scope of a nested template in outer scope: everything that the outer template can use."""

    template: Json
    parameters: Json
    group: str
    deployment: Json
    loops: dict[str, int]

    @classmethod
    def from_json(cls, document: Json | None) -> Outer | None:
        return None if document is None else cls(**document)

    def to_json(self) -> Json:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Request:
    """A deployment that a client or an outer template requests."""

    place: Place
    name: str
    properties: Json
    location: str | None = None
    tags: Json | None = None
    outer: Outer | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A deployment that is ready to run. `nested` are the nested deployments that are prepared already."""

    request: Request
    template: Template
    parameters: Json
    scope: Scope
    plan: Plan
    nested: tuple[Prepared, ...]
    unknown: tuple[ResourceId, ...]
    """Nested deployments that depend on resources that do not exist yet."""

    def all_ids(self) -> Iterator[ResourceId]:
        """Its own resources, then those of nested deployments."""
        yield from (item.id for item in self.plan.resources)
        for nested in self.nested:
            yield from nested.all_ids()

    def nested_request(self, item: PlannedResource, given: Json) -> Request:
        """A nested deployment as a separate request. `given` is the evaluated `nested_values`."""
        properties = item.body["properties"]
        return Request(
            place=Place(item.id.subscription, item.id.group),
            name=item.id.name,
            properties={
                "mode": given["mode"],
                "template": properties["template"],
                "parameters": given["parameters"],
            },
            location=given["location"],
            tags=checked_tags(given),
            outer=None if is_inner(properties) else self._outer(item.scope),
        )

    def _outer(self, scope: Scope) -> Outer:
        around = self.request.outer
        if around is not None:  # this one is in outer scope itself: both have the same scope
            return Outer(around.template, around.parameters, around.group, around.deployment, scope.loops)
        template = self.request.properties["template"]
        return Outer(
            template={key: template[key] for key in _SEEN_SECTIONS if key in template},
            parameters=self.parameters,
            group=self.request.place.group,
            deployment=scope.surroundings.deployment,
            loops=scope.loops,
        )


def nested_values(item: PlannedResource) -> Json:
    """The unevaluated values that the outer template gives a nested deployment. Raises ExpressionError."""
    properties = item.body.get("properties")
    if not isinstance(properties, dict) or not isinstance(properties.get("template"), dict):
        raise ExpressionError(
            f"The nested deployment '{item.id.name}' has no 'properties.template'; linked templates are not"
            " supported by the local cloud."
        )
    return {
        "mode": properties.get("mode", "Incremental"),
        "parameters": properties.get("parameters") or {},
        "location": item.body.get("location"),
        "tags": item.body.get("tags"),
    }


class Preparation:
    """Knows which groups and types exist; changes nothing."""

    def __init__(self, subscription: Subscription, groups: Groups, registry: Registry) -> None:
        self._subscription = subscription
        self._groups = groups
        self._registry = registry

    def prepare(
        self,
        request: Request,
        locate: Locate,
        *,
        bound: Json | None = None,
        coming: Mapping[str, Json] = MappingProxyType({}),
    ) -> Prepared:
        """Raises ArmError. `bound` are the parameters of a deployment that was prepared before.

        `coming` are the resource groups that the outer template will have created by then, by lower-case
        name.
        """
        properties = _checked(request)
        template = load_template(properties["template"])
        try:
            if bound is None:
                bound = self._bind(request, template, locate, coming)
            scope = self._scope(request, template, bound, {}, coming)
            plan = make_plan(template, scope, request.place)
        except ExpressionError as error:
            raise invalid_template(str(error)) from None
        for item in plan.resources:
            self._registry.spelled(item.id.type)
            require_version(item.id.type, item.api_version, str(item.location or ""))
        prepared = Prepared(request, template, bound, scope, plan, (), ())
        return self._with_nested(prepared, coming)

    def _with_nested(self, prepared: Prepared, coming: Mapping[str, Json]) -> Prepared:
        plan = prepared.plan
        coming = {**coming, **dict(self._groups_of(plan))}
        nested: list[Prepared] = []
        unknown: list[ResourceId] = []
        for item in plan.resources:
            if not item.is_deployment:
                continue
            found = self._nested(prepared, item, coming)
            if found is None:
                unknown.append(item.id)
            else:
                nested.append(found)
        return Prepared(
            prepared.request,
            prepared.template,
            prepared.parameters,
            prepared.scope,
            plan,
            tuple(nested),
            tuple(unknown),
        )

    def _groups_of(self, plan: Plan) -> Iterator[tuple[str, Json]]:
        """The groups that the plan creates, as far as they are known before."""
        for item in plan.resources:
            if item.is_resource_group and not self._groups.exists(item.id.name):
                location = normal_location(item.location) if isinstance(item.location, str) else None
                group = {"name": item.id.name, "location": location or item.location, "tags": None}
                group |= {"managedBy": None, "provisioningState": "Succeeded"}
                yield item.id.name.lower(), self._groups.show(group)

    def _nested(
        self, prepared: Prepared, item: PlannedResource, coming: Mapping[str, Json]
    ) -> Prepared | None:
        """A prepared nested deployment; None if an earlier resource must be deployed first."""
        try:
            request = prepared.nested_request(item, item.scope.evaluate(nested_values(item)))
        except NotDeployedYetError:
            return None
        except ExpressionError as error:
            raise invalid_template(str(error)) from None
        return self.prepare(request, lambda _: None, coming=coming)

    def _bind(self, request: Request, template: Template, locate: Locate, coming: Mapping[str, Json]) -> Json:
        """The values of the parameters: the given ones, else the defaults."""
        defaults = parameters.default_values(template.parameters)
        given = parameters.given_values(template.parameters, request.properties.get("parameters"))
        own = Request(request.place, request.name, request.properties, request.location)
        scope = self._scope(own, template, given, defaults, coming)
        return parameters.bind(template.parameters, scope.parameter, defaults.keys() | given.keys(), locate)

    def _scope(
        self,
        request: Request,
        template: Template,
        values: Json,
        defaults: Json,
        coming: Mapping[str, Json],
    ) -> Scope:
        outer = request.outer
        if outer is not None:
            around = load_template(outer.template)
            seen = Scope(
                self._surroundings(outer.group, outer.deployment, coming),
                parameters=outer.parameters,
                defaults={},
                variables=around.variables,
                functions=around.functions,
            )
            return seen.with_loops(**outer.loops)
        return Scope(
            self._surroundings(request.place.group, _deployment(request), coming),
            parameters=values,
            defaults=defaults,
            variables=template.variables,
            functions=template.functions,
        )

    def _surroundings(self, group: str, deployment: Json, coming: Mapping[str, Json]) -> Surroundings:
        shown = coming.get(group.lower()) if group else None
        if group and shown is None:
            shown = self._groups.show(self._groups.require_open(group))
        return Surroundings(
            subscription=self._subscription.show(),
            tenant_id=self._subscription.tenant_id,
            group=shown,
            deployment=deployment,
        )


def _deployment(request: Request) -> Json:
    """The result of `deployment()`."""
    template = request.properties["template"]
    headings = {key: template[key] for key in ("$schema", "contentVersion") if key in template}
    shown: Json = {
        "name": request.name,
        "properties": {"template": headings, "mode": "Incremental", "provisioningState": "Accepted"},
    }
    return shown if request.location is None else {**shown, "location": request.location}


def _checked(request: Request) -> Json:
    """Require what the local cloud supports: an inline template in incremental mode."""
    if not _NAME.fullmatch(request.name):
        raise ArmError(400, "InvalidDeployment", f"The deployment name '{request.name}' is not valid.")
    properties: Any = request.properties
    if not isinstance(properties, dict) or properties.get("template") is None:
        raise ArmError(
            400,
            "InvalidRequestContent",
            "The request content was invalid: 'properties.template' is required; linked templates are not"
            " supported by the local cloud.",
        )
    mode = properties.get("mode", "Incremental")
    if str(mode).lower() != "incremental":
        raise ArmError(
            400,
            "InvalidDeployment",
            f"The deployment mode '{mode}' is not supported by the local cloud, which never deletes what a"
            " template leaves out. Use 'Incremental'.",
        )
    return properties
