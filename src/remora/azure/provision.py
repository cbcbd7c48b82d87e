"""Subscriptions, resource groups and the deployment of the project's template.

A deployment whose template and parameters are those of the last one is skipped: its fingerprint is a
tag on the deployment itself, so any machine can tell.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from remora.azure.apps import API_KEY_SECRET, API_KEY_VARIABLE, ContainerApp
from remora.azure.failures import explained
from remora.azure.profile import Clients
from remora.errors import DeploymentNotFound, InvalidInput, ProvisioningFailed

DEPLOYMENT_NAME = "remora-inference"
_FINGERPRINT_TAG = "remora-fingerprint"
_API_KEY_BYTES = 32

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The template's outputs, and whether anything had to be done for them."""

    outputs: Mapping[str, str]
    changed: bool


def list_subscriptions(clients: Clients) -> list[tuple[str, str]]:
    """(id, display name) of every enabled subscription we can see."""
    with explained("listing subscriptions"):
        found = [item.as_dict() for item in clients.subscriptions.subscriptions.list()]
    return [
        (item["subscriptionId"], item.get("displayName") or "")
        for item in found
        if item.get("state") == "Enabled"
    ]


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


def provision(
    clients: Clients,
    group: str,
    template: Json,
    parameters: Mapping[str, Any],
    progress: Callable[[str], None],
) -> Provisioned:
    """Deploy the template into the group (incremental) and return its outputs.

    `parameters` are the user's (name → value, without nulls). An app that exists keeps its API key,
    environment and scale. Raises ProvisioningFailed with the resource that failed and Azure's reason.
    """
    _check_parameters(template, parameters)
    fingerprint = _fingerprint(template, parameters)
    previous = _previous_deployment(clients, group)
    existing = _existing_app(clients, group, previous, parameters)
    if existing is not None and previous is not None and _is_current(previous, fingerprint):
        return Provisioned(_outputs(previous), changed=False)
    carried = _carried_over(existing)
    declared = template.get("parameters", {})
    values = {**{key: value for key, value in carried.items() if key in declared}, **parameters}
    body = {
        "properties": {
            "mode": "Incremental",
            "template": template,
            "parameters": {name: {"value": value} for name, value in values.items()},
        },
        "tags": {_FINGERPRINT_TAG: fingerprint},
    }
    return Provisioned(_outputs(_deploy(clients, group, body, progress)), changed=True)


def delete_group(clients: Clients, group: str) -> None:
    """Delete the resource group and all that is in it."""
    with explained(f"deleting resource group {group!r}"):
        clients.resources.resource_groups.begin_delete(group).result()


def _check_parameters(template: Json, parameters: Mapping[str, Any]) -> None:
    unknown = sorted(set(parameters) - set(template.get("parameters", {})))
    if unknown:
        raise InvalidInput(
            f"the template declares no parameter {', '.join(unknown)}",
            hint="remove it from inference.parameters.json or declare it in inference.bicep",
            param=unknown[0],
        )


def _fingerprint(template: Json, parameters: Mapping[str, Any]) -> str:
    text = json.dumps([template, dict(parameters)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _previous_deployment(clients: Clients, group: str) -> Json | None:
    try:
        with explained(f"reading the last deployment in {group!r}"):
            document: Json = clients.deployments.deployments.get(group, DEPLOYMENT_NAME).as_dict()
    except DeploymentNotFound:
        return None
    return document


def _is_current(deployment: Json, fingerprint: str) -> bool:
    tags = deployment.get("tags") or {}
    succeeded = deployment["properties"].get("provisioningState") == "Succeeded"
    return succeeded and tags.get(_FINGERPRINT_TAG) == fingerprint


def _existing_app(
    clients: Clients, group: str, previous: Json | None, parameters: Mapping[str, Any]
) -> ContainerApp | None:
    outputs = _outputs(previous) if previous else {}
    name = parameters.get("acaAppName") or outputs.get("ACA_APP_NAME")
    if not name:
        return None
    app = ContainerApp(clients, group, str(name))
    return app if app.exists() else None


def _carried_over(existing: ContainerApp | None) -> Json:
    """What a new deployment of the template must not take away from a running app."""
    if existing is None:
        return {"apiKey": f"rk-{secrets.token_urlsafe(_API_KEY_BYTES)}"}
    state = existing.read()
    variables = [{"name": k, "value": v} for k, v in state.environment.items() if k != API_KEY_VARIABLE]
    key = existing.secrets().get(API_KEY_SECRET) or f"rk-{secrets.token_urlsafe(_API_KEY_BYTES)}"
    return {
        "apiKey": key,
        "environmentVariables": variables,
        "minReplicas": state.min_replicas,
    }


def _deploy(clients: Clients, group: str, body: Json, progress: Callable[[str], None]) -> Json:
    operations = clients.deployments.deployments
    with explained(f"deploying the template into {group!r}"):
        poller = operations.begin_create_or_update(group, DEPLOYMENT_NAME, body)
        while not poller.done():
            poller.wait(clients.profile.poll_seconds)
            progress(f"deployment {poller.status().lower()}")
        document: Json = poller.result().as_dict()
    state = document["properties"].get("provisioningState")
    if state != "Succeeded":
        raise ProvisioningFailed(f"the deployment ended as {state}", hint="run: remora provision")
    return document


def _outputs(deployment: Json) -> dict[str, str]:
    """Name → value. ARM respells output names (`acA_APP_NAME`); ours are all capitals."""
    outputs = deployment["properties"].get("outputs") or {}
    return {name.upper(): str(entry["value"]) for name, entry in outputs.items()}
