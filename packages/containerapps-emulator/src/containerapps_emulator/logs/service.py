"""Log Analytics workspaces as ARM resources: a customer id to send logs to, and two keys."""

# ruff: noqa: ARG002 — every handler has the same signature, even where it ignores an argument
from __future__ import annotations

import base64
import re
import secrets
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from starlette.routing import BaseRoute

from containerapps_emulator.arm.resources.resource import (
    ArmError,
    ResourceHandler,
    ResourceId,
    VirtualHandler,
    Wire,
)
from containerapps_emulator.arm.shapes import checked_properties, settable
from containerapps_emulator.arm.timestamps import now_text
from containerapps_emulator.logs.query import LogQuery, LogSource
from containerapps_emulator.state import Json, State

_KIND = "workspace-keys"
_CUSTOMERS = "workspace-customers"  # customer id → resource id
_READ_ONLY = ("provisioningState", "customerId", "createdDate", "modifiedDate", "privateLinkScopedResources")
_SHAPE = {"features": dict, "sku": {"name": str}, "workspaceCapping": {"dailyQuotaGb": (int, float)}}
_MERGED = ("features", "sku", "workspaceCapping")  # objects in which what is not sent stays
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]")


class LogsService:
    """Microsoft.OperationalInsights."""

    namespace = "Microsoft.OperationalInsights"
    virtual_handlers: Sequence[VirtualHandler] = ()

    def __init__(
        self,
        state: State,
        source: LogSource,
        accepts: Callable[[str], bool],
        keeps_name: Callable[[], bool] = lambda: False,
    ) -> None:
        """`source` provides the rows; `accepts` decides whether a bearer token may read them; `keeps_name`
        says whether a workspace of a requested name was deleted lately."""
        self.handlers: Sequence[ResourceHandler] = (WorkspaceHandler(state, keeps_name),)
        self.routes: Sequence[BaseRoute] = LogQuery(
            source, accepts=accepts, exists=lambda customer: state.get(_CUSTOMERS, customer) is not None
        ).routes

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""


class WorkspaceHandler:
    """Workspaces. The customer id is assigned at creation and never changes."""

    type = "Microsoft.OperationalInsights/workspaces"
    put_wire = Wire.ASYNC_OPERATION
    patch_wire = Wire.SYNC
    delete_wire = Wire.LOCATION

    def __init__(self, state: State, keeps_name: Callable[[], bool] = lambda: False) -> None:
        self._state = state
        self._keeps_name = keeps_name

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        if existing is None and self._keeps_name():
            message = f"The workspace name '{resource_id.name}' is reserved: it is in soft-delete state."
            raise ArmError(409, "Conflict", message)
        if not _NAME.fullmatch(resource_id.name):
            raise ArmError(
                400,
                "InvalidResourceName",
                f"The workspace name '{resource_id.name}' is not valid: 4 to 63 letters, digits and hyphens,"
                " not at the ends.",
            )
        former = (existing or {}).get("properties") or _defaults()
        given = settable(checked_properties(body, _SHAPE), _READ_ONLY)
        fixed = {"customerId": former["customerId"], "createdDate": former["createdDate"]}
        return {
            "location": body.get("location") or (existing or {}).get("location"),
            **({"tags": body["tags"]} if body.get("tags") else {}),
            "etag": f'"{uuid.uuid4()}"',
            "properties": {
                **former,
                **given,
                **fixed,
                **{
                    name: {**_defaults()[name], **(former.get(name) or {}), **(given.get(name) or {})}
                    for name in _MERGED
                },
                "modifiedDate": now_text(),
            },
        }

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        if self._state.get(_KIND, resource_id.key) is None:
            keys = {"primarySharedKey": _new_key(), "secondarySharedKey": _new_key()}
            self._state.put(_KIND, resource_id.key, keys)
        customer = stored["properties"]["customerId"]
        self._state.put(_CUSTOMERS, customer, {"id": str(resource_id)})
        return {**stored, "properties": {**stored["properties"], "provisioningState": "Succeeded"}}

    def show(self, resource_id: ResourceId, stored: Json) -> Json:
        properties = stored["properties"]
        if properties.get("provisioningState") == "InProgress":
            properties = {**properties, "provisioningState": "Creating"}
        shown = {**stored, "properties": properties}
        return {**shown, "id": str(resource_id), "name": resource_id.name, "type": resource_id.type}

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
                404, "InvalidResourceType", f"The local cloud does not support the action '{name}'."
            )
        return self._state.get(_KIND, resource_id.key)


def _defaults() -> Json:
    return {
        "customerId": str(uuid.uuid4()),
        "createdDate": now_text(),
        "sku": {"name": "PerGB2018", "lastSkuUpdate": now_text()},
        "retentionInDays": 30,
        "features": {
            "legacy": 0,
            "searchVersion": 1,
            "enableLogAccessUsingOnlyResourcePermissions": True,
        },
        "workspaceCapping": {
            "dailyQuotaGb": -1.0,
            "quotaNextResetTime": _tomorrow(),
            "dataIngestionStatus": "RespectQuota",
        },
        "publicNetworkAccessForIngestion": "Enabled",
        "publicNetworkAccessForQuery": "Enabled",
    }


def _tomorrow() -> str:
    return f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}T00:00:00Z"


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()
