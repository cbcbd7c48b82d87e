"""Storage accounts, file services and shares as ARM resources. Their content is the Files API's."""

# ruff: noqa: ARG002 — handlers answer to one seam, whether or not they need all that it hands them
from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from remora.localcloud.arm.http import AnyCaseRoute, read_json
from remora.localcloud.arm.resource import ArmError, ResourceHandler, ResourceId, VirtualHandler, Wire
from remora.localcloud.arm.shapes import checked_properties, settable
from remora.localcloud.arm.store import Record, ResourceStore
from remora.localcloud.arm.timestamps import now_text
from remora.localcloud.state import Json
from remora.localcloud.storage.errors import FilesError
from remora.localcloud.storage.keys import KEY_NAMES, AccountKeys
from remora.localcloud.storage.settings import ACCOUNT, ACCOUNTS_OWN, FILE_SERVICE, SHARE, SHARES_OWN
from remora.localcloud.storage.shares import Shares

_ACCOUNT_NAME = re.compile(r"[a-z0-9]{3,24}")
_SHARE_NAME = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_ACCOUNT = "Microsoft.Storage/storageAccounts"
_FILE_SERVICE = f"{_ACCOUNT}/fileServices"
_SHARE = f"{_FILE_SERVICE}/shares"
_MAX_QUOTA_GIB = 102_400
_DEFAULT_QUOTA_GIB = 5120
_INVALID_NAME = (
    "{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in"
    " length and use numbers and lower-case letters only."
)


_NETWORK_ACLS = {
    "ipv6Rules": [],
    "bypass": "AzureServices",
    "virtualNetworkRules": [],
    "ipRules": [],
    "defaultAction": "Allow",
}


class StorageService:
    """Microsoft.Storage."""

    namespace = "Microsoft.Storage"
    virtual_handlers: Sequence[VirtualHandler] = ()
    routes: Sequence[BaseRoute] = ()

    def __init__(
        self,
        *,
        store: ResourceStore,
        keys: AccountKeys,
        shares: Shares,
        shares_root: Path,
        files_url: Callable[[], str],
    ) -> None:
        self._accounts = AccountHandler(store, keys, shares_root, files_url)
        self.handlers: Sequence[ResourceHandler] = (
            self._accounts,
            FileServiceHandler(),
            ShareHandler(shares),
        )
        self.arm_routes = (
            AnyCaseRoute(
                "/subscriptions/{subscription}/providers/Microsoft.Storage/checkNameAvailability",
                self.check_name,
                methods=["POST"],
            ),
        )

    async def start(self) -> None:
        """Nothing runs."""

    async def stop(self) -> None:
        """Nothing runs."""

    async def check_name(self, request: Request) -> Response:
        """Whether an account name is free: names are shared by all resource groups."""
        name = str((await read_json(request)).get("name", ""))
        reason = None
        if not _ACCOUNT_NAME.fullmatch(name):
            reason = ("AccountNameInvalid", _INVALID_NAME.format(name=name))
        elif self._accounts.owner(name) is not None:
            reason = ("AlreadyExists", f"The storage account named {name} is already taken.")
        if reason is None:
            return JSONResponse({"nameAvailable": True})
        return JSONResponse({"nameAvailable": False, "reason": reason[0], "message": reason[1]})


