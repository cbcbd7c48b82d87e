"""Storage accounts as ARM resources, and the service. `share_resources.py` owns what is in an account."""

# ruff: noqa: ARG002 — every handler has the same signature, even where it ignores an argument
from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from containerapps_emulator.arm.http import AnyCaseRoute, read_json
from containerapps_emulator.arm.locations import paired_region
from containerapps_emulator.arm.resources.resource import (
    ArmError,
    ResourceHandler,
    ResourceId,
    VirtualHandler,
    Wire,
)
from containerapps_emulator.arm.resources.store import Record, ResourceStore
from containerapps_emulator.arm.shapes import checked_properties, settable
from containerapps_emulator.arm.timestamps import now_text
from containerapps_emulator.state import Json
from containerapps_emulator.storage.access.keys import KEY_NAMES, AccountKeys
from containerapps_emulator.storage.settings import ACCOUNT, ACCOUNTS_OWN, require_one_of
from containerapps_emulator.storage.share_resources import (
    ACCOUNT_TYPE,
    FILE_SERVICE_TYPE,
    FileServiceHandler,
    ShareHandler,
    identity_of,
    unknown_action,
)
from containerapps_emulator.storage.store.shares import Shares

_ACCOUNT_NAME = re.compile(r"[a-z0-9]{3,24}")
_STANDARD = ("LRS", "GRS", "RAGRS", "ZRS", "GZRS", "RAGZRS")
_V2 = ("StandardV2_LRS", "StandardV2_GRS", "StandardV2_ZRS", "StandardV2_GZRS")
_PREMIUM = ("Premium_LRS", "Premium_ZRS", "PremiumV2_LRS", "PremiumV2_ZRS")
SKUS = (*(f"Standard_{name}" for name in _STANDARD), *_V2, *_PREMIUM)
KINDS = ("Storage", "StorageV2", "BlobStorage", "FileStorage", "BlockBlobStorage")
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
        forbids_keys: Callable[[], bool] = lambda: False,
    ) -> None:
        """`forbids_keys` says whether a policy forbids the keys of all accounts."""
        self._store = store
        self._accounts = AccountHandler(
            store, keys, shares, shares_root, files_url, forbids_keys=forbids_keys
        )
        self.handlers: Sequence[ResourceHandler] = (
            self._accounts,
            FileServiceHandler(store, shares),
            ShareHandler(shares),
        )
        self.arm_routes = (
            AnyCaseRoute(
                "/subscriptions/{subscription}/providers/Microsoft.Storage/checkNameAvailability",
                self.check_name,
                methods=["POST"],
            ),
        )

    def is_premium(self, name: str) -> bool:
        """Whether the account is for premium files, with the first model of provisioning."""
        record = self._record(name)
        if record is None or record.document["kind"] != "FileStorage":
            return False
        return str(record.document["sku"]["name"]).startswith("Premium_")

    def allows_keys(self, name: str) -> bool:
        """Whether an account can be used with its keys, and with tokens that these sign."""
        record = self._record(name)
        return record is None or self._accounts.allows_keys(record.document)

    def files_scope(self, name: str, share: str) -> str:
        """What a role for the files of a share is checked on; "" where there is no such account."""
        owner, below = self._accounts.owner(name), f"/fileServices/default/fileshares/{share}"
        return "" if owner is None else f"{owner}{below if share else ''}"

    def _record(self, name: str) -> Record | None:
        owner = self._accounts.owner(name)
        return None if owner is None else self._store.get(owner)

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""

    async def check_name(self, request: Request) -> Response:
        """Whether an account name is free: names are unique across all resource groups."""
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
    """Storage accounts: a name, two keys and a folder of shares."""

    type = ACCOUNT_TYPE
    put_wire = Wire.LOCATION
    patch_wire = Wire.SYNC
    delete_wire = Wire.SYNC

    def __init__(
        self,
        store: ResourceStore,
        keys: AccountKeys,
        shares: Shares,
        shares_root: Path,
        files_url: Callable[[], str],
        *,
        forbids_keys: Callable[[], bool],
    ) -> None:
        self._shares = shares
        self._store = store
        self._keys = keys
        self._shares_root = shares_root
        self._files_url = files_url
        self._forbids_keys = forbids_keys

    def allows_keys(self, stored: Json) -> bool:
        """Unset means that they are allowed."""
        return stored["properties"].get("allowSharedKeyAccess") is not False and not self._forbids_keys()

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
        require_one_of("sku.name", sku["name"], SKUS)
        require_one_of("kind", body.get("kind"), KINDS)
        if body.get("kind") == "FileStorage" and sku["name"].startswith("Standard_"):
            message = f"The sku '{sku['name']}' is not supported for accounts of the kind 'FileStorage'."
            raise ArmError(400, "InvalidRequestPropertyValue", message)
        defaults = existing["properties"] if existing else _account_defaults(sku["name"], body.get("kind"))
        properties = {
            **defaults,
            **settable(checked_properties(body, ACCOUNT), ACCOUNTS_OWN),
        }
        if self._forbids_keys() and properties.get("allowSharedKeyAccess") is not False:
            message = f"Resource '{name}' was disallowed by policy: allowSharedKeyAccess must be false."
            raise ArmError(403, "RequestDisallowedByPolicy", message)
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
            resource_id.subscription, resource_id.group, FILE_SERVICE_TYPE, (*resource_id.names, "default")
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
            **_secondary(stored, url),
        }
        properties = {**stored["properties"], **computed}
        if not self.allows_keys(stored):
            properties["allowSharedKeyAccess"] = False
        return {**stored, **identity_of(resource_id), "properties": properties}

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        self._keys.forget(resource_id.name)
        self._shares.forget_account(resource_id.name)
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
        """The account of this name, in any resource group."""
        for record in self._store.of_type("/subscriptions", ACCOUNT_TYPE):
            if record.id.name == name:
                return record.id
        return None


