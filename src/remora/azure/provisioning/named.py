"""The resources that a project names: which exist and can be used, and which would be created.

Refuses a name of an unusable resource before anything changes. Changes nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from remora.azure.failures import explained
from remora.azure.profile import Clients
from remora.azure.provisioning.existing import FRONT_PARAMETER, front_names, resource_name
from remora.azure.provisioning.template import Wanted, follows_location
from remora.errors import DeploymentNotFound, Refused

_PARAMETERS: Mapping[str, str] = {
    "storageaccounts": "storageAccountName",
    "storageaccounts/fileservices/shares": "fileShareName",
    "managedenvironments": "acaEnvironmentName",
    "managedenvironments/storages": "acaEnvironmentStorageName",
    "containerapps": "acaAppName",
    "workspaces": "acaLogAnalyticsName",
}
"""Kind of resource (see `resource_name`) → the parameter that names it."""
_WITHOUT_SHARES = frozenset({"BlobStorage", "BlockBlobStorage"})

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NamedResource:
    """A resource by the parameter that names it. If it `exists`, it is used and updated, else created."""

    parameter: str
    kind: str
    name: str
    exists: bool


def named_resources(clients: Clients, wanted: Wanted) -> tuple[NamedResource, ...]:
    """The resources of `wanted.resource_ids`, in the order of the parameters. Raises Refused."""
    here = _in_group(clients, wanted)
    apps = [name for kind, name in map(resource_name, wanted.resource_ids) if kind == "containerapps"]
    fronts = front_names(apps, wanted.parameters)
    found = []
    for kind, name in map(resource_name, wanted.resource_ids):
        if kind in _PARAMETERS:
            document = _read(clients, wanted.group, kind, name) if _may_exist(here, kind, name) else None
            if document is not None:
                _check_region(wanted, kind, name, here)
                _CHECKS.get(kind, _accept)(wanted, name, document)
            shown = name.rpartition("/")[2]
            parameter = FRONT_PARAMETER if shown in fronts and kind == "containerapps" else _PARAMETERS[kind]
            found.append(NamedResource(parameter, kind, shown, document is not None))
    order = [*_PARAMETERS.values(), FRONT_PARAMETER]
    return tuple(sorted(found, key=lambda item: (order.index(item.parameter), item.name)))


def share_exists(clients: Clients, group: str, account: str, share: str) -> bool:
    """Whether the share exists. Its account may be missing too."""
    return (
        _read(clients, group, "storageaccounts/fileservices/shares", f"{account}/default/{share}") is not None
    )


def _in_group(clients: Clients, wanted: Wanted) -> dict[tuple[str, str], str]:
    """(kind, name in lower case) → region of everything at the top level of the group."""
    with explained(f"listing what is in {wanted.group!r}"):
        listed = clients.resources.resources.list_by_resource_group(wanted.group)
        items = [(resource_name(str(item.id)), str(item.location or "")) for item in listed]
    return {(kind, name.lower()): location for (kind, name), location in items}


def _may_exist(here: Mapping[tuple[str, str], str], kind: str, name: str) -> bool:
    """Whether its top-level resource exists, without which it cannot."""
    return (kind.partition("/")[0], name.partition("/")[0].lower()) in here


def _read(clients: Clients, group: str, kind: str, name: str) -> Json | None:
    parent, _, child = name.rpartition("/")
    readers = {
        "storageaccounts": lambda: clients.storage.storage_accounts.get_properties(group, name),
        "storageaccounts/fileservices/shares": lambda: clients.storage.file_shares.get(
            group, parent.partition("/")[0], child
        ),
        "managedenvironments": lambda: clients.apps.managed_environments.get(group, name),
        "managedenvironments/storages": lambda: clients.apps.managed_environments_storages.get(
            group, parent, child
        ),
        "containerapps": lambda: clients.apps.container_apps.get(group, name),
    }
    if kind not in readers:
        return {}  # the list shows that it exists
    try:
        with explained(f"reading {kind} {name!r}"):
            document: Json = readers[kind]().as_dict()
    except DeploymentNotFound:
        return None
    return document


def _check_region(wanted: Wanted, kind: str, name: str, here: Mapping[tuple[str, str], str]) -> None:
    """Refuse a resource in another region, which ARM would refuse in the middle of the deployment."""
    region = here.get((kind, name.lower()), "")
    if not region or not follows_location(wanted.template, kind) or _same(region, wanted.location):
        return
    raise Refused(
        f"{_PARAMETERS[kind]} is {name!r}, which exists in {region}; the deployment is for {wanted.location}",
        hint=f"set location to {_plain(region)} in inference.parameters.json, or use another name for"
        f" {_PARAMETERS[kind]}",
        param=_PARAMETERS[kind],
    )


def _check_account(_wanted: Wanted, name: str, document: Json) -> None:
    if document.get("kind") in _WITHOUT_SHARES:
        raise Refused(
            f"storageAccountName is {name!r}, a {document['kind']} account, which has no file shares",
            hint="name a StorageV2 account, or an unused name to create one, in inference.parameters.json",
            param="storageAccountName",
        )


def _check_mount(wanted: Wanted, name: str, document: Json) -> None:
    """Refuse to change a storage's share, which another app may mount."""
    file = document["properties"].get("azureFile") or {}
    mounted = (str(file.get("accountName")), str(file.get("shareName")))
    if mounted not in _shares(wanted.resource_ids):
        raise Refused(
            f"acaEnvironmentStorageName is {name.rpartition('/')[2]!r}, which mounts share {mounted[1]!r} of"
            f" {mounted[0]!r}: apps that mount it would lose that share",
            hint="name that share, or another acaEnvironmentStorageName, in inference.parameters.json",
            param="acaEnvironmentStorageName",
        )


def _check_app(wanted: Wanted, name: str, document: Json) -> None:
    properties = document["properties"]
    home = str(properties.get("environmentId") or properties.get("managedEnvironmentId") or "")
    environments = [
        other for kind, other in map(resource_name, wanted.resource_ids) if kind == "managedenvironments"
    ]
    if home and environments and home.rpartition("/")[2].lower() not in map(str.lower, environments):
        raise Refused(
            f"acaAppName is {name!r}, which runs in environment {home.rpartition('/')[2]!r} and cannot move"
            f" to {environments[0]!r}",
            hint="name that environment as acaEnvironmentName, or another acaAppName, in"
            " inference.parameters.json",
            param="acaAppName",
        )


def _accept(_wanted: Wanted, _name: str, _document: Json) -> None:
    """No further check."""


_CHECKS = {
    "storageaccounts": _check_account,
    "managedenvironments/storages": _check_mount,
    "containerapps": _check_app,
}


def _shares(resource_ids: Iterable[str]) -> set[tuple[str, str]]:
    """(account, share) of the shares among these resources."""
    return {
        (name.partition("/")[0], name.rpartition("/")[2])
        for kind, name in map(resource_name, resource_ids)
        if kind.endswith("/shares")
    }


def _same(left: str, right: str) -> bool:
    return _plain(left) == _plain(right)


def _plain(region: str) -> str:
    """Normalize a region: `East US` and `eastus` are the same."""
    return region.replace(" ", "").lower()