class AccountHandler:
    """Storage accounts: a name, two keys, a folder for shares."""

    type = _ACCOUNT
    put_wire = Wire.LOCATION
    patch_wire = Wire.SYNC
    delete_wire = Wire.SYNC

    def __init__(
        self, store: ResourceStore, keys: AccountKeys, shares_root: Path, files_url: Callable[[], str]
    ) -> None:
        self._store = store
        self._keys = keys
        self._shares_root = shares_root
        self._files_url = files_url

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        name = resource_id.name
        if not _ACCOUNT_NAME.fullmatch(name):
            raise ArmError(400, "AccountNameInvalid", _INVALID_NAME.format(name=name))
        owner = self.owner(name)
        if owner is not None and owner.key != resource_id.key:
            message = f"The storage account named {name} is already taken."
            raise ArmError(409, "StorageAccountAlreadyTaken", message)
        sku = body.get("sku") or _old_sku(body) or (existing or {}).get("sku")
        if not isinstance(sku, dict) or not isinstance(sku.get("name"), str):
            raise ArmError(400, "InvalidRequestContent", "The 'sku.name' of a storage account is required.")
        defaults = existing["properties"] if existing else _account_defaults(sku["name"], body.get("kind"))
        properties = {
            **defaults,
            **settable(checked_properties(body, ACCOUNT), ACCOUNTS_OWN),
        }
        tier = "Premium" if sku["name"].startswith("Premium") else "Standard"
        return {
            "sku": {"name": sku["name"], "tier": tier},
            "kind": body.get("kind") or "StorageV2",
            "location": body.get("location") or (existing or {}).get("location"),
            "tags": body.get("tags") or {},
            "properties": properties,
        }

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        self._keys.ensure(resource_id.name)
        (self._shares_root / resource_id.name).mkdir(parents=True, exist_ok=True)
        # An account has its file service from the start; no client needs to create it.
        service = ResourceId(
            resource_id.subscription, resource_id.group, _FILE_SERVICE, (*resource_id.names, "default")
        )
        if self._store.get(service) is None:
            self._store.put(Record(service, {"properties": {}}, created=True))
        return stored

    def show(self, resource_id: ResourceId, stored: Json) -> Json:
        times = {key["keyName"]: key["creationTime"] for key in self._keys.show(resource_id.name)}
        url = f"{self._files_url()}/{resource_id.name}/"
        computed = {
            "keyCreationTime": times,
            "encryption": _encryption(stored["properties"]),
            "networkAcls": {**_NETWORK_ACLS, **stored["properties"].get("networkAcls", {})},
            "primaryEndpoints": dict.fromkeys(_endpoints(stored["kind"]), url),
            "primaryLocation": stored["location"],
            "statusOfPrimary": "available",
        }
        properties = {**stored["properties"], **computed}
        return {**stored, **_identity(resource_id), "properties": properties}

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        self._keys.forget(resource_id.name)
        shutil.rmtree(self._shares_root / resource_id.name, ignore_errors=True)

    async def action(
        self,
        resource_id: ResourceId,
        stored: Json,
        name: str,
        body: Json,
    ) -> Json | str | None:
        if name == "regeneratekey":
            key_name = body.get("keyName")
            if key_name not in KEY_NAMES:
                raise ArmError(400, "InvalidRequestPropertyValue", f"'keyName' '{key_name}' is not a key.")
            self._keys.regenerate(resource_id.name, key_name)
        elif name != "listkeys":
            raise unknown_action(name)
        return {"keys": list(self._keys.show(resource_id.name))}

    def owner(self, name: str) -> ResourceId | None:
        """The account of this name, in whichever resource group."""
        for record in self._store.of_type("/subscriptions", _ACCOUNT):
            if record.id.name == name:
                return record.id
        return None


class FileServiceHandler:
    """The settings of an account's file service; there is one, named default."""

    type = _FILE_SERVICE
    put_wire = Wire.SYNC
    patch_wire = Wire.SYNC
    delete_wire = Wire.SYNC

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        if resource_id.name.lower() != "default":
            raise ArmError(
                400, "InvalidResourceName", f"The file service is named 'default', not '{resource_id.name}'."
            )
        properties = {**((existing or {}).get("properties") or {}), **checked_properties(body, FILE_SERVICE)}
        return {"properties": properties}

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        return stored

    def show(self, resource_id: ResourceId, stored: Json) -> Json:
        defaults = {"shareDeleteRetentionPolicy": {"enabled": True, "days": 7}}
        return {**_identity(resource_id), "properties": {**defaults, **stored["properties"]}}

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        """Goes with its account."""

    async def action(self, resource_id: ResourceId, stored: Json, name: str, body: Json) -> Json | str | None:
        raise unknown_action(name)


