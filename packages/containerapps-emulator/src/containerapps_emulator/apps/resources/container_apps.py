"""containerApps as ARM sees them: what is stored, what is shown, what can be asked of one."""

# ruff: noqa: ARG002 - the signatures are those of the seam

from __future__ import annotations

import hashlib
from typing import Final

from containerapps_emulator.apps.app import check_revision
from containerapps_emulator.apps.capacity.placement import Placement
from containerapps_emulator.apps.documents.custom_domains import check_certificates
from containerapps_emulator.apps.documents.defaults import check_name, with_defaults
from containerapps_emulator.apps.documents.first_answer import first_answer
from containerapps_emulator.apps.documents.identity import checked_identity, shown_identity
from containerapps_emulator.apps.documents.records import AppRecord, Records
from containerapps_emulator.apps.documents.refusals import SCHEMA
from containerapps_emulator.apps.documents.shapes import CONTAINER_APP
from containerapps_emulator.apps.documents.wire import (
    auth_token,
    display_location,
    unknown_action,
    without_nulls,
)
from containerapps_emulator.apps.fleet import Fleet
from containerapps_emulator.apps.host import Host
from containerapps_emulator.apps.resources.tokens import Tokens
from containerapps_emulator.arm.resources.resource import ArmError, ResourceId, Wire
from containerapps_emulator.arm.shapes import checked_properties
from containerapps_emulator.arm.timestamps import system_data
from containerapps_emulator.state import Json

KEPT: Final = "maxInactiveRevisions"


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
        former = (existing or {}).get("properties")
        sent = self._with_live_traffic(resource_id, _checked(body), former)
        identity = checked_identity(body.get("identity"))
        properties = with_defaults(sent, former)
        environment = properties["environmentId"]
        self._records.require_environment(environment)
        self._placement.check(environment, properties["workloadProfileName"], properties["template"])
        domains = (properties["configuration"]["ingress"] or {}).get("customDomains") or ()
        check_certificates(domains, properties["environmentId"], self._records.has_certificate)
        for volume in properties["template"]["volumes"] or ():
            self._records.check_volume(volume, properties["environmentId"])
        app = self._fleet.find(resource_id)
        record = app.record if app else AppRecord.new(resource_id)
        check_revision(record, app.revisions if app else (), properties)
        stored = {**body, "properties": properties, "systemData": system_data(existing)}
        return {**stored, "identity": identity}

    def first_answer(self, resource_id: ResourceId, sent: Json, stored: Json) -> Json:
        shown = self.show(resource_id, stored)
        return {**shown, "properties": first_answer(sent.get("properties") or {}, shown["properties"])}

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        properties = stored["properties"]
        self._records.put_identity(resource_id.key, stored.get("identity"))
        await self._fleet.ensure(resource_id, properties).apply(properties)
        return {**stored, "properties": {**properties, "provisioningState": "Succeeded"}}

    def show(self, resource_id: ResourceId, stored: Json) -> Json:
        app = self._fleet.find(resource_id)
        properties = {
            **stored["properties"],
            **self._live(resource_id, app.record if app else None),
            **_latest(app.record if app else None, stored["properties"]["configuration"]),
            "configuration": self._configuration(resource_id, stored, app.record if app else None),
        }
        return {
            **without_nulls(stored),
            "identity": shown_identity(stored.get("identity"), resource_id.key),
            "id": str(resource_id).replace("/Microsoft.App/containerApps/", "/Microsoft.App/containerapps/"),
            "name": resource_id.name,
            "type": self.type,
            "location": display_location(stored.get("location")),
            "properties": properties,
        }

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        await self._fleet.remove(resource_id)
        self._records.delete_identity(resource_id.key)

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

    def _live(self, resource_id: ResourceId, record: AppRecord | None) -> Json:
        latest = record.latest if record else ""
        app = self._fleet.find(resource_id)
        revisions = app.revisions if app and app.record.ingress else ()
        port = next((item.port for item in revisions if item.name == latest), 0)
        path = f"{resource_id.group_id}/containerApps/{resource_id.name}/eventstream"
        return {
            "runningStatus": "Stopped" if record and record.stopped else "Running",
            "outboundIpAddresses": [self._host.address],
            "latestRevisionFqdn": f"{self._host.address}:{port}" if port else "",
            "customDomainVerificationId": hashlib.sha256(resource_id.key.encode()).hexdigest().upper(),
            "eventStreamEndpoint": f"{self._host.arm_url()}{path}",
            "delegatedIdentities": [],
        }

    def _configuration(self, resource_id: ResourceId, stored: Json, record: AppRecord | None) -> Json:
        configuration: Json = stored["properties"]["configuration"]
        names = [{"name": item["name"]} for item in configuration["secrets"] or ()]
        ingress = configuration["ingress"]
        if ingress:
            port = self._fleet.port(resource_id)
            fqdn = f"{self._host.address}:{port}" if port else None
            traffic = record.traffic if record and record.label else ingress["traffic"]
            ingress = {**ingress, "fqdn": fqdn, "traffic": traffic}
        shown = {**configuration, "secrets": names or None, "ingress": ingress}
        if record and "provisioningState" not in stored["properties"] and shown[KEPT] is None:
            shown[KEPT] = record.configuration.get(KEPT)  # a preview: what an update leaves out is no change
        return shown

    def _with_live_traffic(self, resource_id: ResourceId, sent: Json, former: Json | None) -> Json:
        """In Labels mode traffic moves without the client: none, or an old state sent again, is no change."""
        app, configuration = self._fleet.find(resource_id), sent.get("configuration") or {}
        ingress = configuration.get("ingress") or {}
        is_labels = (configuration.get("activeRevisionsMode") or "").lower() == "labels"
        if app is None or not app.record.label or not ingress or not is_labels:
            return sent
        stored = ((former or {}).get("configuration") or {}).get("ingress") or {}
        if ingress.get("traffic") and ingress["traffic"] != stored.get("traffic"):
            return sent
        live = {**ingress, "traffic": app.record.traffic}
        return {**sent, "configuration": {**configuration, "ingress": live}}


def _latest(record: AppRecord | None, configuration: Json) -> Json:
    """Before its first revision an app that keeps several names none; one in Single mode names ''."""
    latest, ready = (record.latest, record.latest_ready) if record else ("", "")
    if not latest and configuration["activeRevisionsMode"] != "Single":
        return {}
    return {"latestRevisionName": latest, "latestReadyRevisionName": ready}


def _checked(body: Json) -> Json:
    """The properties of a body. What has a wrong type is refused in the words of Container Apps."""
    try:
        return checked_properties(body, CONTAINER_APP)
    except ArmError as error:
        message = (
            "Invalid request body for container app. Does not conform to Container App schema:"
            f" {error.message}"
        )
        raise ArmError(error.status, SCHEMA, message) from None
