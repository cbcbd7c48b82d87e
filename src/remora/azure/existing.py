"""What is there already and a deployment must not take away, as parameters of our template."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from remora.azure.apps import API_KEY_SECRET, API_KEY_VARIABLE, ContainerApp
from remora.azure.failures import explained
from remora.azure.profile import Clients
from remora.errors import DeploymentNotFound

CPU_PROFILE = "Consumption"
GPU_PROFILE_NAME = "GPU"  # what our template and AI Toolkit's call theirs, whatever its type
_API_KEY_BYTES = 32

Json = dict[str, Any]


def with_existing(
    clients: Clients,
    group: str,
    resource_ids: Iterable[str],
    parameters: Mapping[str, Any],
    declared: Iterable[str],
) -> Json:
    """The parameters, and with them what keeps app and environment as they are.

    `declared` are the parameters that the template has: only those can be given.
    """
    found = tuple(resource_ids)
    kept = {**_of_app(clients, group, found), **_of_environment(clients, group, found, parameters)}
    return _together({name: value for name, value in kept.items() if name in set(declared)}, parameters)


def environment_profiles(clients: Clients, group: str, resource_ids: Iterable[str]) -> list[Json]:
    """The workload profiles of the environment among these resources; none where it is not there yet."""
    names = [name for kind, name in map(resource_name, resource_ids) if kind == "managedenvironments"]
    if not names:
        return []
    try:
        with explained(f"reading environment {names[0]!r}"):
            document: Json = clients.apps.managed_environments.get(group, names[0]).as_dict()
    except DeploymentNotFound:
        return []
    return list(document["properties"].get("workloadProfiles") or ())


def resource_name(resource_id: str) -> tuple[str, str]:
    """(type without the provider, in lower case; name) of a resource's id."""
    parts = resource_id.rpartition("/providers/")[2].split("/")[1:]
    return "/".join(parts[::2]).lower(), "/".join(parts[1::2])


def _of_app(clients: Clients, group: str, resource_ids: Iterable[str]) -> Json:
    """Parameters that keep an app's key, and environment, scale and traffic of what serves in it.

    A new app gets a key.
    """
    names = [name for kind, name in map(resource_name, resource_ids) if kind == "containerapps"]
    app = ContainerApp(clients, group, names[0]) if names else None
    if app is None or not app.exists():
        return {"apiKey": _new_key()}
    state = app.read()
    serving = app.revision(state.serving_revision) if state.serving_revision else state
    variables = [{"name": k, "value": v} for k, v in serving.environment.items() if k != API_KEY_VARIABLE]
    kept = {
        "apiKey": app.secrets().get(API_KEY_SECRET) or _new_key(),
        "environmentVariables": variables,
        "minReplicas": serving.min_replicas,
        "maxReplicas": serving.max_replicas,
    }
    if not state.latest_ready_revision:
        return kept
    pinned = state.traffic.pinned(state.latest_ready_revision)
    return {**kept, "revisionTraffic": [share.to_json() for share in pinned.shares]}


def _of_environment(
    clients: Clients, group: str, resource_ids: Iterable[str], parameters: Mapping[str, Any]
) -> Json:
    """Parameters that keep the workload profiles of the environment that are not the template's own.

    A deployment sets the whole list, and the environment may be shared with a fine-tuning job.
    """
    gpu = parameters.get("workloadProfile", CPU_PROFILE) != CPU_PROFILE
    own = {CPU_PROFILE, GPU_PROFILE_NAME} if gpu else {CPU_PROFILE}
    profiles = environment_profiles(clients, group, resource_ids)
    others = [profile for profile in profiles if profile["name"] not in own]
    return {"otherWorkloadProfiles": others} if others else {}


def _together(kept: Json, parameters: Mapping[str, Any]) -> Json:
    """What is kept, under what the user says; environment variables one by one."""
    wanted = parameters.get("environmentVariables")
    if wanted and "environmentVariables" in kept:
        named = {item.get("name") for item in wanted}
        others = [item for item in kept["environmentVariables"] if item["name"] not in named]
        return {**kept, **parameters, "environmentVariables": [*others, *wanted]}
    return {**kept, **parameters}


def _new_key() -> str:
    return f"rk-{secrets.token_urlsafe(_API_KEY_BYTES)}"
