"""One deployment of a template: starts it, follows each resource, reports the failed one, cancels it.

`provision.py` decides what to deploy. The cloud continues a deployment whether or not a client follows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from remora.azure.failures import described, explained
from remora.azure.profile import Clients
from remora.errors import DeploymentNotFound, ProvisioningFailed, listed

DEPLOYMENT_NAME = "remora-inference"
_ENDED = frozenset({"Succeeded", "Failed", "Canceled"})

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ResourceProgress:
    """The progress of one resource's deployment. `kind` is its type without the provider."""

    kind: str
    name: str
    state: str
    elapsed_seconds: float

    @property
    def ended(self) -> bool:
        return self.state in _ENDED


Progress = Callable[[ResourceProgress], None]
"""Is called once for every change of a resource's state."""


def read_deployment(clients: Clients, group: str) -> Json | None:
    """The last deployment in the group, or None if there was none."""
    try:
        with explained(f"reading the last deployment in {group!r}"):
            document: Json = clients.deployments.deployments.get(group, DEPLOYMENT_NAME).as_dict()
    except DeploymentNotFound:
        return None
    return document


def read_operations(clients: Clients, group: str) -> list[Json]:
    """The properties of each operation of the last deployment: one per resource."""
    with explained(f"reading the progress of the deployment in {group!r}"):
        found = clients.deployments.deployment_operations.list(group, DEPLOYMENT_NAME)
        return [item.as_dict()["properties"] for item in found]


def is_running(deployment: Mapping[str, Any] | None) -> bool:
    """Whether the deployment is still running."""
    return deployment is not None and deployment["properties"].get("provisioningState") not in _ENDED


def start_deployment(clients: Clients, group: str, body: Json) -> None:
    """Submit the deployment. Raises ProvisioningFailed if the cloud does not accept it."""
    with explained(f"deploying the template into {group!r}"):
        operations = clients.deployments.deployments
        operations.begin_create_or_update(group, DEPLOYMENT_NAME, body, polling=False)


def follow_deployment(clients: Clients, group: str, progress: Progress) -> Json:
    """Wait for the end of the running deployment and return it. Raises ProvisioningFailed."""
    started = time.monotonic()
    told: dict[str, str] = {}
    while True:
        deployment = read_deployment(clients, group)
        if deployment is None:
            raise ProvisioningFailed(
                f"the deployment in {group!r} was deleted meanwhile", hint="run: remora provision"
            )
        operations = read_operations(clients, group)
        for resource_id, change in _changes(operations, time.monotonic() - started):
            if told.get(resource_id) != change.state:
                told[resource_id] = change.state
                progress(change)
        if not is_running(deployment):
            return _succeeded(group, deployment, operations)
        time.sleep(clients.profile.poll_seconds)


def failure_of(operation: Json) -> str | None:
    """`kind 'name': Azure's message`, for a failed operation."""
    if operation.get("provisioningState") != "Failed":
        return None
    message = operation.get("statusMessage") or {}
    error = message.get("error") if isinstance(message, dict) else {"message": str(message)}
    reason = described(error or {"message": f"status {operation.get('statusCode')}"})
    changes = _changes([operation], 0)
    return f"{changes[0][1].kind} {changes[0][1].name!r}: {reason}" if changes else reason


def portal_url(clients: Clients, group: str) -> str | None:
    """The page of the deployment in the portal; None on a cloud without a portal."""
    if clients.profile.portal_url is None:
        return None
    scope = f"/subscriptions/{clients.subscription_id}/resourceGroups/{group}"
    deployment = quote(f"{scope}/providers/Microsoft.Resources/deployments/{DEPLOYMENT_NAME}", safe="")
    return (
        f"{clients.profile.portal_url}/#view/HubsExtension/DeploymentDetailsBlade/~/overview/id/{deployment}"
    )


def cancel_deployment(clients: Clients, group: str) -> None:
    """Cancel the deployment; created resources stay. A finished deployment is a no-op."""
    if is_running(read_deployment(clients, group)):
        with explained(f"cancelling the deployment in {group!r}"):
            clients.deployments.deployments.cancel(group, DEPLOYMENT_NAME)


def _changes(operations: list[Json], elapsed_seconds: float) -> list[tuple[str, ResourceProgress]]:
    """(resource id, progress) of every operation on a resource."""
    found = []
    for operation in operations:
        target = operation.get("targetResource") or {}
        if target.get("id"):
            state = operation.get("provisioningState") or "Running"
            kind = str(target.get("resourceType") or "").partition("/")[2]
            name = str(target.get("resourceName") or "").rpartition("/")[2]
            found.append((str(target["id"]), ResourceProgress(kind, name, state, elapsed_seconds)))
    return found


def _succeeded(group: str, deployment: Json, operations: list[Json]) -> Json:
    state = deployment["properties"].get("provisioningState")
    if state == "Succeeded":
        return deployment
    if state == "Canceled":
        raise ProvisioningFailed(f"the deployment in {group!r} was cancelled", hint="run: remora provision")
    reasons = [reason for operation in operations if (reason := failure_of(operation))]
    if not reasons:
        reasons = [described(deployment["properties"].get("error") or {"message": f"it ended as {state}"})]
    raise ProvisioningFailed(
        f"deploying the template into {group!r}: {listed(reasons, separator='; ')}",
        hint="correct the cause, then run: remora provision; existing resources stay as they are",
    )
