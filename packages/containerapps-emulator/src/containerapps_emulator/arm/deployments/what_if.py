"""Computes what a deployment would change. Asks each resource's service for the result. Writes nothing.

An expression that cannot be evaluated before the deployment stays an expression in the response.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator
from typing import Any

from containerapps_emulator.arm.deployments.deployed import Deployed, View
from containerapps_emulator.arm.deployments.difference import differences
from containerapps_emulator.arm.deployments.plan import PlannedResource
from containerapps_emulator.arm.deployments.preparation import Locate, Preparation, Prepared, Request
from containerapps_emulator.arm.locations import normal_location
from containerapps_emulator.arm.resources.built_in import RESOURCE_GROUP
from containerapps_emulator.arm.resources.place import Place
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.arm.resources.resources import Resources
from containerapps_emulator.arm.templates.expressions import ExpressionError, calls_in
from containerapps_emulator.arm.templates.scope import Scope, is_list_function
from containerapps_emulator.state import Json

_OF_THE_SERVICE = frozenset(
    (
        *("provisioningState", "systemData", "etag", "creationTime", "createdDate", "modifiedDate"),
        *("lastModifiedTime", "keyCreationTime", "privateEndpointConnections"),
        *("primaryEndpoints", "primaryLocation", "statusOfPrimary"),
        *("secondaryEndpoints", "secondaryLocation", "statusOfSecondary"),
    )
)
_UNTOLD = (("sku", "tier"), ("properties", "encryption", "services"))
"""Properties inside others that only the service sets."""
_NEW_EACH_TIME = ("utcnow", "newguid")
_ENVELOPE = ("apiVersion", "id", "name", "type")


class _Unknown(str):
    """An expression that cannot be evaluated yet, as written in the template."""

    __slots__ = ()


class WhatIf:
    """Handles `…/whatIf`."""

    def __init__(self, preparation: Preparation, deployed: Deployed, resources: Resources) -> None:
        self._preparation = preparation
        self._deployed = deployed
        self._resources = resources

    def ask(self, request: Request, locate: Locate) -> Json:
        """The result of the operation. Raises ArmError if the template is invalid."""
        prepared = self._preparation.prepare(request, locate)
        settings = request.properties.get("whatIfSettings")
        wanted = settings.get("resultFormat") if isinstance(settings, dict) else None
        ids_only = str(wanted).lower() == "resourceidonly"
        try:
            changes = [*self._changes(prepared, _kept_expressions(prepared)), *self._untouched(prepared)]
        except ArmError as error:
            return {"status": "Failed", "error": error.to_json()}
        if ids_only:
            changes = [_brief(change) for change in changes]
        properties: Json = {"correlationId": str(uuid.uuid4()), "changes": changes}
        diagnostics = list(_diagnostics(prepared))
        if diagnostics:
            properties["diagnostics"] = diagnostics
        return {"status": "Succeeded", "properties": properties}

    def _changes(self, prepared: Prepared, kept: Json) -> Iterator[Json]:
        """`kept` are the parameters whose values the preview does not tell."""
        view = View(self._deployed, prepared.plan.names)
        for item in prepared.plan.resources:
            if not item.is_deployment:
                yield self._change(item, view, kept)
        for nested in prepared.nested:
            in_outer_scope = nested.request.outer is not None
            yield from self._changes(nested, kept if in_outer_scope else _kept_expressions(nested))

    def _change(self, item: PlannedResource, view: View, kept: Json) -> Json:
        scope = item.scope.with_parameters(kept).with_runtime(view)
        body = _as_far_as_known(item.body, scope)
        envelope = {"apiVersion": item.api_version, "id": str(item.id), "name": "/".join(item.id.names)}
        envelope["type"] = item.id.type
        known = _without_nulls({key: value for key, value in body.items() if key not in _ENVELOPE})
        change: Json = {"resourceId": str(item.id)}
        try:
            shown = self._deployed.show(item.id)
        except ArmError:
            self._check_new(item, body)
            return {**change, "changeType": "Create", "after": _payload({**envelope, **known})}
        before = _payload({**envelope, **_writable(shown)})
        after = _payload({**envelope, **self._after(item, shown, body, known)})
        delta = [entry for entry in differences(before, after) if not _is_hidden(entry)]
        kind = "Modify" if delta else "NoChange"
        return {**change, "changeType": kind, "before": before, "after": after, "delta": delta}

    def _check_new(self, item: PlannedResource, body: Json) -> None:
        """Raise what the service would raise. Checks only complete bodies without dependencies."""
        is_child = len(item.id.names) > 1
        if not (item.is_resource_group or is_child or item.waits_for or _unknown(body)):
            self._resources.preview(item.id, body)

    def _after(self, item: PlannedResource, shown: Json, body: Json, known: Json) -> Json:
        """The document the service would create; if the body is not fully known yet, the body itself."""
        merged: Json = _overlaid(_writable(shown), known)
        if not (item.is_resource_group or _unknown(body)):
            try:
                merged = _writable(self._resources.preview(item.id, body))
            except ArmError:
                if not item.waits_for:  # else a resource that this deployment creates may be missing
                    raise
        if item.is_resource_group and "tags" not in known:
            merged.pop("tags", None)
        return merged

    def _untouched(self, prepared: Prepared) -> Iterator[Json]:
        """Resources of the groups that are not in the template; the Incremental mode keeps them."""
        named = {identity.key for identity in prepared.all_ids()}
        for place in dict.fromkeys(_places(prepared)):
            for record in self._resources.top_records(place.id) if place.group else ():
                if record.id.key not in named:
                    shown = self._resources.show(record)
                    payload = _payload({"id": str(record.id), **_writable(shown), **_identity(shown)})
                    change = {"resourceId": str(record.id), "changeType": "Ignore"}
                    yield {**change, "before": payload, "after": payload}


def _kept_expressions(prepared: Prepared) -> Json:
    """Secrets, and defaults that the deployment itself will compute again, stay expressions."""
    given = {name.lower() for name in prepared.request.properties.get("parameters") or ()}
    kept: Json = {}
    for name, definition in prepared.template.parameters.items():
        default = definition.get("defaultValue")
        if name.lower() not in given and isinstance(default, str):
            if any(call.name in _NEW_EACH_TIME for call in calls_in(default)):
                kept[name] = _Unknown(default)
        elif name.lower() in given and str(definition["type"]).lower() == "securestring":
            kept[name] = _Unknown(f"[parameters('{name}')]")
    return kept


def _places(prepared: Prepared) -> Iterator[Place]:
    yield prepared.request.place
    for nested in prepared.nested:
        yield from _places(nested)


def _diagnostics(prepared: Prepared) -> Iterator[Json]:
    """A warning per nested deployment whose changes are not known yet."""
    for identity in prepared.unknown:
        yield {
            "level": "Warning",
            "code": "NestedDeploymentShortCircuited",
            "target": str(identity),
            "message": f"A nested deployment got short-circuited and all its resources got skipped from"
            f" validation: '{identity}' depends on resources that this deployment creates.",
        }
    for nested in prepared.nested:
        yield from _diagnostics(nested)


def _brief(change: Json) -> Json:
    kind = "Deploy" if change["changeType"] in ("Modify", "NoChange") else change["changeType"]
    return {"resourceId": change["resourceId"], "changeType": kind}


def _is_hidden(entry: Json) -> bool:
    """Whether it is an unknown value of a property that the service does not show, probably a secret."""
    of_the_service = entry["path"].startswith("properties")
    return of_the_service and entry["propertyChangeType"] == "Create" and _unknown(entry["after"])


def _as_far_as_known(value: Any, scope: Scope) -> Any:
    """Evaluate the expressions that can be evaluated; do not run actions such as listKeys."""
    if isinstance(value, dict) and not any(key.lower() == "copy" for key in value):
        return {key: _as_far_as_known(item, scope) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_far_as_known(item, scope) for item in value]
    if isinstance(value, str) and any(is_list_function(call.name) for call in calls_in(value)):
        return _Unknown(value)
    try:
        return scope.evaluate(value)
    except ExpressionError:
        return _Unknown(value) if isinstance(value, str) else value


def _unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_unknown(item) for item in value.values())
    return isinstance(value, _Unknown) or (isinstance(value, list) and any(map(_unknown, value)))


def _writable(shown: Json) -> Json:
    """The document without its id and the properties that only the service sets."""
    kept = {key: item for key, item in shown.items() if key not in (*_ENVELOPE, *_OF_THE_SERVICE)}
    properties = kept.get("properties")
    if isinstance(properties, dict):
        written = {key: item for key, item in properties.items() if key not in _OF_THE_SERVICE}
        kept["properties"] = written
        if not written and shown.get("type") == RESOURCE_GROUP:
            kept.pop("properties")
    without: Json = _without_empty(_without_nulls(copy.deepcopy(kept)))
    for *path, name in _UNTOLD:
        inner = without
        for key in path:
            inner = inner.get(key) or {}
        inner.pop(name, None)
    tags = {name: value for name, value in without.pop("tags", {}).items() if value}
    return without | ({"tags": tags} if tags else {})


def _identity(shown: Json) -> Json:
    return {key: shown[key] for key in ("name", "type") if key in shown}


def _without_nulls(value: Any) -> Any:
    """Remove null properties: null means absent."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _without_empty(value: Any) -> Any:
    """Remove empty lists, which say the same as none."""
    if isinstance(value, dict):
        return {key: _without_empty(item) for key, item in value.items() if item != []}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


def _overlaid(before: Any, after: Any) -> Any:
    if isinstance(before, dict) and isinstance(after, dict):
        keys = (*before, *(key for key in after if key not in before))
        return {key: _overlaid(before.get(key), after[key]) if key in after else before[key] for key in keys}
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [_overlaid(former, latter) for former, latter in zip(before, after, strict=True)]
    return after


def _payload(document: Json) -> Json:
    """The document in the form that is shown and compared: short region names, sorted keys."""
    given = document.get("location")
    location = normal_location(given) if isinstance(given, str) else None
    shown: Json = _sorted(document if location is None else {**document, "location": location})
    return shown


def _sorted(value: Any) -> Any:
    """Sort keys alphabetically, as in the recordings."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
