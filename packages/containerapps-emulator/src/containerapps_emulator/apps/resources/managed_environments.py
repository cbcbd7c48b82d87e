"""managedEnvironments and their storages, as ARM sees them. Nothing runs for them; apps refer to them."""

# ruff: noqa: ARG002 - the signatures are those of the seam

from __future__ import annotations

import hashlib
import re
from typing import Final

from containerapps_emulator.apps.capacity.pools import Capacity
from containerapps_emulator.apps.capacity.profiles import read_profiles
from containerapps_emulator.apps.capacity.quotas import Quotas
from containerapps_emulator.apps.documents.environment import environment_with_defaults, shown_environment
from containerapps_emulator.apps.documents.identity import checked_identity, shown_identity
from containerapps_emulator.apps.documents.job_records import JobRecords
from containerapps_emulator.apps.documents.records import Records, Share
from containerapps_emulator.apps.documents.shapes import ENVIRONMENT, STORAGE
from containerapps_emulator.apps.documents.wire import (
    auth_token,
    display_location,
    unknown_action,
    without_nulls,
)
from containerapps_emulator.apps.host import Host
from containerapps_emulator.apps.resources.tokens import Tokens
from containerapps_emulator.arm.resources.resource import ArmError, ResourceId, Wire
from containerapps_emulator.arm.shapes import checked_properties, settable
from containerapps_emulator.arm.timestamps import system_data
from containerapps_emulator.fault_table import Fault
from containerapps_emulator.faults import Faults
from containerapps_emulator.state import Json

ACCOUNT_NAME: Final = re.compile(r"[a-z0-9]{3,24}")
SHARE_NAME: Final = re.compile(r"[a-z0-9](-?[a-z0-9]){2,62}")
ACCESS_MODES: Final = ("ReadOnly", "ReadWrite")
READ_ONLY: Final = (
    "provisioningState",
    "deploymentErrors",
    "defaultDomain",
    "staticIp",
    "eventStreamEndpoint",
)


class ManagedEnvironments:
    type = "Microsoft.App/managedEnvironments"
    put_wire = Wire.ASYNC_OPERATION
    patch_wire = Wire.LOCATION
    delete_wire = Wire.LOCATION

    def __init__(
        self,
        host: Host,
        records: Records,
        jobs: JobRecords,
        tokens: Tokens,
        capacity: Capacity,
        *,
        quotas: Quotas,
        faults: Faults,
    ) -> None:
        self._host = host
        self._records = records
        self._jobs = jobs
        self._tokens = tokens
        self._capacity = capacity
        self._quotas = quotas
        self._faults = faults

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        if not body.get("location") and not existing:
            raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
        sent = checked_properties(body, ENVIRONMENT)
        location = str(body.get("location") or (existing or {}).get("location"))
        properties = environment_with_defaults(settable(sent, READ_ONLY), existing)
        profiles = read_profiles(properties["workloadProfiles"], location)
        self._quotas.check_environment(resource_id.key, profiles, location)
        stored = {**body, "properties": properties, "systemData": system_data(existing)}
        return {**stored, "identity": checked_identity(body.get("identity"))}

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        if late := self._faults.take(Fault.SLOW_ENVIRONMENT):
            await self._faults.delay(late, self._host.clock.sleep)
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
        properties = {
            **shown_environment(stored["properties"], resource_id, stored.get("location") or ""),
            "defaultDomain": self._host.address,
            "staticIp": self._host.address,
            "eventStreamEndpoint": f"{self._host.arm_url()}{_stream_path(resource_id)}/eventstream",
        }
        properties["customDomainConfiguration"]["customDomainVerificationId"] = digest.upper()
        if properties.get("provisioningState") == "InProgress":
            properties["provisioningState"] = "Waiting"
            if properties["vnetConfiguration"]:  # its address is given while the network is joined
                del properties["staticIp"]
        identity = stored.get("identity")
        return {
            **without_nulls({**stored, "identity": None}),
            **({"identity": shown_identity(identity, resource_id.key)} if identity else {}),
            "id": str(resource_id),
            "name": resource_id.name,
            "type": self.type,
            "location": display_location(stored.get("location")),
            "properties": properties,
        }

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        of_apps = [(app.name, app.environment) for app in self._records.apps()]
        of_jobs = [(job.name, job.environment) for job in self._jobs.jobs()]
        users = [name for name, where in (*of_apps, *of_jobs) if where.lower() == resource_id.key]
        if users:
            raise ArmError(
                409,
                "ManagedEnvironmentHasContainerApps",
                f"Managed environment '{resource_id.name}' still has container apps: {', '.join(users)}.",
            )
        self._records.delete_environment(str(resource_id))

    async def action(self, resource_id: ResourceId, stored: Json, name: str, body: Json) -> Json | str | None:
        if name == "checknameavailability":
            return self._availability(resource_id, body)
        if name != "getauthtoken":
            raise unknown_action(self.type, name)
        token = self._tokens.issue(resource_id.key)
        return auth_token(str(resource_id), resource_id.name, self.type, stored.get("location"), token)

    def _availability(self, resource_id: ResourceId, body: Json) -> Json:
        """Of a name for one of the environment's certificates."""
        kind = str(body.get("type") or "").rpartition("/")[2]
        name = str(body.get("name") or "")
        if not self._records.has_certificate(f"{resource_id}/{kind}/{name}"):
            return {"nameAvailable": True}
        message = f"The name '{name}' of a {kind} is taken in environment '{resource_id.name}'."
        return {"nameAvailable": False, "reason": "AlreadyExists", "message": message}


class EnvironmentStorages:
    type = "Microsoft.App/managedEnvironments/storages"
    put_wire = Wire.SYNC
    patch_wire = Wire.SYNC
    delete_wire = Wire.SYNC

    def __init__(self, records: Records, jobs: JobRecords) -> None:
        self._records = records
        self._jobs = jobs

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
        of_apps = [
            (app.name, app.environment, revision.template)
            for app in self._records.apps()
            for revision in self._records.revisions(app)
            if revision.active
        ]
        of_jobs = [(job.name, job.environment, job.template or {}) for job in self._jobs.jobs()]
        mounting = {
            name
            for name, environment, template in (*of_apps, *of_jobs)
            if _mounts(resource_id, environment, template)
        }
        users = sorted(mounting)
        if users:
            raise ArmError(
                409,
                "ManagedEnvironmentStorageInUse",
                f"Storage '{resource_id.name}' is still mounted by container apps: {', '.join(users)}.",
            )
        self._records.delete_share(str(resource_id))

    async def action(self, resource_id: ResourceId, stored: Json, name: str, body: Json) -> Json | str | None:
        raise unknown_action(self.type, name)


def _mounts(storage: ResourceId, environment: str, template: Json) -> bool:
    parent = storage.parent
    names = {(volume.get("storageName") or "").lower() for volume in template.get("volumes") or ()}
    return parent is not None and environment.lower() == parent.key and storage.name.lower() in names


def _check_name(field: str, value: str | None, shape: re.Pattern[str]) -> None:
    if not value or not shape.fullmatch(value):
        message = f"Field 'properties.azureFile.{field}' has the invalid value '{value}'."
        raise ArmError(400, "ManagedEnvironmentStorageInvalid", message)


def _stream_path(resource_id: ResourceId) -> str:
    return f"{resource_id.group_id}/managedEnvironments/{resource_id.name}"
