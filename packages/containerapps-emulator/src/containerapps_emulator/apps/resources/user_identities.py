"""Microsoft.ManagedIdentity: user-assigned identities, with the ids that apps and jobs show of them."""

# ruff: noqa: ARG002 - the signatures are those of the seam

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from starlette.routing import BaseRoute

from containerapps_emulator.apps.documents.identity import of_user
from containerapps_emulator.apps.documents.wire import unknown_action
from containerapps_emulator.arm.resources.resource import (
    ArmError,
    ResourceHandler,
    ResourceId,
    VirtualHandler,
    Wire,
)
from containerapps_emulator.arm.subscription import LOCAL_TENANT_ID
from containerapps_emulator.state import Json

NAME: Final = re.compile(r"[A-Za-z0-9][\w-]{2,127}", re.ASCII)


class UserIdentities:
    type = "Microsoft.ManagedIdentity/userAssignedIdentities"
    put_wire = Wire.SYNC
    patch_wire = Wire.SYNC
    delete_wire = Wire.SYNC

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        if not NAME.fullmatch(resource_id.name):
            raise ArmError(
                400,
                "InvalidResourceName",
                f"The identity name '{resource_id.name}' is not valid: 3 to 128 letters, digits, '-' and '_',"
                " beginning with a letter or a digit.",
            )
        return {"location": body["location"], "tags": body.get("tags") or {}}

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        return stored

    def show(self, resource_id: ResourceId, stored: Json) -> Json:
        identity = of_user(str(resource_id))
        return {
            **stored,
            "id": str(resource_id).replace("/resourceGroups/", "/resourcegroups/"),
            "name": resource_id.name,
            "type": self.type,
            "properties": {
                "tenantId": LOCAL_TENANT_ID,
                "principalId": identity.principal_id,
                "clientId": identity.client_id,
            },
        }

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        """Nothing runs for it; an app or a job that has it keeps it, as on Azure."""

    async def action(self, resource_id: ResourceId, stored: Json, name: str, body: Json) -> Json | str | None:
        raise unknown_action(self.type, name)


class IdentityService:
    namespace = "Microsoft.ManagedIdentity"
    handlers: Sequence[ResourceHandler] = (UserIdentities(),)
    virtual_handlers: Sequence[VirtualHandler] = ()
    routes: Sequence[BaseRoute] = ()

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""
