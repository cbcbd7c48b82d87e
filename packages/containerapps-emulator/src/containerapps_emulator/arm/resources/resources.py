"""Creates, changes, deletes and reads resources, for requests and deployments alike. Knows no HTTP."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, replace
from typing import Any

from containerapps_emulator.arm.locations import LOCATIONS, normal_location
from containerapps_emulator.arm.operations import IN_PROGRESS, Operation, Operations
from containerapps_emulator.arm.resources.groups import Groups
from containerapps_emulator.arm.resources.paths import parse_resource_id
from containerapps_emulator.arm.resources.registrations import Registrations
from containerapps_emulator.arm.resources.registry import Registry
from containerapps_emulator.arm.resources.resource import (
    Accepted,
    ArmError,
    DiscoveringHandler,
    ResourceHandler,
    ResourceId,
    Wire,
)
from containerapps_emulator.arm.resources.store import Record, ResourceStore
from containerapps_emulator.arm.resources.tags import checked_tags
from containerapps_emulator.state import Json

_NAME = re.compile(r"(?!\.{1,2}$)[\w().-]{1,260}")
_CHANGED_AT_ONCE = frozenset(("microsoft.app/managedenvironments",))  # by a PATCH without properties
_SPECIAL_NOT_FOUND = {
    "microsoft.app/managedenvironments/storages": (
        "ManagedEnvironmentStorageNotFound",
        "ManagedEnvironment Storage '{name}' was not found.",
    ),
    "microsoft.storage/storageaccounts/fileservices/shares": (
        "ShareNotFound",
        "The specified share does not exist.",
    ),
}


@dataclass(frozen=True, slots=True)
class Change:
    """A resource after PUT or PATCH, and the operation that still runs on it."""

    record: Record
    is_new: bool
    operation: Operation | None


class Resources:
    """All stored resources of the subscription."""

    def __init__(
        self,
        registry: Registry,
        store: ResourceStore,
        operations: Operations,
        groups: Groups,
        registrations: Registrations,
    ) -> None:
        self._registry = registry
        self._registrations = registrations
        self._store = store
        self._operations = operations
        self._groups = groups
        operations.register("put", self._run_put)
        operations.register("delete", self._run_delete)

    async def put(self, resource_id: ResourceId, body: Json) -> Change:
        """Create or replace. Raises ArmError if the resource is refused."""
        handler = self._stored_handler(resource_id)
        self._registrations.require(resource_id.type)
        existing = self._record(resource_id)
        identity = existing.id if existing else self._new_id(resource_id, handler)
        self._groups.require_open(identity.group)
        self._refuse_while_busy(identity)
        body = self._with_location(identity, _checked(body), existing)
        return await self._change(handler, identity, body, existing, handler.put_wire)

    def preview(self, resource_id: ResourceId, body: Json) -> Json:
        """The resource that a PUT would create, as GET would return it; changes nothing. Raises ArmError."""
        handler = self._stored_handler(resource_id)
        record = self._record(resource_id)
        identity = record.id if record else resource_id
        existing = copy.deepcopy(record.document) if record else None
        located = self._with_location(identity, _checked(copy.deepcopy(body)), record)
        document = handler.accept(identity, located, existing)
        return handler.show(identity, document) if record else document

    async def patch(self, resource_id: ResourceId, body: Json) -> Change:
        """Merge: null removes a property, an array replaces."""
        handler = self._stored_handler(resource_id)
        existing = self.require(resource_id)
        self._refuse_while_busy(existing.id)
        merged = _merged(copy.deepcopy(existing.document), _checked(body))
        at_once = handler.type.lower() in _CHANGED_AT_ONCE and not body.get("properties")
        wire = Wire.SYNC if at_once else handler.patch_wire
        return await self._change(handler, existing.id, merged, existing, wire)

    async def delete(self, resource_id: ResourceId) -> tuple[bool, Operation | None]:
        """Remove a resource and its children. Returns whether it existed and the running operation."""
        handler = self._stored_handler(resource_id)
        record = self._record(resource_id)
        if record is None:
            return False, None
        if handler.delete_wire is Wire.SYNC:
            await self.remove(record)
            return True, None
        return True, self._operations.begin("delete", str(record.id))

    def require(self, resource_id: ResourceId) -> Record:
        """The record. Raises ArmError 404, with one code for a missing group and one for the resource."""
        record = self._record(resource_id)
        if record is not None:
            return record
        self._groups.require(resource_id.group)
        raise _not_found(resource_id)

    def find(self, resource_id: ResourceId) -> ResourceId | None:
        """The id of a stored resource, in its own spelling; None if there is none."""
        record = self._record(resource_id)
        return None if record is None else record.id

    def show(self, record: Record) -> Json:
        """The resource as GET returns it."""
        return self._stored_handler(record.id).show(record.id, record.document)

    def get(self, resource_id: ResourceId) -> Json:
        """Any resource, stored or derived, as GET returns it. Raises ArmError 404."""
        virtual = self._registry.virtual(resource_id.type)
        if virtual is None:
            return self.show(self.require(resource_id))
        identity = self._below_stored(resource_id)
        document = virtual.get(identity)
        if document is None:
            raise _not_found(identity)
        return document

    def list_all(self, scope: str, full_type: str) -> list[Json]:
        """All stored resources of a type below a subscription or a group."""
        return [self.show(record) for record in self._store.of_type(scope, full_type)]

    def list_children(self, parent: ResourceId, kind: str) -> list[Json]:
        """The resources of one type directly below a resource."""
        full_type = self._registry.spelled(f"{parent.type}/{kind}")
        identity = self._below_stored(parent)
        virtual = self._registry.virtual(full_type)
        if virtual is not None:
            return virtual.list(identity)
        self._adopt(identity, full_type)
        return [self.show(record) for record in self._store.of_type(str(identity), full_type)]

    def list_top(self, scope: str) -> list[Json]:
        """A summary of every top-level resource: `GET …/resources`."""
        shown = [self.show(record) for record in self.top_records(scope)]
        keys = ("id", "name", "type", "location", "tags", "kind", "sku", "identity")
        return [{key: item[key] for key in keys if key in item} for item in shown]

    def top_records(self, scope: str) -> list[Record]:
        """The records of every top-level resource."""
        return [
            record
            for record in self._store.below(scope)
            if len(record.id.names) == 1 and not record.id.is_assignment
        ]

    async def action(self, resource_id: ResourceId, name: str, body: Json) -> Json | str | Accepted | None:
        """POST on a resource. Raises ArmError 404 for an unknown resource or action."""
        virtual = self._registry.virtual(resource_id.type)
        if virtual is not None:
            return await virtual.action(self._below_stored(resource_id), name.lower(), body)
        record = self.require(resource_id)
        handler = self._stored_handler(resource_id)
        return await handler.action(record.id, record.document, name.lower(), body)

    async def remove(self, record: Record) -> None:
        """Remove a resource, children first, so that no child is ever without its parent."""
        active = self._operations.active(str(record.id))
        if active is not None and active.kind == "put":
            await self._operations.cancel(active)
        below = self._store.below(str(record.id))
        for item in (*sorted(below, key=lambda child: -len(child.id.names)), record):
            await self._stored_handler(item.id).delete(item.id, item.document)
            self._store.delete(item.id)

    async def _change(
        self, handler: ResourceHandler, identity: ResourceId, body: Json, existing: Record | None, wire: Wire
    ) -> Change:
        document = handler.accept(identity, body, existing.document if existing else None)
        created = existing is not None and existing.created
        if wire is Wire.SYNC:
            record = Record(identity, await handler.complete(identity, document), created=True)
            self._store.put(record)
            return Change(record, existing is None, None)
        # Record the operation before the document. A crash in between leaves an operation without a
        # resource, which no client knows of, instead of a resource that no operation completes.
        operation = self._operations.begin("put", str(identity))
        record = Record(identity, _with_state(document, IN_PROGRESS), created)
        self._store.put(record)
        return Change(record, existing is None, operation)

    async def _run_put(self, operation: Operation) -> None:
        record = self._target(operation)
        handler = self._stored_handler(record.id)
        try:
            document = await handler.complete(record.id, copy.deepcopy(record.document))
        except Exception:
            self._store.put(replace(record, document=_with_state(record.document, "Failed")))
            raise
        if document.get("properties", {}).get("provisioningState") in (None, IN_PROGRESS):
            document = _with_state(document, "Succeeded")
        self._store.put(Record(record.id, document, created=True))

    async def _run_delete(self, operation: Operation) -> None:
        identity = parse_resource_id(operation.target)
        record = self._record(identity) if identity else None
        if record is not None:
            await self.remove(record)

    def _record(self, resource_id: ResourceId) -> Record | None:
        parent = resource_id.parent
        if parent is not None:
            self._adopt(parent, resource_id.type)
        return self._store.get(resource_id)

    def _adopt(self, parent: ResourceId, full_type: str) -> None:
        """Record the children that appeared and disappeared below a parent without ARM."""
        handler = self._registry.stored(full_type)
        owner = self._store.get(parent) if isinstance(handler, DiscoveringHandler) else None
        if owner is None or not isinstance(handler, DiscoveringHandler):
            return
        found = handler.discover(owner.id)
        known = {record.id.name: record for record in self._store.of_type(str(owner.id), full_type)}
        for name, document in found.items():
            if name not in known:
                kind = handler.type.rpartition("/")[2]
                self._store.put(Record(owner.id.child(kind, name), document, created=True))
        for name, record in known.items():
            if name not in found:
                self._store.delete(record.id)

    def _target(self, operation: Operation) -> Record:
        identity = parse_resource_id(operation.target)
        record = self._record(identity) if identity else None
        if record is None:
            raise ArmError(404, "ResourceNotFound", f"The resource '{operation.target}' is gone.")
        return record

    def _stored_handler(self, resource_id: ResourceId) -> ResourceHandler:
        handler = self._registry.stored(resource_id.type)
        if handler is None:
            raise ArmError(
                405, "MethodNotAllowed", f"The type '{resource_id.type}' is read-only: it is derived."
            )
        return handler

    def _new_id(self, resource_id: ResourceId, handler: ResourceHandler) -> ResourceId:
        """The id in the spelling of its group, type and parent; the parent must exist."""
        group = self._groups.require_open(resource_id.group)
        names = resource_id.names
        parent = resource_id.parent
        if parent is not None:
            record = self._record(parent)
            if record is None or not record.created:
                raise ArmError(
                    404,
                    "ParentResourceNotFound",
                    f"Failed to perform 'write' on resource(s) of type"
                    f" '{handler.type.partition('/')[2]}', because the parent resource"
                    f" '{parent}' could not be found.",
                )
            names = (*record.id.names, resource_id.name)
        if not _NAME.fullmatch(resource_id.name):
            raise ArmError(
                400, "InvalidResourceName", f"The resource name '{resource_id.name}' is not valid."
            )
        if resource_id.extends:
            extended = parse_resource_id(resource_id.extends)
            return replace(resource_id, extends=str(self.require(extended).id if extended else ""))
        return ResourceId(resource_id.subscription, group["name"], handler.type, names)

    def _below_stored(self, resource_id: ResourceId) -> ResourceId:
        """A derived resource's id, in the spelling of its stored ancestor. Raises ArmError 404."""
        ancestor: ResourceId | None = resource_id
        while ancestor is not None and self._registry.stored(ancestor.type) is None:
            ancestor = ancestor.parent
        if ancestor is None:
            raise _not_found(resource_id)
        identity = self.require(ancestor).id
        own = resource_id.names[len(identity.names) :]
        full_type = self._registry.spelled(resource_id.type)
        return ResourceId(identity.subscription, identity.group, full_type, (*identity.names, *own))

    def _refuse_while_busy(self, identity: ResourceId) -> None:
        if self._operations.active(str(identity)) is not None:
            raise ArmError(
                409,
                "AnotherOperationInProgress",
                f"Another operation on this or dependent resource is in progress: '{identity}'.",
            )

    def _with_location(self, identity: ResourceId, body: Json, existing: Record | None) -> Json:
        """Check and normalize the location of a top-level resource; children have none."""
        if len(identity.names) > 1 or identity.is_assignment:
            return body
        given = body.get("location")
        if not isinstance(given, str) or not given:
            raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
        location = normal_location(given)
        if location is None:
            raise ArmError(
                400,
                "LocationNotAvailableForResourceType",
                f"The provided location '{given}' is not available for resource type '{identity.type}'. List"
                f" of available regions for the resource type is '{','.join(LOCATIONS)}'.",
            )
        former = normal_location(str(existing.document.get("location", location))) if existing else location
        if former != location:
            raise ArmError(
                409,
                "InvalidResourceLocation",
                f"The resource '{identity.name}' already exists in location '{former}' in resource group"
                f" '{identity.group}'. A resource with the same name cannot be created in location"
                f" '{location}'. Please select a new resource name.",
            )
        return {**body, "location": location}


