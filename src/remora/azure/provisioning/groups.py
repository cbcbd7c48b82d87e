"""Lists, creates and deletes resource groups, and lists subscriptions. Deploys nothing into them."""

from __future__ import annotations

from remora.azure.failures import explained
from remora.azure.profile import Clients
from remora.errors import DeploymentNotFound

MADE_TAG = "made-by"


def list_subscriptions(clients: Clients) -> list[tuple[str, str]]:
    """(id, display name) of every enabled subscription that the account can see."""
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
    """The location of a resource group, or None if there is no such group."""
    try:
        with explained(f"reading resource group {group!r}"):
            return str(clients.resources.resource_groups.get(group).location)
    except DeploymentNotFound:
        return None


def create_group(clients: Clients, group: str, location: str) -> None:
    """Create the resource group with a tag of Remora; an existing one keeps its content."""
    with explained(f"creating resource group {group!r}"):
        body = {"location": location, "tags": {MADE_TAG: "remora"}}
        clients.resources.resource_groups.create_or_update(group, body)


def is_ours(clients: Clients, group: str) -> bool:
    """Whether Remora has created the group, so that everything in it belongs to the project."""
    with explained(f"reading resource group {group!r}"):
        return MADE_TAG in (clients.resources.resource_groups.get(group).tags or {})


def list_resources(clients: Clients, group: str) -> list[str]:
    """The resources in the group, as `type name`."""
    with explained(f"listing what is in {group!r}"):
        found = clients.resources.resources.list_by_resource_group(group)
        return [f"{str(item.type).partition('/')[2]} {item.name}" for item in found]


def delete_group(clients: Clients, group: str) -> None:
    """Delete the resource group and everything in it."""
    with explained(f"deleting resource group {group!r}"):
        clients.resources.resource_groups.begin_delete(group).result()
