"""The properties of accounts and shares: their JSON types, and the ones that only the service sets."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from containerapps_emulator.arm.resources.resource import ArmError

ACCOUNT: Final = {
    "accessTier": str,
    "allowSharedKeyAccess": bool,
    "encryption": {"services": dict, "keySource": str},
    "minimumTlsVersion": str,
    "networkAcls": {"bypass": str, "defaultAction": str, "ipRules": list, "virtualNetworkRules": list},
    "supportsHttpsTrafficOnly": bool,
}
FILE_SERVICE: Final = {"shareDeleteRetentionPolicy": {"enabled": bool, "days": int}}
SHARE: Final = {
    "shareQuota": int,
    "enabledProtocols": str,
    "accessTier": str,
    "rootSquash": str,
    "metadata": dict,
    "signedIdentifiers": list,
}
ACCOUNTS_OWN: Final = frozenset(
    (
        "accountMigrationInProgress",
        "blobRestoreStatus",
        "creationTime",
        "failoverInProgress",
        "geoReplicationStats",
        "isSkuConversionBlocked",
        "keyCreationTime",
        "lastGeoFailoverTime",
        "primaryEndpoints",
        "primaryLocation",
        "privateEndpointConnections",
        "provisioningState",
        "secondaryEndpoints",
        "secondaryLocation",
        "statusOfPrimary",
        "statusOfSecondary",
        "storageAccountSkuConversionStatus",
    )
)
SHARES_OWN: Final = frozenset(
    (
        "accessTierChangeTime",
        "accessTierStatus",
        "deleted",
        "deletedTime",
        "lastModifiedTime",
        "leaseDuration",
        "leaseState",
        "leaseStatus",
        "remainingRetentionDays",
        "shareUsageBytes",
        "snapshotTime",
        "version",
    )
)


def require_one_of(path: str, value: Any, allowed: Collection[str]) -> None:
    """Raise ArmError for a value that Azure does not know. A missing value is allowed."""
    if value is not None and value not in allowed:
        raise ArmError(
            400, "InvalidRequestPropertyValue", f"The value '{value}' is not allowed for property {path}."
        )
