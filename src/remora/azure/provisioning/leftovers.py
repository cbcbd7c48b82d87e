"""Finds and removes the resources of a deployment that failed or was killed, by its operations in ARM.

Owns which resources belong to the deployment: its targets, apart from those that existed before. ARM does not
say which those are (what took an operation to create ends with OK, like what was only changed), so a tag of
the deployment names them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from remora.azure.failures import explained
from remora.azure.profile import Clients
from remora.azure.provisioning.deployment import DEPLOYMENT_NAME, read_deployment
from remora.azure.provisioning.existing import resource_name
from remora.errors import DeploymentNotFound

_EXISTED_TAG = "remora-existed"
_HASH_CHARACTERS = 8
_TAG_CHARACTERS = 256  # of a value, in ARM: 32 hashes
_MOST_TAGS = 40  # ARM keeps 50, and the deployment has others
_REMOVED_FIRST = {"microsoft.app/containerapps": 0, "microsoft.app/managedenvironments": 1}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Leftover:
    """A resource that a deployment has created and that still exists."""

    id: str
    type: str

    @property
    def name(self) -> str:
        """Its name, after the names of its parents."""
        return resource_name(self.id)[1]

    def __str__(self) -> str:
        return f"{self.type.partition('/')[2]} {self.name}"


def existed_tags(clients: Clients, group: str) -> dict[str, str]:
    """Tags for a deployment to the group: what exists there already, and not by our last deployment.

    All that exists, not only what the deployment names: what the tags leave out can be deleted later. None
    at all if the group has more than tags can hold; then nothing of it is ever deleted.
    """
    standing = _ids_in(clients, group)
    if standing and (last := read_deployment(clients, group)) is not None:
        standing -= {one.id.lower() for one in _created_by(clients, group, last)}
    text = "".join(sorted(map(_hash, standing)))
    cuts = range(0, len(text) or 1, _TAG_CHARACTERS)
    if len(cuts) > _MOST_TAGS:
        return {}
    return {f"{_EXISTED_TAG}-{number}": text[cut : cut + _TAG_CHARACTERS] for number, cut in enumerate(cuts)}


def find_leftovers(clients: Clients, group: str) -> tuple[Leftover, ...]:
    """The resources that the last deployment in the group has created, in an order that can be deleted.

    Raises DeploymentNotFound if there was no deployment.
    """
    deployment = read_deployment(clients, group)
    if deployment is None:
        raise DeploymentNotFound(
            f"nothing was ever provisioned in resource group {group!r}",
            hint="name the right group: remora down --purge --resource-group GROUP",
        )
    here = _ids_in(clients, group)
    standing = [one for one in _created_by(clients, group, deployment) if one.id.lower() in here]
    return tuple(sorted(standing, key=lambda one: _REMOVED_FIRST.get(one.type.lower(), len(_REMOVED_FIRST))))


def _ids_in(clients: Clients, group: str) -> set[str]:
    with explained(f"listing what is in {group!r}"):
        return {str(item.id).lower() for item in clients.resources.resources.list_by_resource_group(group)}


def _created_by(clients: Clients, group: str, deployment: Json) -> list[Leftover]:
    """The deployment's targets that did not exist before; none if it does not say which did."""
    tags: dict[str, str] = deployment.get("tags") or {}
    named = [value for name, value in sorted(tags.items()) if name.startswith(_EXISTED_TAG)]
    if not named:
        return []
    text = "".join(named)
    existed = {text[at : at + _HASH_CHARACTERS] for at in range(0, len(text), _HASH_CHARACTERS)}
    with explained(f"reading the resources of the deployment in {group!r}"):
        operations = [
            item.as_dict()["properties"]
            for item in clients.deployments.deployment_operations.list(group, DEPLOYMENT_NAME)
        ]
    targets = [one.get("targetResource") or {} for one in operations]
    return [
        Leftover(str(one["id"]), str(one["resourceType"]))
        for one in targets
        if one.get("id") and _hash(str(one["id"])) not in existed
    ]


def _hash(resource_id: str) -> str:
    return hashlib.sha256(resource_id.lower().encode()).hexdigest()[:_HASH_CHARACTERS]


def remove_leftovers(
    clients: Clients, leftovers: Sequence[Leftover], progress: Callable[[Leftover], None]
) -> None:
    """Delete them in this order; call `progress` for each."""
    versions: dict[str, str] = {}
    for one in leftovers:
        version = versions.get(one.type) or versions.setdefault(one.type, _api_version(clients, one.type))
        with explained(f"deleting {one}"):
            clients.resources.resources.begin_delete_by_id(one.id, api_version=version).result()
        progress(one)


def _api_version(clients: Clients, kind: str) -> str:
    """The newest stable API version of a resource type."""
    namespace, _, name = kind.partition("/")
    with explained(f"reading the versions of provider {namespace}"):
        provider: Json = clients.resources.providers.get(namespace).as_dict()
    types = provider.get("resourceTypes") or provider.get("resource_types") or ()
    entry: Json = next((one for one in types if _type_of(one) == name.lower()), {})
    versions: list[str] = entry.get("apiVersions") or entry.get("api_versions") or []
    stable = [version for version in versions if "preview" not in version]
    return max(stable or versions, default="2023-01-01")


def _type_of(entry: Json) -> str:
    return str(entry.get("resourceType") or entry.get("resource_type") or "").lower()
