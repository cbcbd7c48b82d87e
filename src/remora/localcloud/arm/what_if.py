"""What a deployment would change. Asks each resource's own service what it would make of the template.

Nothing is written. What a template cannot say before it is deployed stays an expression in the answer.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator
from typing import Any

from remora.localcloud.arm.deployed import Deployed, View
from remora.localcloud.arm.difference import differences
from remora.localcloud.arm.expressions import ExpressionError, calls_in
from remora.localcloud.arm.locations import normal_location
from remora.localcloud.arm.place import Place
from remora.localcloud.arm.plan import PlannedResource
from remora.localcloud.arm.preparation import Locate, Preparation, Prepared, Request
from remora.localcloud.arm.resource import ArmError
from remora.localcloud.arm.resources import Resources
from remora.localcloud.arm.scope import Scope, is_list_function
from remora.localcloud.state import Json

_OF_THE_SERVICE = frozenset(
    (
        *("provisioningState", "systemData", "etag", "creationTime", "createdDate", "modifiedDate"),
        *("lastModifiedTime", "keyCreationTime", "privateEndpointConnections"),
        *("primaryEndpoints", "primaryLocation", "statusOfPrimary"),
    )
)
_ENVELOPE = ("apiVersion", "id", "name", "type")


class _Unknown(str):
    """An expression that cannot be evaluated yet, as it stands in the template."""

    __slots__ = ()


class WhatIf:
    """Answers what `…/whatIf` asks."""

    def __init__(self, preparation: Preparation, deployed: Deployed, resources: Resources) -> None:
        self._preparation = preparation
        self._deployed = deployed
        self._resources = resources

    def ask(self, request: Request, locate: Locate) -> Json:
        """The result of the operation. Raises ArmError where the template is wrong."""
        prepared = self._preparation.prepare(request, locate)
        settings = request.properties.get("whatIfSettings")
        wanted = settings.get("resultFormat") if isinstance(settings, dict) else None
        ids_only = str(wanted).lower() == "resourceidonly"
        try:
            changes = [*self._changes(prepared), *self._untouched(prepared)]
        except ArmError as error:
            return {"status": "Failed", "error": error.to_json()}
        if ids_only:
            changes = [_brief(change) for change in changes]
        properties: Json = {"correlationId": str(uuid.uuid4()), "changes": changes}
        diagnostics = list(_diagnostics(prepared))
        if diagnostics:
            properties["diagnostics"] = diagnostics
        return {"status": "Succeeded", "properties": properties}

    def _changes(self, prepared: Prepared) -> Iterator[Json]:
        view = View(self._deployed, prepared.plan.names)
        for item in prepared.plan.resources:
            if not item.is_deployment:
                yield self._change(item, view)
        for nested in prepared.nested:
            yield from self._changes(nested)

    def _change(self, item: PlannedResource, view: View) -> Json:
        body = _as_far_as_known(item.body, item.scope.with_runtime(view))
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
        """Refuse what the service would refuse. Only what is known whole and stands alone can be judged."""
        is_child = len(item.id.names) > 1
        if not (item.is_resource_group or is_child or item.waits_for or _unknown(body)):
            self._resources.preview(item.id, body)

    def _after(self, item: PlannedResource, shown: Json, body: Json, known: Json) -> Json:
        """What the service would make of it; where the template cannot be known yet, what it says."""
        merged: Json = _overlaid(_writable(shown), known)
        if not (item.is_resource_group or _unknown(body)):
            try:
                merged = _writable(self._resources.preview(item.id, body))
            except ArmError:
                if not item.waits_for:  # else it may miss only what this deployment makes before it
                    raise
        if item.is_resource_group and "tags" not in known:
            merged.pop("tags", None)
        return merged

    def _untouched(self, prepared: Prepared) -> Iterator[Json]:
        """What is in the groups and not in the template stays: the mode is Incremental."""
        named = {identity.key for identity in prepared.all_ids()}
        for place in dict.fromkeys(_places(prepared)):
            for record in self._resources.top_records(place.id) if place.group else ():
                if record.id.key not in named:
                    shown = self._resources.show(record)
                    payload = _payload({"id": str(record.id), **_writable(shown), **_identity(shown)})
                    change = {"resourceId": str(record.id), "changeType": "Ignore"}
                    yield {**change, "before": payload, "after": payload}


def _places(prepared: Prepared) -> Iterator[Place]:
    yield prepared.request.place
    for nested in prepared.nested:
        yield from _places(nested)


def _diagnostics(prepared: Prepared) -> Iterator[Json]:
    """Nested deployments that nothing can be said of yet."""
    for identity in prepared.unknown:
        yield {
            "level": "Warning",
            "code": "NestedDeploymentShortCircuited",
            "target": str(identity),
            "message": f"A nested deployment got short-circuited and all its resources got skipped from"
            f" validation: '{identity}' depends on what this deployment makes.",
        }
    for nested in prepared.nested:
        yield from _diagnostics(nested)


def _brief(change: Json) -> Json:
    kind = "Deploy" if change["changeType"] in ("Modify", "NoChange") else change["changeType"]
    return {"resourceId": change["resourceId"], "changeType": kind}


def _is_hidden(entry: Json) -> bool:
    """A value that is not known yet, of a property that the service does not show: a secret, most likely."""
    return entry["propertyChangeType"] == "Create" and _unknown(entry["after"])


def _as_far_as_known(value: Any, scope: Scope) -> Any:
    """The value with those expressions replaced that can be; actions such as listKeys are not run."""
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
    """Without the id and what the service itself writes."""
    kept = {key: item for key, item in shown.items() if key not in (*_ENVELOPE, *_OF_THE_SERVICE)}
    properties = kept.get("properties")
    if isinstance(properties, dict):
        written = {key: item for key, item in properties.items() if key not in _OF_THE_SERVICE}
        kept["properties"] = written
    without: Json = _without_nulls(copy.deepcopy(kept))
    return {key: item for key, item in without.items() if not (key == "tags" and not item)}


def _identity(shown: Json) -> Json:
    return {key: shown[key] for key in ("name", "type") if key in shown}


def _without_nulls(value: Any) -> Any:
    """null is the same as not there."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _overlaid(before: Any, after: Any) -> Any:
    if isinstance(before, dict) and isinstance(after, dict):
        keys = (*before, *(key for key in after if key not in before))
        return {key: _overlaid(before.get(key), after[key]) if key in after else before[key] for key in keys}
    return after


def _payload(document: Json) -> Json:
    """As it is shown and compared: regions by their short names, keys in order."""
    given = document.get("location")
    location = normal_location(given) if isinstance(given, str) else None
    shown: Json = _sorted(document if location is None else {**document, "location": location})
    return shown


def _sorted(value: Any) -> Any:
    """Keys in alphabetical order, as recorded."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
