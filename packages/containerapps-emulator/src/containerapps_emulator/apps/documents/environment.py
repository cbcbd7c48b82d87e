"""The properties of an environment: what is stored of what a client sent, and what is answered.

Pure: documents in, documents out. Answers have their newest form; older api-versions get less of it.
"""

from __future__ import annotations

from typing import Any, Final

from containerapps_emulator.arm.locations import normal_location
from containerapps_emulator.arm.resources.resource import ArmError, ResourceId
from containerapps_emulator.state import Json

CONSUMPTION: Final = {"workloadProfileType": "Consumption", "name": "Consumption"}
COUNTS: Final = ("minimumCount", "maximumCount")
NULLS: Final = (
    "daprAIInstrumentationKey",
    "daprAIConnectionString",
    "vnetConfiguration",
    "infrastructureResourceGroup",
    "appInsightsConfiguration",
    "openTelemetryConfiguration",
    "availabilityZones",
    "diskEncryptionConfiguration",
    "ingressConfiguration",
)
VNET: Final = {
    "internal": False,
    "infrastructureSubnetId": None,
    "dockerBridgeCidr": None,
    "platformReservedCidr": None,
    "platformReservedDnsIP": None,
}
CUSTOM_DOMAIN: Final = {
    "dnsSuffix": None,
    "certificateKeyVaultProperties": None,
    "certificateValue": None,
    "certificatePassword": None,
    "thumbprint": None,
    "subjectName": None,
    "expirationDate": None,
}
ACCESS: Final = ("Enabled", "Disabled")
SECRET: Final = ("daprAIInstrumentationKey", "daprAIConnectionString")
OFF: Final[Json] = {
    "peerAuthentication": {"mtls": {"enabled": False}},
    "peerTrafficConfiguration": {"encryption": {"enabled": False}},
    "publicNetworkAccess": "Enabled",
}
VERSIONS: Final[Json] = {
    "kedaConfiguration": {"version": "2.17.2"},
    "daprConfiguration": {"version": "1.13.6"},
}


def environment_with_defaults(sent: Json, existing: Json | None) -> Json:
    """The properties to store. Raises ArmError."""
    access = sent.get("publicNetworkAccess") or "Enabled"
    if access not in ACCESS:
        raise ArmError(
            400,
            "InvalidPublicNetworkAccess",
            f"publicNetworkAccess '{access}' is not one of {', '.join(ACCESS)}.",
        )
    profiles = [_profile(item) for item in sent.get("workloadProfiles") or ()]
    return {
        **dict.fromkeys(NULLS),
        **sent,
        "appLogsConfiguration": _kept_log_key(sent, existing),
        "workloadProfiles": profiles or [CONSUMPTION],
        "zoneRedundant": bool(sent.get("zoneRedundant")),
    }


def shown_environment(stored: Json, resource_id: ResourceId, location: str) -> Json:
    """The properties that are answered, without those that depend on the machine."""
    vnet = stored.get("vnetConfiguration")
    region = normal_location(location) or location
    managed = f"ME_{resource_id.name}_{resource_id.group}_{region}" if vnet else None
    return {
        **dict.fromkeys(NULLS),
        **VERSIONS,
        **OFF,
        **{name: value for name, value in stored.items() if value is not None},
        **dict.fromkeys(SECRET),
        "vnetConfiguration": {**VNET, **vnet} if vnet else None,
        "infrastructureResourceGroup": stored.get("infrastructureResourceGroup") or managed,
        "appLogsConfiguration": _without_log_key(stored.get("appLogsConfiguration")),
        "customDomainConfiguration": {**CUSTOM_DOMAIN, **_custom_domain(stored)},
        "workloadProfiles": [shown_profile(item) for item in stored["workloadProfiles"]],
    }


def shown_profile(stored: Json) -> Json:
    return {"enableFips": False, **stored}


def _custom_domain(stored: Json) -> Json:
    """Without the certificate and its password, which are never answered."""
    sent = stored.get("customDomainConfiguration") or {}
    return {**sent, "certificateValue": None, "certificatePassword": None}


def _profile(sent: Json) -> Json:
    """Clients spell `Name` either way, and the Azure CLI writes counts as texts."""
    profile = {(key[:1].lower() + key[1:]): value for key, value in sent.items()}
    return {key: _count(value) if key in COUNTS else value for key, value in profile.items()}


def _count(sent: Any) -> Any:
    return int(sent) if isinstance(sent, str) and sent.isdecimal() and sent.isascii() else sent


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
    shown = analytics and {
        "customerId": analytics.get("customerId"),
        "sharedKey": None,
        "dynamicJsonColumns": bool(analytics.get("dynamicJsonColumns")),
    }
    return {"destination": logs.get("destination"), "logAnalyticsConfiguration": shown or None}
