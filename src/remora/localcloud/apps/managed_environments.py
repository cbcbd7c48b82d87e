"""managedEnvironments and their storages, as ARM sees them. Nothing runs for them; apps refer to them."""

# ruff: noqa: ARG002 - the signatures are those of the seam

from __future__ import annotations

import hashlib
import re
from typing import Final

from remora.localcloud.apps.capacity import Capacity
from remora.localcloud.apps.host import Host
from remora.localcloud.apps.mounts import Share
from remora.localcloud.apps.profiles import read_profiles
from remora.localcloud.apps.quotas import Quotas
from remora.localcloud.apps.records import AppRecord, Records
from remora.localcloud.apps.shapes import ENVIRONMENT, STORAGE
from remora.localcloud.apps.tokens import Tokens
from remora.localcloud.apps.wire import (
    auth_token,
    display_location,
    system_data,
    unknown_action,
    without_nulls,
)
from remora.localcloud.arm.resource import ArmError, ResourceId, Wire
from remora.localcloud.arm.shapes import checked_properties, settable
from remora.localcloud.faults import Fault, Faults
from remora.localcloud.state import Json

ACCOUNT_NAME: Final = re.compile(r"[a-z0-9]{3,24}")
SHARE_NAME: Final = re.compile(r"[a-z0-9](-?[a-z0-9]){2,62}")
ACCESS_MODES: Final = ("ReadOnly", "ReadWrite")
NULLS: Final = (
    "daprAIInstrumentationKey",
    "daprAIConnectionString",
    "vnetConfiguration",
    "infrastructureResourceGroup",
)
READ_ONLY: Final = (
    "provisioningState",
    "deploymentErrors",
    "defaultDomain",
    "staticIp",
    "eventStreamEndpoint",
)
CONSUMPTION: Final = {"workloadProfileType": "Consumption", "name": "Consumption"}


class ManagedEnvironments:
    type = "Microsoft.App/managedEnvironments"
    put_wire = Wire.ASYNC_OPERATION
    patch_wire = Wire.LOCATION
    delete_wire = Wire.LOCATION

    def __init__(
        self,
        host: Host,
        records: Records,
        tokens: Tokens,
        capacity: Capacity,
        quotas: Quotas,
        *,
        faults: Faults,
    ) -> None:
        self._host = host
        self._records = records
        self._tokens = tokens
        self._capacity = capacity
        self._quotas = quotas
        self._faults = faults

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        if not body.get("location") and not existing:
            raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
        sent = checked_properties(body, ENVIRONMENT)
        location = str(body.get("location") or (existing or {}).get("location"))
        profiles = [_profile(item) for item in sent.get("workloadProfiles") or ()] or [CONSUMPTION]
        self._quotas.check_environment(resource_id.key, read_profiles(profiles, location), location)
        properties = {
            **dict.fromkeys(NULLS),
            **settable(sent, READ_ONLY),
            "appLogsConfiguration": _kept_log_key(sent, existing),
            "workloadProfiles": profiles,
            "zoneRedundant": bool(sent.get("zoneRedundant")),
        }
        return {**body, "properties": properties, "systemData": system_data(existing)}

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        if late := self._faults.take(Fault.SLOW_ENVIRONMENT):
            await self._host.clock.sleep(late.seconds)
        properties = stored["properties"]
        analytics = (properties["appLogsConfiguration"] or {}).get("logAnalyticsConfiguration") or {}
        known = {
            "name": resource_id.name,
            "location": stored.get("location"),
            "workloadProfiles": properties["workloadProfiles"],
            "customerId": analytics.get("customerId"),
        }
        self._records.put_environment(str(resource_id), known)
        self._capacity.changed()
        return {**stored, "properties": {**stored["properties"], "provisioningState": "Succeeded"}}

    def show(self, resource_id: ResourceId, stored: Json) -> Json:
        digest = hashlib.sha256(resource_id.key.encode()).hexdigest()
        logs = stored["properties"].get("appLogsConfiguration")
        properties = {
            **stored["properties"],
            "daprAIInstrumentationKey": None,
            "daprAIConnectionString": None,
            "appLogsConfiguration": _without_log_key(logs),
            "defaultDomain": self._host.address,
            "staticIp": self._host.address,
            "kedaConfiguration": {"version": "2.17.2"},
            "daprConfiguration": {"version": "1.13.6"},
            "eventStreamEndpoint": f"{self._host.arm_url()}{_stream_path(resource_id)}/eventstream",
            "customDomainConfiguration": {
                "customDomainVerificationId": digest.upper(),
                "dnsSuffix": None,
                "certificateValue": None,
                "certificatePassword": None,
                "thumbprint": None,
                "subjectName": None,
                "expirationDate": None,
            },
            "peerAuthentication": {"mtls": {"enabled": False}},
            "peerTrafficConfiguration": {"encryption": {"enabled": False}},
        }
        if properties.get("provisioningState") == "InProgress":
            properties["provisioningState"] = "Waiting"
        return {
            **without_nulls(stored),
            "id": str(resource_id),
            "name": resource_id.name,
            "type": self.type,
            "location": display_location(stored.get("location")),
            "properties": properties,
        }

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        users = [app.name for app in self._records.apps() if app.environment.lower() == resource_id.key]
        if users:
            raise ArmError(
                409,
                "ManagedEnvironmentHasContainerApps",
                f"Managed environment '{resource_id.name}' still has container apps: {', '.join(users)}.",
            )
        self._records.delete_environment(str(resource_id))

    async def action(self, resource_id: ResourceId, stored: Json, name: str, body: Json) -> Json | str | None:
        if name != "getauthtoken":
            raise unknown_action(self.type, name)
        token = self._tokens.issue(resource_id.key)
        return auth_token(str(resource_id), resource_id.name, self.type, stored.get("location"), token)


