"""Certificates of an environment, uploaded and managed, as ARM sees them. Nothing is served with them."""

# ruff: noqa: ARG002 - the signatures are those of the seam

from __future__ import annotations

import secrets
from typing import Final

from containerapps_emulator.apps.clock import Clock
from containerapps_emulator.apps.documents.certificates import read_certificate
from containerapps_emulator.apps.documents.records import Records
from containerapps_emulator.apps.documents.refusals import not_emulated, not_one_of
from containerapps_emulator.apps.documents.shapes import CERTIFICATE, MANAGED_CERTIFICATE
from containerapps_emulator.apps.documents.wire import display_location, unknown_action
from containerapps_emulator.arm.resources.resource import ArmError, ResourceId, Wire
from containerapps_emulator.arm.shapes import checked_properties
from containerapps_emulator.state import Json

ENVIRONMENTS: Final = "Microsoft.App/managedEnvironments"
VALIDATIONS: Final = ("CNAME", "HTTP", "TXT")


class _Certificates:
    """What both kinds have in common."""

    type: str
    patch_wire = Wire.SYNC
    delete_wire = Wire.SYNC

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records = records
        self._clock = clock

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        self._records.put_certificate(str(resource_id))
        return {**stored, "properties": {**stored["properties"], "provisioningState": "Succeeded"}}

    def show(self, resource_id: ResourceId, stored: Json) -> Json:
        return {
            "location": display_location(stored.get("location")),
            **({"tags": stored["tags"]} if stored.get("tags") else {}),
            "properties": stored["properties"],
            "id": str(resource_id),
            "name": resource_id.name,
            "type": self.type,
        }

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        users = [app.name for app, domain in self._records.domains() if _is_of(domain, resource_id)]
        if users:
            raise ArmError(
                409,
                "CertificateInUse",
                f"Certificate '{resource_id.name}' is in use by container apps: {', '.join(users)}.",
            )
        self._records.delete_certificate(str(resource_id))

    async def action(self, resource_id: ResourceId, stored: Json, name: str, body: Json) -> Json | str | None:
        raise unknown_action(self.type, name)


class Certificates(_Certificates):
    type = f"{ENVIRONMENTS}/certificates"
    put_wire = Wire.SYNC

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        sent = checked_properties(body, CERTIFICATE)
        if sent.get("certificateKeyVaultProperties"):
            raise not_emulated("Key Vault, which the certificate refers to")
        value = sent.get("value")
        if not value and existing:  # a PATCH of tags
            return {**body, "properties": existing["properties"]}
        password = sent.get("password") or ""
        read = read_certificate(resource_id.name, value or "", password, self._clock.utc_now())
        return {**body, "properties": read}


class ManagedCertificates(_Certificates):
    type = f"{ENVIRONMENTS}/managedCertificates"
    put_wire = Wire.ASYNC_OPERATION

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        sent = checked_properties(body, MANAGED_CERTIFICATE)
        if existing and not sent.get("subjectName"):
            sent = {**existing["properties"], **sent}
        host, parent = str(sent.get("subjectName") or ""), resource_id.parent
        environment = parent.key if parent else ""
        known = {
            domain["name"].lower()
            for app, domain in self._records.domains()
            if app.environment.lower() == environment
        }
        if host.lower().removeprefix("cn=") not in known:
            raise ArmError(
                400,
                "RequireCustomHostnameInEnvironment",
                f"Creating managed certificate requires hostname '{host}' added as a custom hostname to a"
                f" container app or route in environment '{parent.name if parent else ''}'",
            )
        kind = sent.get("domainControlValidation") or VALIDATIONS[0]
        if kind.upper() not in VALIDATIONS:
            raise not_one_of("domainControlValidation", kind, VALIDATIONS)
        former = (existing or {}).get("properties") or {}
        token = former.get("validationToken") or secrets.token_hex(16)
        properties = {
            "subjectName": host,
            "domainControlValidation": kind.upper(),
            **({} if kind.upper() == "CNAME" else {"validationToken": token}),
        }
        return {**body, "properties": properties}


def _is_of(domain: Json, certificate: ResourceId) -> bool:
    return str(domain.get("certificateId") or "").lower() == certificate.key