class ShareHandler:
    """Shares: plain folders, so that containers see what clients upload and the other way around."""

    type = _SHARE
    put_wire = Wire.SYNC
    patch_wire = Wire.SYNC
    delete_wire = Wire.SYNC

    def __init__(self, shares: Shares) -> None:
        self._shares = shares

    def discover(self, parent: ResourceId) -> dict[str, Json]:
        """Every share is a folder, whoever made it."""
        account = parent.names[0]
        return {
            name: {"properties": {"enabledProtocols": "SMB", "lastModifiedTime": now_text()}}
            for name in self._shares.names(account)
        }

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        if not _SHARE_NAME.fullmatch(resource_id.name):
            raise ArmError(
                400,
                "InvalidResourceName",
                f"The share name '{resource_id.name}' is not valid: 3 to 63 lower-case letters, digits and"
                " single hyphens.",
            )
        given = settable(checked_properties(body, SHARE), SHARES_OWN)
        former = (existing or {}).get("properties") or {"enabledProtocols": "SMB"}
        quota = given.get("shareQuota", former.get("shareQuota", _DEFAULT_QUOTA_GIB))
        if not isinstance(quota, int) or isinstance(quota, bool) or not 1 <= quota <= _MAX_QUOTA_GIB:
            raise ArmError(
                400,
                "InvalidHeaderValue",
                f"The 'shareQuota' of '{quota}' GiB is not between 1 and {_MAX_QUOTA_GIB}.",
            )
        metadata = given.get("metadata", {})
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise ArmError(400, "InvalidRequestContent", "The 'metadata' of a share must hold texts.")
        properties = {**former, **given, "shareQuota": quota, "lastModifiedTime": now_text()}
        return {"properties": properties}

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        account, name = resource_id.names[0], resource_id.name
        quota, metadata = stored["properties"]["shareQuota"], stored["properties"].get("metadata")
        if name not in self._shares.names(account):
            self._shares.create(account, name, quota, metadata or {})
        else:
            lease = self._lease_id(account, name)
            self._shares.update(account, name, lease, quota_gib=quota, metadata=metadata)
        return stored

    def show(self, resource_id: ResourceId, stored: Json) -> Json:
        """Quota and metadata are those of the share itself, which the Files API may have changed."""
        properties = dict(stored["properties"])
        try:
            share = self._shares.get(resource_id.names[0], resource_id.name)
        except FilesError:
            pass  # being deleted, or not made yet
        else:
            properties["shareQuota"] = share.quota_gib
            if share.metadata:
                properties["metadata"] = dict(share.metadata)
        return {**_identity(resource_id), "properties": properties}

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        """A lease of the Files API does not keep the owner of the account from it."""
        account, name = resource_id.names[0], resource_id.name
        if name in self._shares.names(account):
            self._shares.delete(account, name, self._lease_id(account, name))

    async def action(self, resource_id: ResourceId, stored: Json, name: str, body: Json) -> Json | str | None:
        raise unknown_action(name)

    def _lease_id(self, account: str, name: str) -> str | None:
        lease = self._shares.get(account, name).lease
        return lease.id if lease and lease.is_active(time.time()) else None


def unknown_action(name: str) -> ArmError:
    """POST of something that the type does not have."""
    return ArmError(404, "InvalidResourceType", f"The action '{name}' is not known to the local cloud.")


def _identity(resource_id: ResourceId) -> Json:
    return {"id": str(resource_id), "name": resource_id.name, "type": resource_id.type}


def _old_sku(body: Json) -> Json | None:
    """Before 2016 the SKU was a property, and templates of that time are still deployed."""
    name = (body.get("properties") or {}).pop("accountType", None)
    return None if name is None else {"name": name}


def _endpoints(kind: str) -> tuple[str, ...]:
    """What an account of a kind has addresses of. Templates refer to them; only files are served."""
    if kind == "FileStorage":
        return ("file",)
    return ("file", "blob", "queue", "table", *(("dfs", "web") if kind == "StorageV2" else ()))


def _encryption(properties: Json) -> Json:
    service = {"keyType": "Account", "enabled": True, "lastEnabledTime": properties["creationTime"]}
    sent = properties.get("encryption", {})
    return {"keySource": "Microsoft.Storage", **sent, "services": {"file": service, "blob": service}}


def _account_defaults(sku: str, kind: str | None) -> dict[str, Any]:
    tier = {"accessTier": "Premium" if sku.startswith("Premium") else "Hot"}
    return {
        "allowCrossTenantReplication": False,
        "privateEndpointConnections": [],
        "minimumTlsVersion": "TLS1_0",
        "allowBlobPublicAccess": False,
        "supportsHttpsTrafficOnly": True,
        **({} if kind == "Storage" else tier),  # the first kind of account has no tiers
        "creationTime": now_text(),
    }
