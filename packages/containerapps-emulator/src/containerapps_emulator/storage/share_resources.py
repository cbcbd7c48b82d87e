"""File services and shares as ARM resources: their documents, snapshots, restoring and leases.

The state of a share is in `store/shares.py`, which the Files API changes too; ARM stores nothing of it.
"""

# ruff: noqa: ARG002 — every handler has the same signature, even where it ignores an argument
from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from typing import Any, Final

from containerapps_emulator.arm.resources.resource import Answer, ArmError, Ask, ResourceId, Wire
from containerapps_emulator.arm.resources.store import ResourceStore
from containerapps_emulator.arm.shapes import checked_properties, settable
from containerapps_emulator.state import Json
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.operations.shares import used_bytes
from containerapps_emulator.storage.settings import FILE_SERVICE, SHARE, SHARES_OWN, require_one_of
from containerapps_emulator.storage.share_documents import (
    checked_policies,
    shown_deleted,
    shown_share,
    shown_snapshot,
)
from containerapps_emulator.storage.share_leases import change_lease
from containerapps_emulator.storage.store import stamps
from containerapps_emulator.storage.store.shares import TIERS, ShareProperties, Shares, ShareSettings

ACCOUNT_TYPE: Final = "Microsoft.Storage/storageAccounts"
FILE_SERVICE_TYPE: Final = f"{ACCOUNT_TYPE}/fileServices"
SHARE_TYPE: Final = f"{FILE_SERVICE_TYPE}/shares"
_SHARE_NAME: Final = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_MAX_QUOTA_GIB: Final = 102_400
_RETENTION_DAYS: Final = range(1, 366)
_STARTS_WITH: Final = re.compile(r"\s*startswith\(\s*name\s*,\s*'?([^')]*)'?\s*\)\s*", re.IGNORECASE)


class FileServiceHandler:
    """The settings of an account's file service; there is one, named default."""

    type = FILE_SERVICE_TYPE
    put_wire = Wire.SYNC
    patch_wire = Wire.SYNC
    delete_wire = Wire.SYNC

    def __init__(self, store: ResourceStore, shares: Shares) -> None:
        self._store = store
        self._shares = shares

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        if resource_id.name.lower() != "default":
            raise ArmError(
                400, "InvalidResourceName", f"The file service is named 'default', not '{resource_id.name}'."
            )
        properties = {**((existing or {}).get("properties") or {}), **checked_properties(body, FILE_SERVICE)}
        policy = properties.get("shareDeleteRetentionPolicy") or {}
        if policy.get("enabled") and policy.get("days") not in _RETENTION_DAYS:
            raise ArmError(
                400,
                "InvalidXmlDocument",
                f"The 'shareDeleteRetentionPolicy.days' of '{policy.get('days')}' is not from 1 to 365.",
            )
        return {"properties": properties}

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        policy = stored["properties"].get("shareDeleteRetentionPolicy")
        if policy is not None:
            self._shares.set_retention(
                resource_id.names[0], policy.get("days", 0) if policy.get("enabled") else 0
            )
        return stored

    def show(self, resource_id: ResourceId, stored: Json) -> Json:
        account = resource_id.parent
        record = self._store.get(account) if account else None
        days = self._shares.retention_days(resource_id.names[0])
        properties = {
            "protocolSettings": {"smb": {}},
            "cors": {"corsRules": []},
            **stored["properties"],
            "shareDeleteRetentionPolicy": {"enabled": True, "days": days} if days else {"enabled": False},
        }
        sku = {"sku": record.document["sku"]} if record else {}
        return {**sku, **identity_of(resource_id), "properties": properties}

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        """Nothing to do: the file service is deleted with its account."""

    async def action(self, resource_id: ResourceId, stored: Json, name: str, body: Json) -> Json | str | None:
        raise unknown_action(name)