def _checked(body: Json) -> Json:
    """Check what all types share: tags, an object as `properties`, a string as `location`. Raises 400."""
    checked_tags(body)
    for key, kind, called in (("properties", dict, "an object"), ("location", str, "a string")):
        if body.get(key) is not None and not isinstance(body[key], kind):
            raise ArmError(
                400, "InvalidRequestContent", f"The request content was invalid: '{key}' is not {called}."
            )
    return body


def _not_found(resource_id: ResourceId) -> ArmError:
    special = _SPECIAL_NOT_FOUND.get(resource_id.type.lower())
    if special is not None:
        code, message = special
        return ArmError(404, code, message.format(name=resource_id.name))
    path = "/".join((resource_id.type, *resource_id.names))
    if len(resource_id.names) > 1:
        namespace, *kinds = resource_id.type.split("/")
        pairs = zip(kinds, resource_id.names, strict=True)
        path = "/".join((namespace, *(part for pair in pairs for part in pair)))
    return ArmError(
        404,
        "ResourceNotFound",
        f"The Resource '{path}' under resource group '{resource_id.group}' was not found. For more details"
        " please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def _with_state(document: Json, state: str) -> Json:
    properties = document.get("properties") or {}
    return {**document, "properties": {**properties, "provisioningState": state}}


def _merged(target: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged
