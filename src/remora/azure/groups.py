"""Subscriptions and resource groups: which there are, making one, deleting one."""

from __future__ import annotations

from remora.azure.failures import explained
from remora.azure.profile import Clients
from remora.errors import DeploymentNotFound


def list_subscriptions(clients: Clients) -> list[tuple[str, str]]:
    """(id, display name) of every enabled subscription we can see."""
    with explained("listing subscriptions"):
        found = [item.as_dict() for item in clients.subscriptions.subscriptions.list()]
    return [
        (item["subscriptionId"], item.get("displayName") or "")
        for item in found
        if item.get("state") == "Enabled"
    ]


def list_groups(clients: Clients) -> list[tuple[str, str]]:
    """(name, location) of every resource group of the subscription, by name."""
    with explained("listing resource groups"):
        found = [(str(item.name), str(item.location)) for item in clients.resources.resource_groups.list()]
    return sorted(found)


def group_location(clients: Clients, group: str) -> str | None:
    """Where a resource group is, or None where there is no such group."""
    try:
        with explained(f"reading resource group {group!r}"):
            return str(clients.resources.resource_groups.get(group).location)
    except DeploymentNotFound:
        return None


def create_group(clients: Clients, group: str, location: str) -> None:
    """Create the resource group; an existing one keeps what is in it."""
    with explained(f"creating resource group {group!r}"):
        clients.resources.resource_groups.create_or_update(group, {"location": location})


def delete_group(clients: Clients, group: str) -> None:
    """Delete the resource group and all that is in it."""
    with explained(f"deleting resource group {group!r}"):
        clients.resources.resource_groups.begin_delete(group).result()