class ShareHandler:
    """Shares: plain folders, so that containers see what clients upload, and the reverse."""

    type = SHARE_TYPE
    put_wire = Wire.SYNC
    patch_wire = Wire.SYNC
    delete_wire = Wire.SYNC

    def __init__(self, shares: Shares) -> None:
        self._shares = shares

    def discover(self, parent: ResourceId) -> dict[str, Json]:
        """Every folder is a share, including folders that were not created through ARM."""
        return {name: {"properties": {}} for name in self._shares.names(parent.names[0])}

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        """The document is what was sent; all else is the share's own."""
        if not _SHARE_NAME.fullmatch(resource_id.name):
            raise ArmError(
                400,
                "InvalidResourceName",
                f"The share name '{resource_id.name}' is not valid: 3 to 63 lower-case letters, digits and"
                " single hyphens.",
            )
        given = settable(checked_properties(body, SHARE), SHARES_OWN)
        for name in given.keys() - SHARE.keys():
            raise ArmError(
                400, "InvalidRequestPropertyValue", f"The local cloud does not support 'properties.{name}'."
            )
        quota = given.get("shareQuota", 1)
        if not 1 <= quota <= _MAX_QUOTA_GIB:
            raise ArmError(
                400,
                "InvalidHeaderValue",
                f"The 'shareQuota' of '{quota}' GiB is not between 1 and {_MAX_QUOTA_GIB}.",
            )
        if not all(isinstance(value, str) for value in given.get("metadata", {}).values()):
            raise ArmError(400, "InvalidRequestContent", "The 'metadata' of a share must hold texts.")
        require_one_of("properties.accessTier", given.get("accessTier"), TIERS)
        require_one_of("properties.enabledProtocols", given.get("enabledProtocols"), ("SMB", "NFS"))
        squashes = ("NoRootSquash", "RootSquash", "AllSquash")
        require_one_of("properties.rootSquash", given.get("rootSquash"), squashes)
        checked_policies(given.get("signedIdentifiers"))
        return {"properties": given}

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        account, name, given = resource_id.names[0], resource_id.name, stored["properties"]
        quota, metadata = given.get("shareQuota"), given.get("metadata")
        settings = ShareSettings(
            given.get("accessTier"), given.get("enabledProtocols"), given.get("rootSquash")
        )
        if name not in self._shares.names(account):
            self._shares.create(account, name, quota, metadata or {}, settings)
        policies = checked_policies(given.get("signedIdentifiers"))
        if given and (name in self._shares.names(account)):
            self._shares.update(
                account,
                name,
                self._lease_id(account, name),
                quota_gib=quota,
                metadata=metadata,
                policies=policies,
                settings=settings,
            )
        return {"properties": {}}

    def show(self, resource_id: ResourceId, stored: Json) -> Json:
        try:
            share = self._shares.get(resource_id.names[0], resource_id.name)
        except FilesError:  # it is being deleted, or is not created yet
            return {**identity_of(resource_id), "properties": dict(stored["properties"])}
        return {
            **identity_of(resource_id),
            "etag": stamps.etag(share.changed_ns),
            "properties": shown_share(share, time.time(), alone=True),
        }

    def show_change(self, shown: Json, body: Json) -> Json:
        """A PUT shows what was sent; the ETag is a header."""
        sent = settable(body.get("properties"), SHARES_OWN)
        return {**{key: shown[key] for key in ("id", "name", "type")}, "properties": sent}

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        """Deletes the share even if a client of the Files API holds a lease on it."""
        account, name = resource_id.names[0], resource_id.name
        if name in self._shares.names(account):
            await asyncio.to_thread(self._shares.delete, account, name, self._lease_id(account, name))

    async def action(self, resource_id: ResourceId, stored: Json, name: str, body: Json) -> Json | str | None:
        if name != "lease":
            raise unknown_action(name)
        try:
            return change_lease(self._shares, resource_id.names[0], resource_id.name, body)
        except FilesError as error:
            raise _as_arm_error(error) from None

    async def answer(self, ask: Ask) -> Answer | None:
        """Lists, snapshots, restoring, statistics; None for what every type has."""
        expand = {part.strip().lower() for part in ask.query.get("$expand", "").split(",") if part.strip()}
        stamp = ask.headers.get("x-ms-snapshot")
        try:
            if ask.kind.lower() == "shares":
                return self._list(ask, expand)
            if ask.method == "POST":
                return self._post(ask, stamp)
            if ask.method == "GET" and (stamp or expand):
                return await self._get(ask, expand, stamp)
            if ask.method == "PUT" and "snapshots" in expand:
                return await self._snapshot(ask)
            if ask.method == "DELETE" and (stamp or "$include" in ask.query):
                return await self._delete(ask, stamp)
        except FilesError as error:
            raise _as_arm_error(error) from None
        return None

    def _list(self, ask: Ask, expand: set[str]) -> Answer:
        found = sorted(self._listed(ask.id, expand), key=lambda item: (item["name"], item.pop("_order")))
        if "$filter" in ask.query:
            prefix = _STARTS_WITH.fullmatch(ask.query["$filter"])
            if prefix is None:
                raise FilesError("InvalidQueryParameterValue", f"$filter={ask.query['$filter']}")
            found = [item for item in found if item["name"].startswith(prefix[1].strip("'"))]
        return Answer(200, {"value": found})

    def _listed(self, service: ResourceId, expand: set[str]) -> Iterator[Json]:
        account, now = service.names[0], time.time()
        for name in self._shares.names(account):
            identity = identity_of(service.child("shares", name))
            share = self._shares.get(account, name)
            shown = shown_share(share, now, alone=False, metadata="metadata" in expand)
            yield {**identity, "etag": stamps.etag(share.changed_ns), "properties": shown, "_order": "~"}
            kept = self._shares.snapshots(account, name) if "snapshots" in expand else {}
            for stamp, properties in kept.items():
                shown = shown_snapshot(properties, stamp, now, alone=False)
                tag = stamps.etag(properties.changed_ns)
                yield {**identity, "etag": tag, "properties": shown, "_order": stamp}
        for deleted in self._shares.deleted(account) if "deleted" in expand else ():
            tag, shown = shown_deleted(deleted, now)
            identity = identity_of(service.child("shares", deleted.key)) | {"name": deleted.name}
            yield {**identity, "etag": tag, "properties": shown, "_order": ""}

    async def _get(self, ask: Ask, expand: set[str], stamp: str | None) -> Answer:
        account, name = ask.id.names[0], ask.id.name
        if unknown := expand - {"stats"}:
            raise FilesError("InvalidQueryParameterValue", f"$expand={','.join(sorted(unknown))}")
        share = self._shares.get(account, name)
        content = self._shares.open(account, name)
        properties = shown_share(share, time.time(), alone=True)
        if stamp:
            found = self._shares.snapshots(account, name).get(stamp)
            if found is None:
                raise FilesError("ShareSnapshotNotFound")
            share, content = found, self._shares.open_snapshot(account, name, stamp)
            properties = shown_snapshot(share, stamp, time.time(), alone=True)
        if expand:
            root = content.get((), "directory").path
            properties["shareUsageBytes"] = await asyncio.to_thread(used_bytes, root)
        tag = stamps.etag(share.changed_ns)
        return Answer(200, {**identity_of(ask.id), "etag": tag, "properties": properties}, {"ETag": tag})

    async def _snapshot(self, ask: Ask) -> Answer:
        self.accept(ask.id, ask.body, None)
        sent = settable(ask.body.get("properties"), SHARES_OWN)
        stamp, _ = await asyncio.to_thread(
            self._shares.snapshot, ask.id.names[0], ask.id.name, sent.get("metadata") or {}
        )
        return Answer(201, {**identity_of(ask.id), "properties": {**sent, "snapshotTime": stamp}})

    async def _delete(self, ask: Ask, stamp: str | None) -> Answer:
        account, name = ask.id.names[0], ask.id.name
        include = ask.query.get("$include", "snapshots").lower()
        if include not in {"none", "snapshots", "leased-snapshots"}:
            raise FilesError("InvalidQueryParameterValue", f"$include={include}")
        if stamp:
            lease = self._lease_id(account, name, stamp)
            await asyncio.to_thread(self._shares.delete_snapshot, account, name, stamp, lease)
            return Answer(200, None)
        if name not in self._shares.names(account):
            return Answer(204, None)
        lease = self._lease_id(account, name)
        await asyncio.to_thread(
            lambda: self._shares.delete(
                account,
                name,
                lease,
                with_snapshots=include != "none",
                with_leased=include == "leased-snapshots",
            )
        )
        return Answer(200, None)

    def _post(self, ask: Ask, stamp: str | None) -> Answer | None:
        kind = ask.kind.lower()
        if kind == "lease" and stamp:
            return Answer(200, change_lease(self._shares, ask.id.names[0], ask.id.name, ask.body, stamp))
        return self._restore(ask) if kind == "restore" else None

    def _restore(self, ask: Ask) -> Answer:
        name, version = (ask.body.get(key) for key in ("deletedShareName", "deletedShareVersion"))
        if not isinstance(name, str) or not isinstance(version, str):
            raise FilesError("MissingRequiredHeader", "deletedShareName, deletedShareVersion")
        self._shares.restore(ask.id.names[0], name, version)
        return Answer(200, None)

    def _lease_id(self, account: str, name: str, stamp: str | None = None) -> str | None:
        share: ShareProperties | None = self._shares.get(account, name)
        if stamp:
            share = self._shares.snapshots(account, name).get(stamp)
        lease = share.lease if share else None
        return lease.id if lease and lease.is_active(time.time()) else None


def unknown_action(name: str) -> ArmError:
    """The error for a POST of an action that the type does not have."""
    return ArmError(404, "InvalidResourceType", f"The local cloud does not support the action '{name}'.")


def identity_of(resource_id: ResourceId) -> dict[str, Any]:
    return {"id": str(resource_id), "name": resource_id.name, "type": resource_id.type}


def _as_arm_error(error: FilesError) -> ArmError:
    """Resource Manager's answer does not say whether a share or its snapshot is missing."""
    if error.code == "ShareSnapshotNotFound":
        error = FilesError("ShareNotFound")
    return ArmError(error.status, error.code, error.message)
