"""How ARM shows a share, a snapshot and a deleted share, and reads access policies. Touches no share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json
from containerapps_emulator.storage.store import stamps
from containerapps_emulator.storage.store.kept import Deleted
from containerapps_emulator.storage.store.leases import INFINITE, Lease
from containerapps_emulator.storage.store.shares import ShareProperties

_POLICY_FIELDS: Final = {"startTime": "Start", "expiryTime": "Expiry", "permission": "Permission"}
_MAX_POLICIES: Final = 5


def shown_share(share: ShareProperties, now: float, *, alone: bool, metadata: bool = False) -> Json:
    """Lists leave out policies, and metadata unless asked for it."""
    return {
        **_lease(share.lease, now),
        **({"signedIdentifiers": _policies(share.policies)} if alone else {}),
        "accessTier": share.shown_tier,
        "accessTierChangeTime": _time(share.tier_changed_ns or share.created_ns or share.changed_ns),
        **({"metadata": dict(share.metadata)} if share.metadata and (alone or metadata) else {}),
        "lastModifiedTime": _time(share.changed_ns),
        "shareQuota": share.quota_gib,
        "enabledProtocols": share.protocols,
        **({"rootSquash": share.root_squash} if share.root_squash else {}),
    }


def shown_snapshot(share: ShareProperties, stamp: str, now: float, *, alone: bool) -> Json:
    """A snapshot alone does not show its protocol; one in a list does not show when its tier changed."""
    shown = shown_share(share, now, alone=alone) | {"snapshotTime": stamp}
    del shown["enabledProtocols" if alone else "accessTierChangeTime"]
    return shown


def shown_deleted(deleted: Deleted, now: float) -> tuple[str, Json]:
    """Its ETag and its properties."""
    share = ShareProperties.from_json(deleted.properties)
    shown = shown_share(share, now, alone=False) | {
        "leaseState": "broken",
        "version": deleted.version,
        "deleted": True,
        "deletedTime": _time(deleted.deleted_ns),
        "remainingRetentionDays": deleted.remaining_days(int(now * 1_000_000_000)),
    }
    return stamps.etag(share.changed_ns), shown


def checked_policies(given: Any) -> dict[str, dict[str, str]] | None:
    """`signedIdentifiers` as the share stores them; None where they are not given. Raises ArmError."""
    if given is None:
        return None
    if not isinstance(given, list) or len(given) > _MAX_POLICIES:
        raise _invalid(f"must be a list of at most {_MAX_POLICIES}")
    found: dict[str, dict[str, str]] = {}
    for item in given:
        name = item.get("id") if isinstance(item, dict) else None
        policy = item.get("accessPolicy") or {} if isinstance(item, dict) else {}
        if (
            not isinstance(name, str)
            or not isinstance(policy, dict)
            or not policy.keys() <= _POLICY_FIELDS.keys()
        ):
            raise _invalid(f"has the invalid item '{item}'")
        fields = {_POLICY_FIELDS[key]: str(value) for key, value in policy.items() if value}
        found[name] = {key: _stored(key, value) for key, value in fields.items()}
    return found


def _stored(field: str, value: str) -> str:
    try:
        return value if field == "Permission" else stamps.iso(stamps.parse_iso(value))
    except ValueError:
        raise _invalid(f"has the invalid time '{value}'") from None


def _invalid(what: str) -> ArmError:
    return ArmError(400, "InvalidRequestContent", f"The 'properties.signedIdentifiers' of a share {what}.")


def _policies(policies: Mapping[str, Mapping[str, str]]) -> list[Json]:
    names = {stored: name for name, stored in _POLICY_FIELDS.items()}
    return [
        {"id": identifier, "accessPolicy": {names[key]: value for key, value in fields.items()}}
        for identifier, fields in policies.items()
    ]


def _lease(lease: Lease | None, now: float) -> Json:
    active = lease is not None and lease.is_active(now)
    shown = {
        "leaseStatus": "locked" if active else "unlocked",
        "leaseState": "available" if lease is None else lease.state(now),
    }
    if active and lease is not None:
        shown["leaseDuration"] = "Infinite" if lease.duration_seconds == INFINITE else "Fixed"
    return shown


def _time(time_ns: int) -> str:
    """In whole seconds, as ARM shows the times of shares."""
    return stamps.iso(time_ns // 1_000_000_000 * 1_000_000_000)
