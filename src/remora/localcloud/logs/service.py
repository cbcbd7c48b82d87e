"""Log Analytics workspaces: as ARM resources an id to send logs to and two keys, and what can be asked."""

# ruff: noqa: ARG002 — handlers answer to one seam, whether or not they need all that it hands them
from __future__ import annotations

import base64
import re
import secrets
import uuid
from collections.abc import Callable, Sequence

from starlette.routing import BaseRoute

from remora.localcloud.arm.resource import ArmError, ResourceHandler, ResourceId, VirtualHandler, Wire
from remora.localcloud.arm.shapes import settable
from remora.localcloud.arm.timestamps import now_text
from remora.localcloud.logs.query import LogQuery, LogSource
from remora.localcloud.state import Json, State

_KIND = "workspace-keys"
_CUSTOMERS = "workspace-customers"  # customer id → resource id
_READ_ONLY = ("provisioningState", "customerId", "createdDate", "modifiedDate", "privateLinkScopedResources")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]")


class LogsService:
    """Microsoft.OperationalInsights."""

    namespace = "Microsoft.OperationalInsights"
    virtual_handlers: Sequence[VirtualHandler] = ()

    def __init__(self, state: State, source: LogSource, accepts: Callable[[str], bool]) -> None:
        """`source` has the rows; `accepts` says whether a bearer token may read them."""
        self.handlers: Sequence[ResourceHandler] = (WorkspaceHandler(state),)
        self.routes: Sequence[BaseRoute] = LogQuery(
            source, accepts=accepts, exists=lambda customer: state.get(_CUSTOMERS, customer) is not None
        ).routes

    async def start(self) -> None:
        """Nothing runs."""

    async def stop(self) -> None:
        """Nothing runs."""


class WorkspaceHandler:
    """Workspaces. The customer id is there at once and never changes."""

    type = "Microsoft.OperationalInsights/workspaces"
    put_wire = Wire.SYNC
    patch_wire = Wire.SYNC
    delete_wire = Wire.SYNC

    def __init__(self, state: State) -> None:
        self._state = state

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        if not _NAME.fullmatch(resource_id.name):
            raise ArmError(
                400,
                "InvalidResourceName",
                f"The workspace name '{resource_id.name}' is not valid: 4 to 63 letters, digits and hyphens,"
                " not at the ends.",
            )
        former = (existing or {}).get("properties") or _defaults()
        sent = body.get("properties") or {}
        if not isinstance(sent, dict):
            message = "The request content was invalid and could not be deserialized: 'properties' must be"
            raise ArmError(400, "InvalidRequestContent", f"{message} an object.")
        given = settable(sent, _READ_ONLY)
        fixed = {"customerId": former["customerId"], "createdDate": former["createdDate"]}
        return {
            "location": body.get("location") or (existing or {}).get("location"),
            "tags": body.get("tags") or {},
            "properties": {**former, **given, **fixed, "modifiedDate": now_text()},
        }

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        if self._state.get(_KIND, resource_id.key) is None:
            keys = {"primarySharedKey": _new_key(), "secondarySharedKey": _new_key()}
            self._state.put(_KIND, resource_id.key, keys)
        customer = stored["properties"]["customerId"]
        self._state.put(_CUSTOMERS, customer, {"id": str(resource_id)})
        return {**stored, "properties": {**stored["properties"], "provisioningState": "Succeeded"}}

    def show(self, resource_id: ResourceId, stored: Json) -> Json:
        return {**stored, "id": str(resource_id), "name": resource_id.name, "type": resource_id.type}

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        self._state.delete(_KIND, resource_id.key)
        self._state.delete(_CUSTOMERS, stored["properties"]["customerId"])

    async def action(
        self,
        resource_id: ResourceId,
        stored: Json,
        name: str,
        body: Json,
    ) -> Json | str | None:
        if name not in ("sharedkeys", "listkeys"):
            raise ArmError(
                404, "InvalidResourceType", f"The action '{name}' is not known to the local cloud."
            )
        return self._state.get(_KIND, resource_id.key)


def _defaults() -> Json:
    return {
        "customerId": str(uuid.uuid4()),
        "createdDate": now_text(),
        "sku": {"name": "PerGB2018"},
        "retentionInDays": 30,
        "publicNetworkAccessForIngestion": "Enabled",
        "publicNetworkAccessForQuery": "Enabled",
    }


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()