def _old_sku(body: Json) -> Json | None:
    """Before 2016 the SKU was a property, and people still deploy templates from then."""
    name = (body.get("properties") or {}).pop("accountType", None)
    return None if name is None else {"name": name}


def _endpoints(kind: str) -> tuple[str, ...]:
    """The services that an account of this kind shows URLs of. Templates refer to them; only files work."""
    if kind == "FileStorage":
        return ("file",)
    return ("file", "blob", "queue", "table", *(("dfs", "web") if kind == "StorageV2" else ()))


def _secondary(stored: Json, url: str) -> Json:
    """Where a geo-redundant account has its second copy. Only the read-access kinds show URLs of it."""
    sku = stored["sku"]["name"]
    pair = paired_region(stored["location"]) if "GRS" in sku or "GZRS" in sku else None
    if pair is None:
        return {}
    shown: Json = {"secondaryLocation": pair, "statusOfSecondary": "available"}
    if "_RAG" in sku:
        shown["secondaryEndpoints"] = {name: url for name in _endpoints(stored["kind"]) if name != "file"}
    return shown


def _encryption(properties: Json) -> Json:
    service = {"keyType": "Account", "enabled": True, "lastEnabledTime": properties["creationTime"]}
    sent = properties.get("encryption", {})
    return {"keySource": "Microsoft.Storage", **sent, "services": {"file": service, "blob": service}}


def _account_defaults(sku: str, kind: str | None) -> dict[str, Any]:
    tier = {"accessTier": "Premium" if sku.startswith("Premium") else "Hot"}
    return {
        "allowCrossTenantReplication": False,
        "privateEndpointConnections": [],
        "minimumTlsVersion": "TLS1_2",
        "allowBlobPublicAccess": False,
        "supportsHttpsTrafficOnly": True,
        **({} if kind == "Storage" else tier),  # the oldest kind of account has no tiers
        "creationTime": now_text(),
    }
