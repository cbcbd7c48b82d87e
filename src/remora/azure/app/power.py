"""Stops and starts a whole container app. Does not change its revisions, settings or share."""

from __future__ import annotations

from remora.azure.failures import explained
from remora.azure.profile import Clients


def is_stopped(clients: Clients, group: str, name: str) -> bool:
    """Whether the app as a whole was stopped."""
    with explained(f"reading container app {name!r}"):
        properties = clients.apps.container_apps.get(group, name).as_dict()["properties"]
    return bool(properties.get("runningStatus") == "Stopped")


def stop_app(clients: Clients, group: str, name: str) -> None:
    """Stop all replicas; requests get 404. A stopped app is a no-op."""
    with explained(f"stopping container app {name!r}"):
        clients.apps.container_apps.begin_stop(group, name).result()


def start_app(clients: Clients, group: str, name: str) -> None:
    """Run the app as before it was stopped. A running app is a no-op."""
    with explained(f"starting container app {name!r}"):
        clients.apps.container_apps.begin_start(group, name).result()
