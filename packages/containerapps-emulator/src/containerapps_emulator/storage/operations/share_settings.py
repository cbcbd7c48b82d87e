"""The headers that set properties of a share: quota, tier, protocols, bursting. Changes nothing."""

from __future__ import annotations

from typing import Final

from containerapps_emulator.storage import headers as wire
from containerapps_emulator.storage.call import Call
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.store.provisioning import (
    MAX_IOPS,
    MAX_MIBPS,
    MIN_QUOTA_GIB,
    downgrade_allowed_ns,
)
from containerapps_emulator.storage.store.shares import TIERS, ShareSettings

PROTOCOLS: Final = ("SMB", "NFS")
SQUASHES: Final = ("NoRootSquash", "RootSquash", "AllSquash")
_MAX_QUOTA_GIB: Final = 102_400
_BOOLEANS: Final = {"true": True, "false": False}
_BURSTING: Final = "x-ms-share-paid-bursting"
_DIRECTORY: Final = "x-ms-enable-snapshot-virtual-directory-access"


def quota_gib(call: Call) -> int | None:
    """A premium share has at least 100 GiB, and keeps a quota that was raised for a day."""
    name = "x-ms-share-quota"
    quota = wire.optional_int(call.headers, name)
    least = MIN_QUOTA_GIB if call.is_premium else 1
    if quota is not None and not least <= quota <= _MAX_QUOTA_GIB:
        raise FilesError("InvalidHeaderValue", f"{name}: {quota} GiB")
    return quota


def require_downgrade(call: Call, quota: int | None) -> None:
    """Raise FilesError if it is too early to lower the quota of a premium share."""
    share = call.shares.get(call.target.account, call.target.share)
    early = call.now() * 1_000_000_000 < downgrade_allowed_ns(share.raised_ns)
    if call.is_premium and quota is not None and quota < share.quota_gib and early:
        raise FilesError("ContainerQuotaDowngradeNotAllowed", f"It is {share.quota_gib} GiB.")


def settings(call: Call) -> ShareSettings:
    protocols = _one_of(call, "x-ms-enabled-protocols", PROTOCOLS)
    return ShareSettings(
        tier=_one_of(call, "x-ms-access-tier", TIERS),
        protocols=protocols,
        root_squash=_one_of(call, "x-ms-root-squash", SQUASHES),
        snapshot_directory=_boolean(call, _DIRECTORY),
        bursting=_boolean(call, f"{_BURSTING}-enabled"),
        bursting_iops=_burst(call, f"{_BURSTING}-max-iops", MAX_IOPS),
        bursting_mibps=_burst(call, f"{_BURSTING}-max-bandwidth-mibps", MAX_MIBPS),
    )


def require_supported(call: Call, given: ShareSettings, protocols: str) -> None:
    """Raise FilesError for what the account, or a share with these protocols, does not have."""
    bursting = (given.bursting, given.bursting_iops, given.bursting_mibps)
    if not call.is_premium and any(value is not None for value in bursting):
        raise FilesError("UnsupportedHeader", f"{_BURSTING}-enabled: the account is not a premium one.")
    if given.snapshot_directory is not None and protocols != PROTOCOLS[1]:
        raise FilesError("UnsupportedHeader", f"{_DIRECTORY}: the share has the protocol {protocols}.")


def _burst(call: Call, name: str, most: int) -> int | None:
    value = wire.optional_int(call.headers, name)
    if value is not None and not 0 <= value <= most:
        raise FilesError("InvalidHeaderValue", f"{name}: {value}; it must be from 0 to {most}.")
    return value


def _boolean(call: Call, name: str) -> bool | None:
    given = call.headers.get(name)
    if given is None:
        return None
    if given.lower() not in _BOOLEANS:
        raise FilesError("InvalidHeaderValue", f"{name}: {given}")
    return _BOOLEANS[given.lower()]


def _one_of(call: Call, name: str, allowed: tuple[str, ...]) -> str | None:
    given = call.headers.get(name)
    if given is None:
        return None
    found = next((value for value in allowed if value.lower() == given.lower()), None)
    if found is None:
        raise FilesError("InvalidHeaderValue", f"{name}: {given}")
    return found
