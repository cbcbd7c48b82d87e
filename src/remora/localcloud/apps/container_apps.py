"""containerApps as ARM sees them: what is stored, what is shown, what can be asked of one."""

# ruff: noqa: ARG002 - the signatures are those of the seam

from __future__ import annotations

import hashlib

from remora.localcloud.apps.app import check_revision
from remora.localcloud.apps.defaults import check_name, with_defaults
from remora.localcloud.apps.fleet import Fleet
from remora.localcloud.apps.host import Host
from remora.localcloud.apps.placement import Placement, check_size
from remora.localcloud.apps.records import AppRecord, Records
from remora.localcloud.apps.shapes import CONTAINER_APP
from remora.localcloud.apps.template import read_template
from remora.localcloud.apps.tokens import Tokens
from remora.localcloud.apps.wire import (
    auth_token,
    display_location,
    system_data,
    unknown_action,
    without_nulls,
)
from remora.localcloud.arm.resource import ArmError, ResourceId, Wire
from remora.localcloud.arm.shapes import checked_properties
from remora.localcloud.state import Json


class ContainerApps:
    type = "Microsoft.App/containerApps"
    put_wire = Wire.ASYNC_OPERATION
    patch_wire = Wire.LOCATION
    delete_wire = Wire.LOCATION

    def __init__(
        self, host: Host, records: Records, tokens: Tokens, fleet: Fleet, placement: Placement
    ) -> None:
        self._host = host
        self._records = records
        self._tokens = tokens
        self._fleet = fleet
        self._placement = placement

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        check_name(resource_id.name)
        former = (existing or {}).get("properties", {}).get("configuration", {}).get("secrets") or ()
        properties = with_defaults(checked_properties(body, CONTAINER_APP), former)
        if self._records.environment(properties["environmentId"]) is None:
            raise ArmError(
                400,
                "ManagedEnvironmentNotFound",
                f"Managed environment '{properties['environmentId']}' does not exist.",
            )
        self._check_profile(properties)
        for volume in properties["template"]["volumes"] or ():
            self._check_volume(volume, properties["environmentId"])
        app = self._fleet.find(resource_id)
        record = app.record if app else AppRecord.new(resource_id)
        check_revision(record, app.revisions if app else (), properties)
        return {**body, "properties": properties, "systemData": system_data(existing)}

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        properties = stored["properties"]
        await self._fleet.ensure(resource_id, properties).apply(properties)
        return {**stored, "properties": {**properties, "provisioningState": "Succeeded"}}

    def show(self, resource_id: ResourceId, stored: Json) -> Json:
        app = self._fleet.find(resource_id)
        properties = {
            **stored["properties"],
            **self._live(resource_id, app.record if app else None),
            "configuration": self._configuration(stored, app.record if app else None),
        }
        return {
            **without_nulls({**stored, "identity": _identity(stored.get("identity"))}),
            "id": str(resource_id).replace("/Microsoft.App/containerApps/", "/Microsoft.App/containerapps/"),
            "name": resource_id.name,
            "type": self.type,
            "location": display_location(stored.get("location")),
            "properties": properties,
        }

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        await self._fleet.remove(resource_id)

    async def action(self, resource_id: ResourceId, stored: Json, name: str, body: Json) -> Json | str | None:
        if name == "listsecrets":
            return {"value": stored["properties"]["configuration"]["secrets"] or []}
        if name == "getauthtoken":
            shown = self.show(resource_id, stored)
            token = self._tokens.issue(resource_id.key)
            return auth_token(shown["id"], resource_id.name, self.type, stored.get("location"), token)
        if name in ("start", "stop"):
            if app := self._fleet.find(resource_id):
                await app.set_stopped(name == "stop")
            return self.show(resource_id, stored)
        raise unknown_action(self.type, name)

    def _check_profile(self, properties: Json) -> None:
        name, environment = properties["workloadProfileName"], properties["environmentId"]
        profile, location = self._placement.profile(environment, name)
        if profile is None:
            raise ArmError(
                400,
                "WorkloadProfileNotFound",
                f"Workload profile '{name}' was not found in managed environment"
                f" '{environment.rpartition('/')[2]}'.",
            )
        check_size(read_template(properties["template"]), profile)
        self._placement.quotas.check_app(properties["template"], profile, location)

    def _check_volume(self, volume: Json, environment: str) -> None:
        storage = volume.get("storageName")
        if volume.get("storageType") == "AzureFile" and not self._records.share(environment, storage or ""):
            raise ArmError(
                400,
                "ManagedEnvironmentStorageNotFound",
                f"ManagedEnvironment Storage '{storage}' of volume '{volume.get('name')}' was not found.",
            )

    def _live(self, resource_id: ResourceId, record: AppRecord | None) -> Json:
        latest = record.latest if record else ""
        app = self._fleet.find(resource_id)
        port = next((item.port for item in (app.revisions if app else ()) if item.name == latest), 0)
        path = f"{resource_id.group_id}/containerApps/{resource_id.name}/eventstream"
        return {
            "runningStatus": "Stopped" if record and record.stopped else "Running",
            "outboundIpAddresses": [self._host.address],
            "latestRevisionName": latest,
            "latestReadyRevisionName": record.latest_ready if record else "",
            "latestRevisionFqdn": f"{self._host.address}:{port}" if port else "",
            "customDomainVerificationId": hashlib.sha256(resource_id.key.encode()).hexdigest().upper(),
            "eventStreamEndpoint": f"{self._host.arm_url()}{path}",
            "delegatedIdentities": [],
        }

    def _configuration(self, stored: Json, record: AppRecord | None) -> Json:
        configuration: Json = stored["properties"]["configuration"]
        names = [{"name": item["name"]} for item in configuration["secrets"] or ()]
        ingress = configuration["ingress"]
        if ingress:
            fqdn = f"{self._host.address}:{record.port}" if record and record.port else None
            ingress = {"fqdn": fqdn, **{name: value for name, value in ingress.items() if name != "fqdn"}}
        return {**configuration, "secrets": names or None, "ingress": ingress}


def _identity(sent: Json | None) -> Json:
    return without_nulls(sent) if sent else {"type": "None"}
