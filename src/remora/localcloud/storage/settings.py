"""The properties of accounts and shares: their JSON types, and which of them only the service sets."""

from __future__ import annotations

from typing import Final

ACCOUNT: Final = {
    "accessTier": str,
    "encryption": {"services": dict, "keySource": str},
    "minimumTlsVersion": str,
    "networkAcls": {"bypass": str, "defaultAction": str, "ipRules": list, "virtualNetworkRules": list},
    "supportsHttpsTrafficOnly": bool,
}
FILE_SERVICE: Final = {"shareDeleteRetentionPolicy": {"enabled": bool, "days": int}}
SHARE: Final = {"shareQuota": int, "enabledProtocols": str, "accessTier": str, "metadata": dict}
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
