"""What a deployment would do to each resource, asked of ARM before anything happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remora.azure.deployment import DEPLOYMENT_NAME
from remora.azure.existing import resource_name
from remora.azure.failures import explained
from remora.azure.profile import Clients
from remora.azure.provision import Prepared
from remora.azure.template import Json, resource_types
from remora.errors import DeploymentNotFound

_UNTOUCHED = frozenset({"Ignore", "NoEffect"})


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """A resource and what would become of it: Create, Modify, NoChange, Deploy (exists, may change).

    `name` is empty where it is not known before the group exists.
    """

    kind: str
    name: str
    change: str


def planned_changes(clients: Clients, group: str, prepared: Prepared) -> list[ResourceChange]:
    """What the deployment would do. Where the cloud has no what-if: what is new and what exists."""
    try:
        changes = _what_if(clients, group, prepared)
    except DeploymentNotFound:
        changes = _by_existence(clients, group, prepared)
    return sorted(changes, key=lambda change: (change.kind, change.name))


def all_new(template: Json) -> list[ResourceChange]:
    """The resources of a template that goes into a group which is not there yet."""
    kinds = {kind for types in resource_types(template).values() for kind in types}
    return [ResourceChange(kind, "", "Create") for kind in sorted(kinds)]


def _what_if(clients: Clients, group: str, prepared: Prepared) -> list[ResourceChange]:
    settings = {"whatIfSettings": {"resultFormat": "FullResourcePayloads"}}
    body = {"properties": {**prepared.body["properties"], **settings}}
    with explained(f"asking what deploying into {group!r} would change"):
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
