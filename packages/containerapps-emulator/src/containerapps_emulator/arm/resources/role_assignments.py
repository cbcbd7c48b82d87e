"""Microsoft.Authorization: which principal has which role on what. It is checked for files of shares only.

As on Azure an assignment extends the resource, the group or the subscription that it is for, and counts for
all below. Any role can be assigned; those that are known here by name are in `ROLES`.
"""

# ruff: noqa: ARG002 - the signatures are those of the seam

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.routing import BaseRoute

from containerapps_emulator.arm.resources.built_in import ROLE_ASSIGNMENT
from containerapps_emulator.arm.resources.resource import (
    ArmError,
    ResourceHandler,
    ResourceId,
    VirtualHandler,
    Wire,
)
from containerapps_emulator.arm.resources.store import Record, ResourceStore
from containerapps_emulator.arm.shapes import checked_properties
from containerapps_emulator.arm.timestamps import now_text
from containerapps_emulator.state import Json


@dataclass(frozen=True, slots=True)
class Role:
    """A built-in role: its name, and what it allows with the content of file shares."""

    name: str
    reads_files: bool = False
    writes_files: bool = False


# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
ROLES: Final[Mapping[str, Role]] = {
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": Role("Owner"),
    "b24988ac-6180-42a0-ab88-20f7382dd24c": Role("Contributor"),
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": Role("Reader"),
    "69566ab7-960f-475b-8e7c-b3118f30c6bd": Role(
        "Storage File Data Privileged Contributor", reads_files=True, writes_files=True
    ),
    "b8eda974-7b85-4f76-af95-65846b26df6d": Role("Storage File Data Privileged Reader", reads_files=True),
}
_SHAPE: Final = {"roleDefinitionId": str, "principalId": str, "principalType": str, "description": str}


class RoleAssignments:
    type = ROLE_ASSIGNMENT
    put_wire = Wire.SYNC
    patch_wire = Wire.SYNC
    delete_wire = Wire.SYNC

    def __init__(self, store: ResourceStore) -> None:
        self._store = store

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        sent = checked_properties(body, _SHAPE)
        if not _is_guid(resource_id.name):
            raise ArmError(
                400,
                "InvalidRoleAssignmentId",
                f"The role assignment ID '{resource_id.name}' is not valid. It must be a GUID.",
            )
        role = str(sent.get("roleDefinitionId") or "").rpartition("/")[2].lower()
        principal = str(sent.get("principalId") or "").lower()
        if not _is_guid(role) or not _is_guid(principal):
            message = "'roleDefinitionId' must be the id of a role, and 'principalId' a GUID."
            raise ArmError(400, "BadRequestFormat", f"The request was incorrectly formatted: {message}")
        wanted = (role, principal)
        if existing is not None and _meaning(existing) != wanted:
            message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
            raise ArmError(400, "RoleAssignmentUpdateNotPermitted", message)
        scope = scope_of(resource_id)
        for other in self.all():
            is_same = scope_of(other.id).lower() == scope.lower() and _meaning(other.document) == wanted
            if is_same and other.id.key != resource_id.key:
                message = f"The role assignment already exists. The ID of the existing is {other.id.name}."
                raise ArmError(409, "RoleAssignmentExists", message)
        created = (existing or {}).get("properties", {}).get("createdOn") or now_text()
        return {"properties": {"principalType": "User", **sent, "createdOn": created}}

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        return stored

    def show(self, resource_id: ResourceId, stored: Json) -> Json:
        shown = {"scope": scope_of(resource_id), "condition": None, "conditionVersion": None}
        return {
            "id": str(resource_id),
            "name": resource_id.name,
            "type": self.type,
            "properties": {**stored["properties"], **shown},
        }

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        """Nothing but the record."""

    async def action(self, resource_id: ResourceId, stored: Json, name: str, body: Json) -> Json | str | None:
        raise ArmError(404, "InvalidResourceType", f"A role assignment has no action '{name}'.")

    def all(self) -> list[Record]:
        return self._store.of_type("/subscriptions", ROLE_ASSIGNMENT)

    def allows(self, scope: str, principal: str, *, writes: bool) -> bool:
        """Whether a principal may read, or write, the files of a storage account or of a share of it."""
        return any(
            role.writes_files if writes else role.reads_files for role in self._roles(scope, principal)
        )

    def _roles(self, scope: str, principal: str) -> Iterator[Role]:
        for record in self.all():
            role, of = _meaning(record.document)
            if of == principal.lower() and is_below(scope, scope_of(record.id)) and role in ROLES:
                yield ROLES[role]


class AuthorizationService:
    namespace = "Microsoft.Authorization"
    virtual_handlers: Sequence[VirtualHandler] = ()
    routes: Sequence[BaseRoute] = ()

    def __init__(self, store: ResourceStore) -> None:
        self.assignments = RoleAssignments(store)
        self.handlers: Sequence[ResourceHandler] = (self.assignments,)

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""


def scope_of(resource_id: ResourceId) -> str:
    """What an assignment is for: the id of a resource, a group or a subscription."""
    return resource_id.extends or resource_id.group_id


def is_below(scope: str, other: str) -> bool:
    """Whether a scope is the other one or within it."""
    return f"{scope}/".lower().startswith(f"{other}/".lower())


def _meaning(document: Json) -> tuple[str, str]:
    """The ids of role and principal."""
    properties = document["properties"]
    return properties["roleDefinitionId"].rpartition("/")[2].lower(), properties["principalId"].lower()


def _is_guid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
