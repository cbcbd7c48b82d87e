"""Asks ARM what a deployment would change, before it starts. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remora.azure.failures import explained
from remora.azure.profile import Clients
from remora.azure.provisioning.deployment import DEPLOYMENT_NAME
from remora.azure.provisioning.existing import resource_name
from remora.azure.provisioning.provision import Prepared
from remora.azure.provisioning.template import Json, resource_types
from remora.errors import DeploymentNotFound

_UNTOUCHED = frozenset({"Ignore", "NoEffect"})
# Which of these a template creates depends on a condition, which ARM evaluates only in a group that exists.
_OF_A_MOUNT = frozenset({"managedEnvironments/storages"})
_OF_AN_IDENTITY = frozenset({"userAssignedIdentities", "roleAssignments"})


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """A resource and its planned change: Create, Modify, NoChange, Deploy (exists, may change).

    `name` is empty if it is not known before the group exists.
    """

    kind: str
    name: str
    change: str


def planned_changes(clients: Clients, group: str, prepared: Prepared) -> list[ResourceChange]:
    """The planned changes; without what-if in the cloud, which resources are new and which exist."""
    try:
        changes = _what_if(clients, group, prepared)
    except DeploymentNotFound:
        changes = _by_existence(clients, group, prepared)
    return sorted(changes, key=lambda change: (change.kind, change.name))


def all_new(template: Json, *, by_identity: bool) -> list[ResourceChange]:
    """The changes for a template whose group does not exist yet; `by_identity`: the share is not mounted."""
    unused = _OF_A_MOUNT if by_identity else _OF_AN_IDENTITY
    kinds = {kind for types in resource_types(template).values() for kind in types} - unused
    return [ResourceChange(kind, "", "Create") for kind in sorted(kinds)]


def _what_if(clients: Clients, group: str, prepared: Prepared) -> list[ResourceChange]:
    settings = {"whatIfSettings": {"resultFormat": "FullResourcePayloads"}}
    body = {"properties": {**prepared.body["properties"], **settings}}
    with explained(f"previewing the deployment in {group!r}"):
        poller = clients.deployments.deployments.begin_what_if(group, DEPLOYMENT_NAME, body)
        document: dict[str, Any] = poller.result().as_dict()
    found = (document.get("properties") or {}).get("changes") or ()
    return [
        ResourceChange(*_kind_and_name(item["resourceId"]), str(item["changeType"]))
        for item in found
        if item["changeType"] not in _UNTOUCHED
    ]


def _by_existence(clients: Clients, group: str, prepared: Prepared) -> list[ResourceChange]:
    with explained(f"listing what is in {group!r}"):
        found = clients.resources.resources.list_by_resource_group(group)
        there = {str(item.id).lower() for item in found}
    return [
        ResourceChange(*_kind_and_name(resource_id), "Deploy" if resource_id.lower() in there else "Create")
        for resource_id in prepared.resource_ids
        if "/" not in resource_name(resource_id)[1]  # a list has no nested resources
    ]


def _kind_and_name(resource_id: str) -> tuple[str, str]:
    parts = resource_id.rpartition("/providers/")[2].split("/")[1:]
    return "/".join(parts[::2]), "/".join(parts[1::2])