class EnvironmentStorages:
    type = "Microsoft.App/managedEnvironments/storages"
    put_wire = Wire.SYNC
    patch_wire = Wire.SYNC
    delete_wire = Wire.SYNC

    def __init__(self, records: Records) -> None:
        self._records = records

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        sent = checked_properties(body, STORAGE).get("azureFile")
        if not sent:
            message = (
                "Field 'properties.azureFile' is required; the local cloud mounts Azure Files over SMB only."
            )
            raise ArmError(400, "ManagedEnvironmentStorageInvalid", message)
        file = {
            "accessMode": "ReadWrite",
            **{name: value for name, value in sent.items() if value is not None},
        }
        _check_name("accountName", file.get("accountName"), ACCOUNT_NAME)
        _check_name("shareName", file.get("shareName"), SHARE_NAME)
        if file["accessMode"] not in ACCESS_MODES:
            message = f"accessMode '{file['accessMode']}' is not one of {', '.join(ACCESS_MODES)}."
            raise ArmError(400, "ManagedEnvironmentStorageInvalid", message)
        return {**body, "properties": {"azureFile": file}}

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        file = stored["properties"]["azureFile"]
        share = Share(file["accountName"], file["shareName"], file["accessMode"] == "ReadOnly")
        self._records.put_share(str(resource_id), share)
        return stored

    def show(self, resource_id: ResourceId, stored: Json) -> Json:
        file = stored["properties"]["azureFile"]
        shown = {name: file.get(name) for name in ("accountName", "shareName", "accessMode")}
        return {
            "id": str(resource_id),
            "name": resource_id.name,
            "type": "Microsoft.App/managedenvironments/storages",
            "properties": {"azureFile": shown},
        }

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        users = [app.name for app in self._records.apps() if self._uses(app, resource_id)]
        if users:
            raise ArmError(
                409,
                "ManagedEnvironmentStorageInUse",
                f"Storage '{resource_id.name}' is still mounted by container apps: {', '.join(users)}.",
            )
        self._records.delete_share(str(resource_id))

    async def action(self, resource_id: ResourceId, stored: Json, name: str, body: Json) -> Json | str | None:
        raise unknown_action(self.type, name)

    def _uses(self, app: AppRecord, storage: ResourceId) -> bool:
        names = {
            (volume.get("storageName") or "").lower()
            for revision in self._records.revisions(app)
            if revision.active
            for volume in revision.template["volumes"] or ()
        }
        environment = storage.parent
        return (
            environment is not None
            and app.environment.lower() == environment.key
            and storage.name.lower() in names
        )


def _profile(sent: Json) -> Json:
    """Clients spell `Name` either way."""
    return {(key[:1].lower() + key[1:]): value for key, value in sent.items()}


def _kept_log_key(sent: Json, existing: Json | None) -> Json | None:
    """The logs' configuration; a shared key that is not sent again stays what it was."""
    logs: Json | None = sent.get("appLogsConfiguration")
    analytics = (logs or {}).get("logAnalyticsConfiguration")
    former = ((existing or {}).get("properties") or {}).get("appLogsConfiguration") or {}
    if not logs or not analytics or analytics.get("sharedKey"):
        return logs
    key = (former.get("logAnalyticsConfiguration") or {}).get("sharedKey")
    return {**logs, "logAnalyticsConfiguration": {**analytics, "sharedKey": key}}


def _without_log_key(logs: Json | None) -> Json:
    if not logs:
        return {"destination": None, "logAnalyticsConfiguration": None}
    analytics = logs.get("logAnalyticsConfiguration")
    shown = {"customerId": analytics.get("customerId"), "sharedKey": None} if analytics else None
    return {"destination": logs.get("destination"), "logAnalyticsConfiguration": shown}


def _check_name(field: str, value: str | None, shape: re.Pattern[str]) -> None:
    if not value or not shape.fullmatch(value):
        message = f"Field 'properties.azureFile.{field}' has the invalid value '{value}'."
        raise ArmError(400, "ManagedEnvironmentStorageInvalid", message)


def _stream_path(resource_id: ResourceId) -> str:
    return f"{resource_id.group_id}/managedEnvironments/{resource_id.name}"
